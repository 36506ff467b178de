//! The moments to which a restore recovers, as operators type them.

use dozo_job::Error;
use dozo_job::port::Moment;
use jiff::tz::TimeZone;
use jiff::{Timestamp, TimestampRound, Unit};

use crate::typed_time::{TypedTime, resembles_a_time};
use crate::ui::words;

/// What was typed: a time is none before its zone is known.
#[derive(Debug)]
pub(crate) enum TypedMoment {
    Time(TypedTime),
    Other(Moment),
}

/// The moment that the operator means.
pub(crate) fn read_moment(text: &str) -> Result<TypedMoment, Error> {
    let other = |moment| Ok(TypedMoment::Other(moment));
    match text.split_once(':') {
        Some(("time", time)) => return TypedTime::read(time).map(TypedMoment::Time),
        Some(("position" | "lsn", position)) if !position.is_empty() => {
            return other(Moment::Position(position.into()));
        }
        Some(("name", name)) if !name.is_empty() => return other(Moment::Name(name.into())),
        _ => {}
    }
    match text {
        "latest" => other(Moment::Latest),
        "" => Err(Error::invalid("`--at` names no moment").hinted("`--at latest`, or a time")),
        _ if is_position(text) => other(Moment::Position(text.into())),
        // A mistyped time must not be looked for among names.
        _ if resembles_a_time(text) => {
            let named = |e: Error| {
                let hint = format!("{}. A name that looks like a time: `name:{text}`", e.hint().unwrap_or_default());
                e.hinted(hint)
            };
            TypedTime::read(text).map(TypedMoment::Time).map_err(named)
        }
        name => other(Moment::Name(name.into())),
    }
}

/// A time as plugins get it: UTC, to the microsecond; what is finer is cut off.
pub(crate) fn at_time(time: Timestamp) -> Moment {
    let cut = TimestampRound::new().smallest(Unit::Microsecond).mode(jiff::RoundMode::Floor);
    Moment::Time(time.round(cut).unwrap_or(time).to_string())
}

/// A moment for people: a time in the job's zone.
pub(crate) fn shown(moment: &Moment, zone: &TimeZone) -> String {
    match moment {
        Moment::Time(time) => match time.parse() {
            Ok(at) => words::exact_time_in(at, zone),
            Err(_) => time.clone(),
        },
        other => other.to_string(),
    }
}

/// Two hexadecimal numbers, as PostgreSQL writes a place in its log.
fn is_position(text: &str) -> bool {
    let hex = |number: &str| (1..=8).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_once('/').is_some_and(|(high, low)| hex(high) && hex(low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed_time::LeftOut;

    fn moment(text: &str) -> Result<Moment, String> {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let read = read_moment(text).and_then(|typed| match typed {
            TypedMoment::Time(time) => time.when(&zone, Timestamp::UNIX_EPOCH, LeftOut::Begin).map(at_time),
            TypedMoment::Other(moment) => Ok(moment),
        });
        read.map_err(|e| format!("{}; {}", e.chain(), e.hint().unwrap_or_default()))
    }

    #[test]
    fn a_moment_is_what_it_looks_like() {
        let time = |text: &str| Ok(Moment::Time(text.into()));
        assert_eq!(moment("latest"), Ok(Moment::Latest));
        assert_eq!(moment("2026-11-26T21:01:02Z"), time("2026-11-26T21:01:02Z"));
        assert_eq!(moment("2026-11-26T22:01:02.123456789+01:00"), time("2026-11-26T21:01:02.123456Z"));
        assert_eq!(moment("2026-11-26 22:01:02.5"), time("2026-11-26T21:01:02.5Z"));
        assert_eq!(moment("time:2026-07-01"), time("2026-06-30T22:00:00Z"));
        assert_eq!(moment("now"), time("1970-01-01T00:00:00Z"));
        assert_eq!(moment("00:59"), time("1969-12-31T23:59:00Z"));
        assert!(moment("01:01").unwrap_err().contains("yet to come"));
        // Cut off, not towards 1970.
        assert_eq!(moment("1969-12-31 23:59:59.9999999 UTC"), time("1969-12-31T23:59:59.999999Z"));
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
        for text in ["2026-11-31", "2026-11-26 25:00", "2026-11-26T22:01:02.5 CET", "tomorrow", "5 minutes", "25:00"] {
            let refused = moment(text).unwrap_err();
            assert!(refused.contains(&format!("`name:{text}`")), "{refused}");
        }
        for text in ["time:noon", "time:before migration", ""] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_shown_in_the_jobs_zone() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let time = shown(&Moment::Time("2026-11-26T13:01:02.5Z".into()), &zone);
        assert_eq!(time, "2026-11-26 22:01:02.5 +09:00");
        assert_eq!(shown(&Moment::Position("0/1".into()), &zone), "the position 0/1");
    }
}
