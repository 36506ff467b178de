//! The operator's own programs around a run: a snapshot of the file system is taken before and dropped after, an application
//! is stopped and started.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dozo_job::{Error, Result};

use crate::ui;
use crate::ui::words::quoted;

/// How long one program may take: an application that stops, a snapshot that is taken. A hook that hangs must not keep the
/// night's other jobs from running.
const HOOK: Duration = Duration::from_secs(600);
/// How often it is looked at whether it has ended.
const INTERVAL: Duration = Duration::from_millis(20);

/// What runs before a job, and after it whatever became of it.
pub(crate) struct Hooks<'a> {
    job: &'a str,
    before: &'a [String],
    after: &'a [String],
    /// Whether what comes after is still owed.
    is_begun: bool,
}

/// Whoever is interrupted owes it too: what was stopped is started again before the program ends.
impl Drop for Hooks<'_> {
    fn drop(&mut self) {
        if std::mem::take(&mut self.is_begun) {
            for line in self.after {
                if let Err(error) = perform(self.job, line) {
                    ui::note(format!("`after` of the job `{}`: {}", self.job, error.chain()));
                }
            }
        }
    }
}

impl<'a> Hooks<'a> {
    pub(crate) fn new(job: &'a str, before: &'a [String], after: &'a [String]) -> Self {
        Hooks { job, before, after, is_begun: false }
    }

    /// Runs what comes before; the first that fails is the last.
    pub(crate) async fn before(&mut self) -> Result<()> {
        self.is_begun = true;
        for line in self.before {
            self.perform(line).await.map_err(|e| e.context(format!("`before` of the job `{}`", self.job)))?;
        }
        Ok(())
    }

    /// Runs all that comes after; what failed first.
    pub(crate) async fn after(mut self) -> Result<()> {
        let mut first = Ok(());
        for line in self.after {
            let done = self.perform(line).await;
            first = first.and(done.map_err(|e| e.context(format!("`after` of the job `{}`", self.job))));
        }
        self.is_begun = false;
        first
    }

    async fn perform(&self, line: &str) -> Result<()> {
        let (job, line) = (self.job.to_string(), line.to_string());
        let done = tokio::task::spawn_blocking(move || perform(&job, &line)).await;
        done.unwrap_or_else(|e| Err(Error::internal("a thread of the host panicked").caused_by(e)))
    }
}

/// A program and its arguments, if it is one that can be started: what a run would find out is known before.
pub(crate) fn program(line: &str) -> Result<Vec<String>> {
    let words = shlex::split(line).filter(|words| words.first().is_some_and(|program| program.starts_with('/')));
    let Some(words) = words else {
        return Err(Error::invalid(format!("{} does not begin with the absolute path of a program", named(line)))
            .hinted("it is run as it is, without a shell: `/bin/sh -c '…'` where you want one"));
    };
    let failed = |e| Error::io(format!("start `{}`", words[0]), e);
    if std::fs::metadata(&words[0]).map_err(failed)?.is_dir() {
        return Err(Error::invalid(format!("`{}` is a directory, not a program", words[0])));
    }
    match rustix::fs::access(&words[0], rustix::fs::Access::EXEC_OK) {
        Ok(()) => Ok(words),
        Err(errno) => Err(failed(errno.into())
            .with_kind(dozo_job::Kind::Invalid)
            .hinted(format!("chmod +x {}", quoted(&words[0])))),
    }
}

/// A line without its arguments: messages go to people and services, and a password may be among them.
fn named(line: &str) -> String {
    match line.trim_start().split_once(char::is_whitespace) {
        Some((program, _)) => format!("`{program} …`"),
        None => format!("`{}`", line.trim()),
    }
}

/// Runs one program to its end. What it prints is the operator's to see.
fn perform(job: &str, line: &str) -> Result<()> {
    let words = program(line)?;
    let mut command = Command::new(&words[0]);
    // What it prints goes to standard error: standard output is for what was asked of dozo.
    command.args(&words[1..]).env("DOZO_JOB", job).stdin(Stdio::null()).stdout(std::io::stderr());
    let mut child = command.spawn().map_err(|e| Error::io(format!("start `{}`", words[0]), e))?;
    let until = Instant::now() + HOOK;
    loop {
        match child.try_wait().map_err(|e| Error::io(format!("wait for {}", named(line)), e))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::unavailable(format!("{} failed ({status})", named(line)))),
            None if Instant::now() < until => std::thread::sleep(INTERVAL),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::unavailable(format!(
                    "{} did not end within {} min",
                    named(line),
                    HOOK.as_secs() / 60
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_before_is_told_and_what_comes_after_runs_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mark = |name: &str| format!("/bin/touch '{}'", dir.path().join(name).display());
        let before = ["/bin/true".to_string(), "/bin/false".into(), mark("never")];
        let after = ["/bin/false".to_string(), mark("after"), "true".into()];
        let mut hooks = Hooks::new("web", &before, &after);
        let error = hooks.before().await.unwrap_err().chain();
        assert!(error.contains("`before` of the job `web`: `/bin/false` failed"), "{error}");
        assert!(hooks.after().await.unwrap_err().chain().contains("`after` of the job `web`"));
        assert!(!dir.path().join("never").exists() && dir.path().join("after").exists());
        let again = [mark("again")];
        // As when an interrupted run is dropped.
        let mut hooks = Hooks::new("web", &[], &again);
        hooks.before().await.unwrap();
        drop(hooks);
        assert!(dir.path().join("again").exists());
        let bare = ["touch x".to_string()];
        assert_eq!(Hooks::new("web", &bare, &[]).before().await.unwrap_err().kind(), dozo_job::Kind::Invalid);
    }
}
