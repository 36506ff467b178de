//! What an operator wants kept.

use std::fmt;
use std::num::NonZeroU32;

use dozo_repository::{Error, Result};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::bucket::Period;
use crate::limits::SUPERSEDED_DAYS;

/// What is to become of a job's snapshots.
#[derive(Clone, Debug)]
pub enum Retention {
    /// Nobody said: all are kept.
    Unsaid,
    /// All are kept, and somebody said so.
    Forever,
    /// Those that a rule keeps.
    By(Rules),
}

/// The rules of a job. A snapshot is kept if one of them keeps it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where days begin. Never the machine's zone (restic#2233, restic#4484, borg#7282).
    pub zone: TimeZone,
    /// The newest so many.
    pub last: Option<NonZeroU32>,
    /// All that are not older than this.
    pub within: Option<Stretch>,
    /// One of each hour, day, week, month, year, as far back as it says.
    pub calendar: Vec<(Period, Reach)>,
    /// All that carry one of these words.
    pub tagged: Vec<String>,
    /// The day whose snapshot stands for its week. None: the newest of the week does.
    pub weekly_on: Option<Weekday>,
    /// The day whose snapshot stands for its month. None: the newest of the month does.
    pub monthly_on: Option<i8>,
    /// What arrived within this stretch is kept, and deletes nothing. None: for a few days.
    pub superseded_for: Option<Stretch>,
}

/// How far back one snapshot of each period is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// For the newest so many periods that have a snapshot.
    Newest(NonZeroU32),
    /// For all periods whose snapshot is not older than this.
    Within(Stretch),
}

/// A stretch of time before now, in hours, days, weeks, months or years of the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Stretch(Span);

impl Rules {
    /// None yet.
    pub fn new(zone: TimeZone) -> Self {
        Rules {
            zone,
            last: None,
            within: None,
            calendar: Vec::new(),
            tagged: Vec::new(),
            weekly_on: None,
            monthly_on: None,
            superseded_for: None,
        }
    }

    /// Whether no rule keeps anything. Whoever wrote that did not mean to delete everything.
    pub fn is_empty(&self) -> bool {
        self.last.is_none() && self.within.is_none() && self.calendar.is_empty() && self.tagged.is_empty()
    }

    /// What arrived within this stretch is kept, and deletes nothing.
    pub fn superseded_for(&self) -> Stretch {
        self.superseded_for.unwrap_or(Stretch(Span::new().days(SUPERSEDED_DAYS)))
    }

    /// The moment that lies a stretch before now. One that lies before all time is the beginning of time.
    pub(super) fn before(&self, now: Timestamp, stretch: Stretch) -> Timestamp {
        let then = now.to_zoned(self.zone.clone()).checked_sub(stretch.0);
        then.map_or(Timestamp::MIN, |then| then.timestamp())
    }
}

impl Stretch {
    /// From a span. Minutes are refused: `6m` is six minutes, and whoever writes it means months.
    ///
    /// # Errors
    /// [`Invalid`](dozo_repository::Kind::Invalid) if it is negative, or has a part below the hour.
    pub fn new(span: Span) -> Result<Self> {
        if span.is_negative() {
            return Err(Error::invalid(format!("`{span:#}` lies in the future")));
        }
        let below = span.get_minutes() != 0
            || span.get_seconds() != 0
            || span.get_milliseconds() != 0
            || span.get_microseconds() != 0
            || span.get_nanoseconds() != 0;
        if below {
            return Err(Error::invalid(format!("`{span:#}` has a part below the hour, and retention has none"))
                .hinted("months are `mo`: `6mo`"));
        }
        Ok(Stretch(span))
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl PartialEq for Stretch {
    fn eq(&self, other: &Self) -> bool {
        self.0.fieldwise() == other.0.fieldwise()
    }
}

impl Eq for Stretch {}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Retention::Unsaid => f.write_str("everything, because no retention is configured"),
            Retention::Forever => f.write_str("everything, for ever"),
            Retention::By(rules) => rules.fmt(f),
        }
    }
}

impl fmt::Display for Rules {
    /// `last 3, daily 30, weekly 12 on Sunday, in Asia/Tokyo`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.last.map(|n| format!("last {n}")));
        parts.extend(self.within.map(|stretch| format!("within {stretch}")));
        for (period, reach) in &self.calendar {
            let on = match (period, self.weekly_on, self.monthly_on) {
                (Period::Week, Some(day), _) => format!(" on {day:?}"),
                (Period::Month, _, Some(day)) => format!(" on day {day}"),
                _ => String::new(),
            };
            parts.push(match reach {
                Reach::Newest(n) => format!("{} {n}{on}", period.adverb()),
                Reach::Within(stretch) => format!("{} within {stretch}{on}", period.adverb()),
            });
        }
        parts.extend(self.tagged.iter().map(|tag| format!("tagged `{tag}`")));
        write!(f, "{}, in {}", parts.join(", "), self.zone.iana_name().unwrap_or("UTC"))
    }
}
