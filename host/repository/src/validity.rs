//! Whether a lease held all the time. Two clocks must agree: this machine's, which may stand still while the machine sleeps
//! (kopia#1949), and the store's. Pure: both are handed in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The renewals of one lease, as far as they tell whether there was a gap between two.
pub(crate) struct Validity {
    seconds: u32,
    /// When the last renewal that the store confirmed was sent, and when it came, by the store's clock.
    last: Option<(Instant, Timestamp)>,
    lapsed: bool,
}

impl Validity {
    /// A lease that holds so long without a renewal, and was not put yet.
    pub(crate) fn new(seconds: u32) -> Self {
        Validity { seconds, last: None, lapsed: false }
    }

    /// A renewal that was sent then has come to the store.
    pub(crate) fn confirm(&mut self, sent: Instant, now: Instant, renewed: Timestamp) {
        self.look(now);
        if let Some((_, before)) = self.last {
            self.lapsed |= renewed.duration_since(before) > SignedDuration::from_secs(self.seconds.into());
        }
        self.last = Some((sent, renewed));
    }

    /// Whether there was ever a gap, as far as this machine's clock can tell now. Once there was, there was.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let over = |(sent, _): (Instant, _)| now.duration_since(sent) > Duration::from_secs(self.seconds.into());
        self.lapsed |= self.last.is_some_and(over);
        self.lapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_gap_on_either_clock_is_a_gap_for_ever() {
        let begun = Instant::now();
        let here = |seconds| begun + Duration::from_secs(seconds);
        let renewed = |times: &[(u64, i64)]| {
            let mut validity = Validity::new(1800);
            for (mine, theirs) in times {
                validity.confirm(here(*mine), here(*mine), store(*theirs));
            }
            validity
        };
        assert!(!renewed(&[(0, 0), (600, 600), (2400, 2400)]).look(here(2400)));
        assert!(renewed(&[(0, 0), (600, 600)]).look(here(2401)), "not renewed for too long");
        assert!(renewed(&[(0, 0), (1801, 1801), (1802, 1802)]).look(here(1802)), "renewed too late");
        assert!(renewed(&[(0, 0), (5, 7200), (6, 7201)]).look(here(6)), "this machine slept");
        assert!(!renewed(&[(0, 7200), (5, 0)]).look(here(6)), "the store's clock was set back");
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent() {
        let begun = Instant::now();
        let mut validity = Validity::new(1800);
        validity.confirm(begun, begun + Duration::from_secs(1000), store(0));
        assert!(validity.look(begun + Duration::from_secs(1801)));
    }
}
