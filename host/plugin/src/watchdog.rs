//! Deadlines outside the store. Inside, a timer does not fire while the plugin computes or the host waits for it; so the
//! store runs in a task, and whoever looks at it looks from here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinHandle};

use crate::limits::{LETTING_GO, Limits, WATCH_INTERVAL};
use crate::state::Life;

/// Waits for the task; stops it when it takes too long, or for too long shows no sign of life.
///
/// A plugin that waits for the host is not stuck: what the host does has limits of its own. What the host reads of its files
/// meanwhile is told by `being_read`.
pub(crate) async fn guard<T>(
    mut task: JoinHandle<wasmtime::Result<T>>,
    life: &Arc<Life>,
    wall: Duration,
    limits: &Limits,
    being_read: impl Fn() -> Option<String>,
) -> Result<wasmtime::Result<T>, String> {
    let _abort = AbortOnDrop(task.abort_handle());
    let begun = Instant::now();
    let (mut signs, mut last_sign) = (0, begun);
    let stopped = loop {
        tokio::select! {
            ended = &mut task => return match ended {
                Ok(answer) => Ok(answer),
                Err(error) if error.is_panic() => Err("the host panicked while it ran: a bug in dozo".into()),
                Err(_) => Err("its task was cancelled".into()),
            },
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
        let now = Instant::now();
        let seen = life.signs.load(Ordering::Relaxed);
        if seen != signs || life.in_host.load(Ordering::Relaxed) > 0 {
            (signs, last_sign) = (seen, now);
        }
        if now - begun >= wall {
            break format!("it took longer than its limit of {}", shown(wall));
        }
        if now - last_sign >= limits.stall {
            break format!("it asked nothing of the host for {}: it is stuck (`stall`)", shown(limits.stall));
        }
        // Counted from outside: a plugin that asks and asks shows every sign of life.
        if life.calls.load(Ordering::Relaxed) > limits.host_calls {
            break format!(
                "it asked the host more than {} times, which is its limit (`host_calls`)",
                limits.host_calls
            );
        }
    };
    // Whoever looks for what took so long begins there.
    let stopped = match being_read() {
        Some(file) => format!("{stopped}, while {file} was read"),
        None => stopped,
    };
    task.abort();
    // The abort takes effect when the plugin next yields, which the epochs make it do.
    let _ = tokio::time::timeout(LETTING_GO, &mut task).await;
    Err(stopped)
}

/// Ends the task when nobody waits for it any more: whoever drops a call drops the plugin with it.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn shown(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
