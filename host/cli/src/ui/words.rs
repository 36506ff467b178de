//! Numbers and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) use dozo_job::words::{FUTURE, age, bytes, count, counted, duration, quoted, time as time_in};

/// `2026-11-23 02:00:00 +09:00`, in the time zone of the machine: for times that are of no job.
pub(crate) fn time(time: Timestamp) -> String {
    time_in(time, &TimeZone::system())
}

/// The same in a zone, with what it has below the second: where that was typed.
pub(crate) fn exact_time_in(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.f %:z").to_string()
}

/// Text that somebody else wrote, in one line: what a terminal would obey is written out when it is printed.
pub(crate) fn plain(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// The beginning of an answer; the snapshot has all of it.
pub(crate) fn first_line(answer: &str) -> String {
    const CHARS: usize = 200;
    let line = answer.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(CHARS).collect();
    let more = if shown.len() < answer.trim_end().len() { " …" } else { "" };
    format!("{}{more}", plain(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_zone() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let exactly = |text: &str, zone: &TimeZone| exact_time_in(text.parse().unwrap(), zone);
        assert_eq!(time_in("2026-12-01T01:11:37.5Z".parse().unwrap(), &tokyo), "2026-12-01 10:11:37 +09:00");
        assert_eq!(exactly("2026-12-01T01:11:37.5Z", &tokyo), "2026-12-01 10:11:37.5 +09:00");
        assert_eq!(exactly("2026-12-01T01:11:37Z", &TimeZone::unknown()), "2026-12-01 01:11:37 +00:00");
        assert_eq!(exactly("1969-12-31T23:59:58.5Z", &TimeZone::UTC), "1969-12-31 23:59:58.5 +00:00");
    }

    #[test]
    fn a_terminal_obeys_nobody_else() {
        assert_eq!(plain("# a\nerror: b"), "# a\\nerror: b");
    }
}
