//! Numbers and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) use dozo_job::words::{bytes, count, counted, duration};

/// `2026-11-23 02:00:00`, in the time zone of the machine.
pub(crate) fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
