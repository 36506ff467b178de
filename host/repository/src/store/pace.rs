//! A limit of bytes per second: whoever moves bytes asks when the next may move. Fair, because turns are given in the
//! order of asking; without bursts, because a line that is shared is disturbed by them.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// A rate, shared by all requests in one direction.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    /// When all that was given away so far has moved.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Pace { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::new(None) }
    }

    /// Takes the turn of so many bytes; returns when it begins.
    pub(super) fn turn(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let mut free_at = self.free_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Time that nobody used is lost: it does not become a burst.
        let begin = free_at.map_or(now, |free| free.max(now));
        *free_at = Some(begin + self.takes(bytes as u64));
        begin
    }

    /// How long so many bytes take at this rate.
    pub(super) fn takes(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_each_other_and_idle_time_is_no_credit() {
        let pace = Pace::new(1000);
        let first = pace.turn(50);
        assert_eq!(pace.turn(100), first + Duration::from_millis(50));
        assert_eq!(pace.turn(1), first + Duration::from_millis(150));
        std::thread::sleep(Duration::from_millis(200));
        let later = pace.turn(1000);
        assert!(later > first + Duration::from_millis(199));
        assert_eq!(pace.turn(1), later + Duration::from_secs(1));
    }
}
