//! Numbers and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) use dozo_job::words::{bytes, count, counted, duration};

/// `2026-11-23 02:00:00`, in the time zone of the machine.
pub(crate) fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Text that somebody else wrote, without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nobody_else() {
        assert_eq!(plain("# a\u{1b}[2J"), "# a\u{fffd}[2J");
    }
}
