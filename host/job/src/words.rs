//! Numbers and lengths of time as people read them.

use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::limits::CLOCK_SKEW_MAX;

/// What is said of a time that is still to come: of two clocks, one is wrong.
pub const FUTURE: &str = "in the future (clock?)";

/// `1.5 GiB`.
pub fn bytes(n: u64) -> String {
    bytesize::ByteSize::b(n).display().iec().to_string()
}

/// A word as a shell takes it for one: what is shown in a command can be typed.
pub fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_string(), std::borrow::Cow::into_owned)
}

/// `60,138`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 entry`, `60,138 entries`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `850 ms`, `12.3 s`, `1 h 5 min`, `-1 h 5 min`.
pub fn duration(time: SignedDuration) -> String {
    if time.is_negative() {
        return format!("-{}", duration(time.checked_neg().unwrap_or(SignedDuration::MAX)));
    }
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How long ago something was: `under 1 min`, `5 min`, `47 h 12 min`, `12 d`. Two clocks that agree may differ a little.
pub fn age(time: SignedDuration) -> String {
    if time < -CLOCK_SKEW_MAX {
        return FUTURE.into();
    }
    let minutes = time.as_mins();
    match minutes {
        ..1 => "under 1 min".into(),
        1..60 => format!("{minutes} min"),
        60..2880 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d", minutes / 1440),
    }
}

/// `2026-11-23 02:00:00 +09:00`: how every time is shown. What is shown can be typed.
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// The zone that a job or a snapshot names: a place, or an offset. UTC, if this program knows none of that name.
pub fn zone(name: &str) -> TimeZone {
    let offset = || DateTimeParser::new().parse_time_zone(name).ok();
    TimeZone::get(name).ok().or_else(offset).filter(|zone| !zone.is_unknown()).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(60_138), "60,138");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(duration(SignedDuration::from_millis(850)), "850 ms");
        assert_eq!(duration(SignedDuration::from_secs(3900)), "1 h 5 min");
    }

    #[test]
    fn a_time_has_its_zone() {
        let at = "2026-12-01T01:11:37.5Z".parse().unwrap();
        assert_eq!(time(at, &zone("Asia/Tokyo")), "2026-12-01 10:11:37 +09:00");
        assert_eq!(time(at, &zone("-03:30")), "2026-11-30 21:41:37 -03:30");
        assert_eq!(time(at, &zone("Mars/Olympus")), "2026-12-01 01:11:37 +00:00");
    }

    /// `-47 h -59 min`, and `688 ms` for an age.
    #[test]
    fn times_of_the_past_and_of_the_future_read_well() {
        let seconds = SignedDuration::from_secs;
        assert_eq!(duration(seconds(-172_799)), "-47 h 59 min");
        assert_eq!(duration(seconds(-90)), "-1 min 30 s");
        assert_eq!(duration(SignedDuration::from_millis(-688)), "-688 ms");
        assert_eq!(duration(SignedDuration::MIN).get(..1), Some("-"));
        for (time, expected) in [
            (seconds(-172_799), FUTURE),
            (SignedDuration::MIN, FUTURE),
            (seconds(-121), FUTURE),
            (seconds(-120), "under 1 min"),
            (SignedDuration::from_millis(688), "under 1 min"),
            (seconds(60), "1 min"),
            (seconds(3599), "59 min"),
            (seconds(172_799), "47 h 59 min"),
            (seconds(172_800), "2 d"),
            (seconds(60 * 86_400), "60 d"),
        ] {
            assert_eq!(age(time), expected);
        }
    }
}
