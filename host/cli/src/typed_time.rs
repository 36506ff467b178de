//! Times as people write them. Pure: now, and the zone of what has none, are handed in.

mod zone;

use dozo_job::Error;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{RoundMode, SignedDuration, Span, Timestamp, TimestampRound, ToSpan, Unit, Zoned};

pub(crate) use zone::{named as zone_named, shown as zone_shown};

/// How a time can be written.
pub(crate) const FORMS: &str = "`2026-11-23`, `2026-11-23 02:00`, `2026-11-23 02:00:00 +09:00`, `2026-11-23 02:00 Asia/Tokyo`, \
                                `02:00` (today), `yesterday 02:00`, `5 minutes ago` or `now`";

/// What a time stands for that leaves something out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Its end: a date means the end of the day, minutes the end of the minute, so that a snapshot is found by the time that a
    /// listing shows.
    End,
    /// Its beginning, exactly: what came after must not be recovered with it.
    Begin,
}

/// A time that was typed.
#[derive(Debug)]
pub(crate) struct TypedTime {
    text: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Now,
    /// So long before now; the span is negative.
    Ago(Span),
    /// With its zone in brackets, as RFC 9557 writes it.
    Full(Zoned),
    Calendar(Day, Option<Clock>, Option<TimeZone>),
}

#[derive(Clone, Copy, Debug)]
enum Day {
    Date(Date),
    /// So many days before today.
    Before(i64),
    /// Nobody said: today, as far as it has come.
    Unsaid,
}

/// A time of day, and how long what it leaves out may last.
#[derive(Clone, Copy, Debug)]
struct Clock {
    time: Time,
    left_out: SignedDuration,
}

impl TypedTime {
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let wrong = || Error::invalid(format!("`{text}` is not a time")).hinted(FORMS);
        let lower = text.to_ascii_lowercase();
        let what = if lower == "now" {
            What::Now
        } else if lower.ends_with(" ago") {
            let span = lower.parse::<Span>().map_err(|e| wrong().caused_by(e))?;
            if !span.is_negative() && !span.is_zero() {
                return Err(wrong());
            }
            What::Ago(span)
        } else if text.contains('[') {
            What::Full(text.parse().map_err(|e: jiff::Error| wrong().caused_by(e))?)
        } else {
            calendar(text, &lower, &wrong)?
        };
        Ok(TypedTime { text: text.into(), what })
    }

    /// What was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is another time in another zone.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self.what, What::Ago(_) | What::Calendar(_, _, None))
    }

    /// A time that this means, for people: with what it has below the second where that was typed.
    pub(crate) fn shown(&self, at: Timestamp) -> Timestamp {
        let is_typed = match &self.what {
            What::Now | What::Ago(_) | What::Calendar(_, None, _) => false,
            What::Calendar(_, Some(clock), _) => clock.left_out == SignedDuration::ZERO,
            What::Full(zoned) => zoned.subsec_nanosecond() != 0,
        };
        if is_typed { at } else { second(at) }
    }

    /// The same with a zone, as it can be typed.
    pub(crate) fn with_zone(&self, zone: &TimeZone, at: Timestamp) -> String {
        match self.what {
            What::Calendar(..) => format!("{} {}", self.text, zone_shown(zone, at)),
            _ => crate::ui::words::exact_time_in(at, zone),
        }
    }

    /// The moment that is meant, if what is typed without a zone is of this one.
    pub(crate) fn when(&self, zone: &TimeZone, now: Timestamp, left_out: LeftOut) -> Result<Timestamp, Error> {
        let beyond = |e: jiff::Error| Error::invalid(format!("`{}` is beyond all time", self.text)).caused_by(e);
        match &self.what {
            What::Now => Ok(begun(now, left_out)),
            What::Ago(span) => {
                let at = now.to_zoned(zone.clone()).checked_add(*span).map_err(beyond)?.timestamp();
                Ok(begun(at, left_out))
            }
            What::Full(zoned) => Ok(zoned.timestamp()),
            What::Calendar(day, clock, own) => {
                let zone = own.as_ref().unwrap_or(zone);
                let date = match day {
                    Day::Date(date) => *date,
                    Day::Before(days) => {
                        let today = now.to_zoned(zone.clone()).date();
                        today.checked_sub(days.days()).map_err(beyond)?
                    }
                    Day::Unsaid => now.to_zoned(zone.clone()).date(),
                };
                if let (Day::Unsaid, Some(clock)) = (day, clock) {
                    self.refuse_to_come((date, clock), zone, now)?;
                }
                let local = match (clock, left_out) {
                    (None, LeftOut::Begin) => date.to_datetime(Time::MIN),
                    (None, LeftOut::End) => date.to_datetime(Time::MAX),
                    (Some(clock), LeftOut::Begin) => date.to_datetime(clock.time),
                    (Some(clock), LeftOut::End) => date.to_datetime(clock.time).saturating_add(clock.left_out),
                };
                self.in_zone(local, zone, left_out)
            }
        }
    }

    /// Whether a time of day without a day is one that a clock has shown today.
    fn refuse_to_come(&self, (today, clock): (Date, &Clock), zone: &TimeZone, now: Timestamp) -> Result<(), Error> {
        let local = now.to_zoned(zone.clone());
        if local.datetime() >= today.to_datetime(clock.time) {
            return Ok(());
        }
        let (text, zone) = (&self.text, zone_shown(zone, now));
        let why = format!("`{text}` is today, and yet to come: in {zone} it is {}", local.strftime("%H:%M:%S"));
        Err(Error::invalid(why).hinted(format!("with its day: `yesterday {text}`, `{today} {text}`")))
    }

    fn in_zone(&self, local: DateTime, zone: &TimeZone, left_out: LeftOut) -> Result<Timestamp, Error> {
        let beyond = |e: jiff::Error| Error::invalid(format!("`{}` is beyond all time", self.text)).caused_by(e);
        let zoned = zone.to_ambiguous_zoned(local);
        let (before, after, how) = match (zoned.offset(), left_out) {
            (AmbiguousOffset::Unambiguous { .. }, _) | (_, LeftOut::End) => {
                return Ok(zoned.compatible().map_err(beyond)?.timestamp());
            }
            (AmbiguousOffset::Gap { before, after }, _) => (before, after, "never showed"),
            (AmbiguousOffset::Fold { before, after }, _) => (before, after, "showed twice"),
        };
        let name = zone.iana_name().unwrap_or("that zone");
        let why = format!("the clocks of {name} {how} `{}`", self.text);
        let written =
            |offset: Offset| format!("`{} {}`", local.strftime("%Y-%m-%d %H:%M:%S%.f"), zone::offset_shown(offset));
        Err(Error::invalid(why).hinted(format!("write the offset: {} or {}", written(before), written(after))))
    }
}

/// What lies below the second is left out of `now`, too.
fn begun(at: Timestamp, left_out: LeftOut) -> Timestamp {
    if left_out == LeftOut::Begin { second(at) } else { at }
}

/// The second that a time is in.
fn second(at: Timestamp) -> Timestamp {
    let cut = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
    at.round(cut).unwrap_or(at)
}

/// A day, then maybe a time of day, then maybe a zone.
fn calendar(text: &str, lower: &str, wrong: &dyn Fn() -> Error) -> Result<What, Error> {
    let words = [("today", 0), ("yesterday", 1)];
    let (day, rest) = match words.into_iter().find(|(word, _)| lower.starts_with(word)) {
        Some((word, days)) => (Day::Before(days), &text[word.len()..]),
        None if is_clock(text) => (Day::Unsaid, text),
        None => {
            let (date, rest) = text.split_at_checked(10).ok_or_else(wrong)?;
            if !is_date(date) {
                return Err(wrong());
            }
            (Day::Date(date.parse().map_err(|e: jiff::Error| wrong().caused_by(e))?), rest)
        }
    };
    let after_t = rest.strip_prefix(['T', 't']).filter(|_| matches!(day, Day::Date(_)));
    // Words need a space before a time; a date can have its zone right behind it.
    let is_apart = matches!(day, Day::Unsaid)
        || rest.is_empty()
        || rest.starts_with([' ', '+', '-', 'Z', 'z'])
        || after_t.is_some();
    if !is_apart {
        return Err(wrong());
    }
    let rest = after_t.unwrap_or(rest).trim_start();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ":.,".contains(c))).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let clock = match time.is_empty() {
        true if after_t.is_some() => return Err(wrong()),
        true => None,
        false => Some(clock(time).ok_or_else(wrong)?),
    };
    let zone = match zone.trim() {
        "" => None,
        half if ["am", "pm"].contains(&half.to_ascii_lowercase().as_str()) => return Err(wrong()),
        zone => {
            let without = text[..text.len() - zone.len()].trim_end();
            Some(zone::read(zone).map_err(|e| e.hinted(zone::hint(without)))?)
        }
    };
    Ok(What::Calendar(day, clock, zone))
}

/// `02:00`, `02:00:07`, `02:00:07.5`.
fn clock(text: &str) -> Option<Clock> {
    let left_out = match (text.matches(':').count(), text.contains(['.', ','])) {
        (1, false) => SignedDuration::new(59, 999_999_999),
        (2, false) => SignedDuration::new(0, 999_999_999),
        (2, true) => SignedDuration::ZERO,
        _ => return None,
    };
    Some(Clock { time: text.parse().ok()?, left_out })
}

fn is_date(text: &str) -> bool {
    let shape = |(at, b): (usize, u8)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}

/// Whether somebody who typed this may have meant a time: it is never looked up as a name.
pub(crate) fn resembles_a_time(text: &str) -> bool {
    const WORDS: [&str; 7] = ["now", "today", "yesterday", "tomorrow", "noon", "midnight", "ago"];
    const UNITS: [&str; 8] = ["second", "minute", "hour", "day", "night", "week", "month", "year"];
    let lower = text.trim().to_ascii_lowercase();
    let words: Vec<&str> = lower.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let Some(first) = words.first() else { return false };
    let second = words.get(1).copied().unwrap_or_default();
    let is_unit = |word: &str| UNITS.contains(&word.trim_end_matches('s'));
    words.iter().any(|word| WORDS.contains(word) || is_clock(word))
        || lower.strip_prefix("now").is_some_and(|rest| rest.starts_with(['-', '+']))
        || is_of_calendar(first)
        || ["last", "next", "this"].contains(first) && (is_unit(second) || is_of_calendar(second))
        || is_numbers_of_a_date(first)
        || first.bytes().all(|b| b.is_ascii_digit()) && (is_unit(second) || is_of_calendar(second))
        || lower.parse::<Span>().is_ok()
}

/// A weekday or a month, in full or in three letters.
fn is_of_calendar(word: &str) -> bool {
    const NAMES: [&str; 19] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    NAMES.iter().any(|name| *name == word || word.len() == 3 && name.starts_with(word))
}

/// `14:00`, `9:30pm`.
fn is_clock(word: &str) -> bool {
    let Some((hours, rest)) = word.split_once(':') else { return false };
    let digits = |text: &str| !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    digits(hours) && rest.get(..2).is_some_and(digits)
}

/// `2026-11…`, `20261123…`, `11/23/2026`, `23.11.2026`, `@1700000000`.
fn is_numbers_of_a_date(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let begins_as_a_date = word.len() >= 7
        && word.as_bytes()[4] == b'-'
        && [&word.as_bytes()[..4], &word.as_bytes()[5..7]].concat().iter().all(u8::is_ascii_digit);
    let is_of_three = |by: char| {
        let parts: Vec<&str> = word.split(by).collect();
        parts.len() == 3 && parts.iter().all(|part| digits(part)) && [0, 2].iter().any(|at| parts[*at].len() == 4)
    };
    let is_compact = word.get(..8).is_some_and(digits);
    begins_as_a_date || is_compact || is_of_three('/') || is_of_three('.') || word.strip_prefix('@').is_some_and(digits)
}

#[cfg(test)]
mod tests;
