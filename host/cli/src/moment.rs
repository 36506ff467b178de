//! Times as operators type them, and the moments to which a restore recovers.

use dozo_job::Error;
use dozo_job::port::Moment;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};

/// What a time stands for that leaves something out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Its end: a date means the end of the day, minutes the end of the minute, so that a snapshot is found by the time that a
    /// listing shows.
    End,
    /// Its beginning, exactly: what came after must not be recovered with it.
    Begin,
}

/// A point in time: a timestamp, or a date or time of this zone.
pub(crate) fn parse_time(text: &str, zone: &TimeZone, left_out: LeftOut) -> anyhow::Result<Timestamp> {
    let rest = match text.matches(':').count() {
        _ if left_out == LeftOut::Begin || text.contains('.') => SignedDuration::ZERO,
        1 => SignedDuration::new(59, 999_999_999),
        _ => SignedDuration::new(0, 999_999_999),
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.saturating_add(rest).unwrap_or(time));
    }
    let wrong = |e: jiff::Error| {
        Error::invalid(format!("`{text}` is not a time"))
            .caused_by(e)
            .hinted("2026-11-23, 2026-11-23T02:00 or 2026-11-23T02:00:00Z")
    };
    let local = match (text.parse::<Date>(), left_out) {
        // The parser of dates reads over a time behind them.
        _ if text.contains(['T', ' ']) => text.parse::<DateTime>().map_err(wrong)?.saturating_add(rest),
        (Ok(date), LeftOut::End) => date.to_datetime(Time::MAX),
        (Ok(date), LeftOut::Begin) => date.to_datetime(Time::MIN),
        (Err(error), _) => return Err(wrong(error).into()),
    };
    let zoned = zone.to_ambiguous_zoned(local);
    Ok(match left_out {
        LeftOut::End => zoned.compatible().map_err(wrong)?,
        LeftOut::Begin => zoned.unambiguous().map_err(|e| {
            let what = format!("the clocks of that zone never showed `{text}`, or did so twice");
            Error::invalid(what).caused_by(e).hinted("say it with an offset: 2026-10-25T02:30:00+02:00")
        })?,
    }
    .timestamp())
}

/// The moment that the operator means.
pub(crate) fn parse_moment(text: &str, zone: &TimeZone) -> anyhow::Result<Moment> {
    match text.split_once(':') {
        Some(("time", time)) => return exactly(time, zone).map(Moment::Time),
        Some(("position" | "lsn", position)) if !position.is_empty() => return Ok(Moment::Position(position.into())),
        Some(("name", name)) if !name.is_empty() => return Ok(Moment::Name(name.into())),
        _ => {}
    }
    match text {
        "latest" => Ok(Moment::Latest),
        "" => Err(Error::invalid("`--at` names no moment").hinted("`--at latest`, or a time").into()),
        _ if is_position(text) => Ok(Moment::Position(text.into())),
        // A mistyped time must not be looked for among names.
        _ if looks_like_a_time(text) => {
            Ok(Moment::Time(exactly(text, zone).map_err(|e| e.context("a name is written `name:…`"))?))
        }
        name => Ok(Moment::Name(name.into())),
    }
}

/// A time as plugins get it: UTC, to the microsecond; what is finer is cut off.
fn exactly(text: &str, zone: &TimeZone) -> anyhow::Result<String> {
    let time = parse_time(text, zone, LeftOut::Begin)?;
    let cut = TimestampRound::new().smallest(Unit::Microsecond).mode(jiff::RoundMode::Floor);
    Ok(time.round(cut).unwrap_or(time).to_string())
}

/// Two hexadecimal numbers, as PostgreSQL writes a place in its log.
fn is_position(text: &str) -> bool {
    let hex = |number: &str| (1..=8).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_once('/').is_some_and(|(high, low)| hex(high) && hex(low))
}

/// Whether it begins as a date does.
fn looks_like_a_time(text: &str) -> bool {
    let shape = |at: usize, b: u8| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() };
    text.len() >= 10 && text.bytes().take(10).enumerate().all(|(at, b)| shape(at, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn moment(text: &str) -> Result<Moment, String> {
        parse_moment(text, &zone()).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn a_moment_is_what_it_looks_like() {
        let time = |text: &str| Ok(Moment::Time(text.into()));
        assert_eq!(moment("latest"), Ok(Moment::Latest));
        assert_eq!(moment("2026-11-26T21:01:02Z"), time("2026-11-26T21:01:02Z"));
        assert_eq!(moment("2026-11-26T22:01:02.123456789+01:00"), time("2026-11-26T21:01:02.123456Z"));
        assert_eq!(moment("2026-11-26 22:01:02.5"), time("2026-11-26T21:01:02.5Z"));
        assert_eq!(moment("2026-11-26T22:01"), time("2026-11-26T21:01:00Z"));
        assert_eq!(moment("2026-11-26"), time("2026-11-25T23:00:00Z"));
        assert_eq!(moment("time:2026-07-01"), time("2026-06-30T22:00:00Z"));
        for position in ["16/B374D848", "0/0", "lsn:16/B374D848", "position:16/B374D848"] {
            let bare = position.rsplit(':').next().unwrap();
            assert_eq!(moment(position), Ok(Moment::Position(bare.into())), "{position}");
        }
        for name in ["before migration", "16/B374D8489", "16/", "x/1", "a:b", "time", "name:latest", "name:2026-11-26"]
        {
            let bare = name.strip_prefix("name:").unwrap_or(name);
            assert_eq!(moment(name), Ok(Moment::Name(bare.into())), "{name}");
        }
    }

    #[test]
    fn a_mistyped_time_is_no_name() {
        for text in ["2026-11-31", "2026-11-26 25:00", "2026-11-26T22:01:02.5 CET", "time:noon", ""] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert!(moment("2026-11-31").unwrap_err().contains("name:"));
        // That hour is there twice, and the other never.
        assert!(moment("2026-10-25 02:30").unwrap_err().contains("twice"));
        assert!(moment("2026-03-29 02:30").is_err());
        assert!(moment("2026-10-25T02:30:00+01:00").is_ok());
    }

    #[test]
    fn what_a_listing_shows_finds_the_snapshot() {
        let parse = |text: &str| parse_time(text, &zone(), LeftOut::End).unwrap().to_string();
        assert_eq!(parse("2026-11-26"), "2026-11-26T22:59:59.999999999Z");
        assert_eq!(parse("2026-11-26 22:01"), "2026-11-26T21:01:59.999999999Z");
        assert_eq!(parse("2026-11-26T22:01:02"), "2026-11-26T21:01:02.999999999Z");
        assert_eq!(parse("2026-11-26T22:01:02.5"), "2026-11-26T21:01:02.5Z");
        assert_eq!(parse("2026-11-26T21:01:02Z"), "2026-11-26T21:01:02.999999999Z");
    }
}
