//! Hours, days, weeks, months and years of a time zone: what of several snapshots counts as one.

use std::cmp::Reverse;
use std::fmt;

use jiff::tz::Offset;
use jiff::{Timestamp, Zoned};

use super::rules::Rules;

/// A piece of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight, whether that is 23, 24 or 25 hours.
    Day,
    /// From Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

impl Period {
    /// `daily`.
    pub fn adverb(self) -> &'static str {
        match self {
            Period::Hour => "hourly",
            Period::Day => "daily",
            Period::Week => "weekly",
            Period::Month => "monthly",
            Period::Year => "yearly",
        }
    }
}

/// One hour, day, week, month or year. A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    period: Period,
    /// Year, month or week, day, hour, as far as the period has them.
    numbers: [i16; 4],
    /// An hour that comes twice, when the clocks are put back, is two; the first has the greater offset.
    offset: Option<Reverse<Offset>>,
}

impl Bucket {
    /// The bucket that a moment falls into.
    pub(super) fn of(period: Period, at: &Zoned) -> Self {
        let (year, month, day) = (at.year(), i16::from(at.month()), i16::from(at.day()));
        let numbers = match period {
            Period::Hour => [year, month, day, i16::from(at.hour())],
            Period::Day => [year, month, day, 0],
            Period::Week => {
                let week = at.date().iso_week_date();
                [week.year(), i16::from(week.week()), 0, 0]
            }
            Period::Month => [year, month, 0, 0],
            Period::Year => [year, 0, 0, 0],
        };
        Bucket { period, numbers, offset: (period == Period::Hour).then(|| Reverse(at.offset())) }
    }
}

/// Whether a snapshot of this moment stands for its period though it is not the newest of it.
pub(super) fn is_preferred(period: Period, at: &Zoned, rules: &Rules) -> bool {
    match period {
        Period::Week => rules.weekly_on == Some(at.weekday()),
        Period::Month => rules.monthly_on == Some(at.day()),
        Period::Hour | Period::Day | Period::Year => false,
    }
}

/// A moment where the rules count.
pub(super) fn zoned(at: Timestamp, rules: &Rules) -> Zoned {
    at.to_zoned(rules.zone.clone())
}

impl fmt::Display for Bucket {
    /// `hourly 2026-10-25T02+01`, `daily 2026-11-22`, `weekly 2026-W47`, `monthly 2026-11`, `yearly 2026`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, second, day, hour] = self.numbers;
        write!(f, "{} {year:04}", self.period.adverb())?;
        match self.period {
            Period::Hour => write!(f, "-{second:02}-{day:02}T{hour:02}")?,
            Period::Day => write!(f, "-{second:02}-{day:02}")?,
            Period::Week => write!(f, "-W{second:02}")?,
            Period::Month => write!(f, "-{second:02}")?,
            Period::Year => {}
        }
        match self.offset {
            Some(Reverse(offset)) => write!(f, "{offset}"),
            None => Ok(()),
        }
    }
}
