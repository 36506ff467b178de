//! Time zones as they are written and stored: a place of the IANA, an offset, UTC.

use dozo_job::Error;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Offset, TimeZone};

use crate::config::is_place;

/// No clock on Earth ever was further from UTC: what is more was mistyped.
const OFFSET_SECONDS_MAX: i32 = 16 * 3600;

/// A zone that was typed behind a time.
pub(super) fn read(text: &str) -> Result<TimeZone, Error> {
    if ["z", "utc", "gmt"].contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(TimeZone::UTC);
    }
    if text.starts_with(['+', '-']) {
        return offset(text).ok_or_else(|| Error::invalid(format!("`{text}` is not an offset from UTC")));
    }
    if text.contains('/') {
        return named(text).ok_or_else(|| Error::invalid(format!("`{text}` is not a time zone")));
    }
    Err(Error::invalid(format!("`{text}` is not a time zone: letters such as EST or JST stand for several")))
}

/// How the same time is written with a zone.
pub(super) fn hint(time: &str) -> String {
    format!("write the offset or the place: `{time} +09:00`, `{time} America/New_York`, `{time} UTC`")
}

/// A zone by its name or offset, as snapshots have it; none if this program knows none of that name.
pub(crate) fn named(name: &str) -> Option<TimeZone> {
    if name.starts_with(['+', '-']) {
        return offset(name);
    }
    TimeZone::get(name).ok().filter(|zone| is_place(name) && !zone.is_unknown())
}

fn offset(text: &str) -> Option<TimeZone> {
    let zone = DateTimeParser::new().parse_time_zone(text).ok()?;
    let seconds = zone.to_fixed_offset().ok()?.seconds();
    (seconds.abs() <= OFFSET_SECONDS_MAX).then_some(zone)
}

/// How a zone is called: by its name, else by its offset at a time.
pub(crate) fn shown(zone: &TimeZone, at: Timestamp) -> String {
    match zone.iana_name() {
        _ if zone.is_unknown() => "UTC".into(),
        Some(name) => name.into(),
        None => offset_shown(zone.to_offset(at)),
    }
}

/// `+09:00`.
pub(super) fn offset_shown(offset: Offset) -> String {
    Timestamp::UNIX_EPOCH.to_zoned(offset.to_time_zone()).strftime("%:z").to_string()
}
