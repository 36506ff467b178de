//! What surrounds a trial: commands of the author's that make the source, change it, and clean up.

use std::path::PathBuf;
use std::process::Stdio;

use dozo_job::{Error, Result};
use tokio::process::Command;

use crate::limits::{FIXTURE_WALL, FIXTURE_WORDS};

/// Commands around a trial, each a program and its arguments; none where it is empty. They run as the author, in no sandbox.
#[derive(Clone, Debug, Default)]
pub struct Fixture {
    /// Before the first case.
    pub before: Vec<String>,
    /// Changes the source, so that what is new can be looked for.
    pub change: Vec<String>,
    /// After the last case, however it ended.
    pub after: Vec<String>,
    /// Where they run.
    pub directory: PathBuf,
}

/// Runs one of the commands.
///
/// # Errors
/// [`Invalid`](dozo_job::Kind::Invalid) with the end of what it said, if it does not end well and in time.
pub(crate) async fn run(fixture: &Fixture, command: &[String]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program);
    child.args(arguments).current_dir(&fixture.directory).kill_on_drop(true);
    let failed = |e| Error::io(format!("run `{program}`"), e).with_kind(dozo_job::Kind::Invalid);
    let ran = tokio::time::timeout(FIXTURE_WALL, child.stdin(Stdio::null()).output()).await;
    let output = ran.map_err(|_| {
        Error::invalid(format!("`{program}` did not end within {} minutes", FIXTURE_WALL.as_secs() / 60))
    })?;
    let output = output.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.split_whitespace().collect();
    let said = said[said.len().saturating_sub(FIXTURE_WORDS)..].join(" ");
    Err(Error::invalid(format!("`{program}` ended with {}: {said}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str) -> Result<()> {
        let fixture = Fixture { directory: "/".into(), ..Fixture::default() };
        run(&fixture, &["/bin/sh", "-c", script].map(String::from)).await
    }

    #[tokio::test]
    async fn a_command_that_fails_says_how() {
        sh("exit 0").await.unwrap();
        let error = sh("echo no such database >&2; exit 3").await.unwrap_err();
        assert_eq!(error.to_string(), "`/bin/sh` ended with exit status: 3: no such database");
        let nothing = run(&Fixture::default(), &["/no/such/program".to_string()]).await.unwrap_err();
        assert!(nothing.chain().contains("/no/such/program"), "{}", nothing.chain());
        run(&Fixture::default(), &[]).await.unwrap();
    }
}
