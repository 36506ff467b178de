//! Secrets that a program tells: it has a time for that, and says no more than a secret has.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a program may take to tell a secret: a password manager that waits for a person must not hold up a schedule
/// for ever.
pub(super) const TELLING: Duration = Duration::from_secs(60);
/// How often it is looked at whether the program has ended.
const INTERVAL: Duration = Duration::from_millis(10);

/// What a program prints, of at most `max` bytes and a newline or two. What it writes to standard error is the operator's to
/// see. Blocks for as long as `time`.
///
/// # Errors
/// Why there is no secret, for people.
pub(super) fn told(program: &str, arguments: &[&str], max: usize, time: Duration) -> Result<String, String> {
    let until = Instant::now() + time;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("run {program} for the secret: {e}"))?;
    let printed = printed(&mut child, max, until);
    let ended = printed.is_some().then(|| ended(&mut child, until)).flatten();
    let (Some(printed), Some(status)) = (printed, ended) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{program} did not tell the secret within {} s", time.as_secs()));
    };
    if !status.success() {
        return Err(format!("{program} failed ({status}) instead of telling the secret"));
    }
    let printed = printed.map_err(|e| format!("read what {program} prints: {e}"))?;
    String::from_utf8(printed).map_err(|_| format!("what {program} printed is not UTF-8"))
}

/// All that it prints, as far as it may be a secret: what is longer is cut off and found too long later.
fn printed(child: &mut Child, max: usize, until: Instant) -> Option<std::io::Result<Vec<u8>>> {
    let output = child.stdout.take()?;
    let (tell, told) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut printed = Vec::new();
        let read = output.take(max as u64 + 3).read_to_end(&mut printed);
        let _ = tell.send(read.map(|_| printed));
    });
    told.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
}

fn ended(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(INTERVAL),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, time: u64) -> Result<String, String> {
        told("/bin/sh", &["-c", script], 8, Duration::from_millis(time))
    }

    #[test]
    fn a_program_tells_a_secret_in_time_or_not_at_all() {
        assert_eq!(sh("echo hunter2", 5_000).unwrap(), "hunter2\n");
        assert_eq!(
            sh("echo hunter2; exit 3", 5_000).unwrap_err(),
            "/bin/sh failed (exit status: 3) instead of telling the secret"
        );
        // Whoever prints more than a secret has is not read to the end, and cannot be waited for.
        let begun = Instant::now();
        for hanging in ["exec sleep 2", "exec >&-; exec sleep 2", "sleep 2 2>&- & exit 0"] {
            let error = sh(hanging, 300).unwrap_err();
            assert!(error.contains("did not tell the secret within"), "{hanging}: {error}");
        }
        assert!(sh("exec yes 2>&-", 5_000).unwrap_err().contains("failed ("));
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(sh("printf '\\377'", 5_000).unwrap_err().contains("not UTF-8"));
        assert!(told("/no/such/program", &[], 8, TELLING).unwrap_err().contains("run /no/such/program"));
    }
}
