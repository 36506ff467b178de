//! The signals that end the program. One that whoever started it has it ignore (`nohup`, `&` in a script) stays ignored.

use std::future::pending;
use std::io::Result;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the program is ended by.
pub(crate) struct Interruptions {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
}

impl Interruptions {
    /// Catches the signals that are not ignored; needs a tokio runtime around it.
    pub(crate) fn catch() -> Result<Self> {
        let ignored = Ignored::now();
        let catch = |kind: SignalKind| if ignored.has(kind) { Ok(None) } else { signal(kind).map(Some) };
        Ok(Interruptions {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            () = wait_for(&mut self.interrupt) => {}
            () = wait_for(&mut self.terminate) => {}
            () = wait_for(&mut self.hangup) => {}
        }
    }
}

async fn wait_for(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => pending().await,
    }
}

/// The signals that this process ignores, as bits from signal 1 on.
struct Ignored(u64);

impl Ignored {
    /// As the kernel shows it, which is the one way to ask without installing a handler. Without `/proc` nothing is known to
    /// be ignored.
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ignored::parse(&status)
    }

    fn parse(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        Ignored(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
    }

    fn has(&self, kind: SignalKind) -> bool {
        u32::try_from(kind.as_raw_value() - 1).is_ok_and(|bit| (self.0 >> bit) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_as_the_kernel_shows_it() {
        let nohup = Ignored::parse("Name:\tdozo\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n");
        assert!(nohup.has(SignalKind::hangup()) && !nohup.has(SignalKind::interrupt()));
        let background = Ignored::parse("SigIgn:\t0000000000001006\n");
        assert!(background.has(SignalKind::interrupt()) && !background.has(SignalKind::terminate()));
        assert!(!Ignored::parse("").has(SignalKind::hangup()), "unknown");
    }
}
