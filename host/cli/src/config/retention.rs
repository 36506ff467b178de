//! `retention` and `timezone`: from the tables to the rules. A key that would do nothing is a mistake, because whoever
//! wrote it believes that it does something (restic#3861).

use std::num::NonZeroU32;

use dozo_job::retention::{Period, Reach, Retention, Rules, Stretch};
use jiff::Span;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use super::place::did_you_mean;
use super::{ConfigError, JobTable, Loaded};

/// Which snapshots are kept: those that one of these rules keeps. The others are deleted by the next prune.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionTable {
    /// The newest so many.
    #[schemars(range(min = 1))]
    pub(crate) last: Option<u32>,
    /// The newest of each hour, for the newest so many hours that have one.
    #[schemars(range(min = 1))]
    pub(crate) hourly: Option<u32>,
    /// The newest of each day, for the newest so many days that have one.
    #[schemars(range(min = 1))]
    pub(crate) daily: Option<u32>,
    /// One of each week (Monday to Sunday), for the newest so many weeks that have one.
    #[schemars(range(min = 1))]
    pub(crate) weekly: Option<u32>,
    /// One of each month, for the newest so many months that have one.
    #[schemars(range(min = 1))]
    pub(crate) monthly: Option<u32>,
    /// The newest of each year, for the newest so many years that have one.
    #[schemars(range(min = 1))]
    pub(crate) yearly: Option<u32>,
    /// All that are not older than this, such as `"36h"`, `"14d"`, `"6mo"`, `"1y"`.
    #[schemars(with = "Option<String>")]
    pub(crate) within: Option<Span>,
    /// The newest of each hour, as far as it is not older than this.
    #[schemars(with = "Option<String>")]
    pub(crate) within_hourly: Option<Span>,
    /// The newest of each day, as far as it is not older than this.
    #[schemars(with = "Option<String>")]
    pub(crate) within_daily: Option<Span>,
    /// One of each week, as far as it is not older than this.
    #[schemars(with = "Option<String>")]
    pub(crate) within_weekly: Option<Span>,
    /// One of each month, as far as it is not older than this.
    #[schemars(with = "Option<String>")]
    pub(crate) within_monthly: Option<Span>,
    /// The newest of each year, as far as it is not older than this.
    #[schemars(with = "Option<String>")]
    pub(crate) within_yearly: Option<Span>,
    /// All that carry one of these words.
    pub(crate) tagged: Option<Vec<String>>,
    /// `true`: all, for ever.
    pub(crate) forever: Option<bool>,
    /// The day whose newest snapshot stands for its week, such as `"sunday"`, if it has one. Default: the week's newest.
    pub(crate) weekly_on: Option<WeekdayName>,
    /// The day (1 to 31) whose newest snapshot stands for its month, if it has one. Default: the month's newest.
    #[schemars(range(min = 1, max = 31))]
    pub(crate) monthly_on: Option<i8>,
    /// What arrived within this time is kept, and deletes nothing: a stolen host cannot push history out unseen. Default:
    /// `"3d"`. `"0d"` does without.
    #[schemars(with = "Option<String>")]
    pub(crate) superseded_for: Option<Span>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WeekdayName {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A table, and where it stands.
struct Place<'a> {
    loaded: &'a Loaded,
    keys: Vec<&'a str>,
}

impl Loaded {
    /// What becomes of a job's snapshots: what the job says, else what the defaults say, else all are kept.
    pub(crate) fn retention(&self, name: &str, job: &JobTable) -> Result<Retention, ConfigError> {
        let zone = self.zone(name, job)?;
        let defaults = &self.config.defaults.retention;
        match (&job.retention, defaults) {
            (Some(table), _) => self.convert(table, &["job", name, "retention"], zone),
            (None, Some(table)) => self.convert(table, &["defaults", "retention"], zone),
            (None, None) => Ok(Retention::Unsaid),
        }
    }

    /// Where a job's days begin.
    pub(crate) fn zone(&self, name: &str, job: &JobTable) -> Result<TimeZone, ConfigError> {
        match (&job.timezone, &self.config.defaults.timezone) {
            (Some(zone), _) => self.find_zone(zone, &["job", name, "timezone"]),
            (None, Some(zone)) => self.find_zone(zone, &["defaults", "timezone"]),
            (None, None) => Ok(TimeZone::UTC),
        }
    }

    /// The zone of a job of this configuration, if it names one.
    pub(crate) fn configured_zone(&self, name: &str) -> Result<Option<TimeZone>, ConfigError> {
        let Some(job) = self.config.job.get(name) else { return Ok(None) };
        let is_said = job.timezone.is_some() || self.config.defaults.timezone.is_some();
        if is_said { self.zone(name, job).map(Some) } else { Ok(None) }
    }

    /// Everything about retention, whether a job uses it or not.
    pub(super) fn check_retention(&self) -> Vec<ConfigError> {
        let defaults = &self.config.defaults;
        let zone = defaults.timezone.iter().map(|zone| self.find_zone(zone, &["defaults", "timezone"]).map(|_| ()));
        let retention = defaults.retention.iter();
        let retention =
            retention.map(|table| self.convert(table, &["defaults", "retention"], TimeZone::UTC).map(|_| ()));
        let shared: Vec<ConfigError> = zone.chain(retention).filter_map(Result::err).collect();
        if !shared.is_empty() {
            // Each job would say the same again.
            return shared;
        }
        let jobs = self.config.job.iter().map(|(name, job)| self.retention(name, job).map(|_| ()));
        std::iter::once(self.retention_of_others().map(|_| ())).chain(jobs).filter_map(Result::err).collect()
    }

    /// What becomes of the snapshots of jobs that this configuration does not have.
    pub(crate) fn retention_of_others(&self) -> Result<Retention, ConfigError> {
        let Some(table) = &self.config.prune.others else { return Ok(Retention::Unsaid) };
        let zone = match &self.config.defaults.timezone {
            Some(zone) => self.find_zone(zone, &["defaults", "timezone"])?,
            None => TimeZone::UTC,
        };
        self.convert(table, &["prune", "others"], zone)
    }

    fn find_zone(&self, name: &str, keys: &[&str]) -> Result<TimeZone, ConfigError> {
        if let Some(zone) = TimeZone::get(name).ok().filter(|zone| is_place(name) && !zone.is_unknown()) {
            return Ok(zone);
        }
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = did_you_mean(name, known.iter().map(String::as_str).filter(|name| is_place(name)));
        let hint = match near.starts_with("did you mean") {
            true => near,
            false => "names are those of the IANA, such as `Europe/Berlin` or `UTC`".to_string(),
        };
        Err(self.fault(keys, format!("`{name}` is not a time zone")).hinted(hint))
    }

    fn convert(&self, table: &RetentionTable, keys: &[&str], zone: TimeZone) -> Result<Retention, ConfigError> {
        let place = Place { loaded: self, keys: keys.to_vec() };
        let rules = place.rules(table, zone)?;
        match table.forever {
            Some(true) if rules.is_empty() && rules.superseded_for.is_none() => Ok(Retention::Forever),
            Some(true) => Err(place
                .fault("forever", "`forever` leaves nothing to the other keys")
                .hinted("leave them out, or `forever`")),
            Some(false) => Err(place
                .fault("forever", "`forever = false` says nothing")
                .hinted("leave it out, and write what is to be kept: `daily = 30`")),
            None if rules.is_empty() => Err(place
                .fault("", "there is no rule in this table that keeps a snapshot")
                .hinted("`daily = 30` is one; `forever = true` keeps everything")),
            None => Ok(Retention::By(rules)),
        }
    }
}

/// Whether this names the zone of a place. Zone directories hold names of other things: one is the machine's own zone,
/// some count leap seconds.
pub(crate) fn is_place(name: &str) -> bool {
    let machine = ["localtime", "posixrules", "factory"].iter().any(|other| name.eq_ignore_ascii_case(other));
    !machine && !["posix/", "right/"].iter().any(|prefix| name.to_ascii_lowercase().starts_with(prefix))
}

impl Place<'_> {
    fn rules(&self, table: &RetentionTable, zone: TimeZone) -> Result<Rules, ConfigError> {
        let mut rules = Rules::new(zone);
        rules.last = self.number("last", table.last)?;
        rules.within = self.stretch("within", table.within)?;
        for (key, period, number) in [
            ("hourly", Period::Hour, table.hourly),
            ("daily", Period::Day, table.daily),
            ("weekly", Period::Week, table.weekly),
            ("monthly", Period::Month, table.monthly),
            ("yearly", Period::Year, table.yearly),
        ] {
            rules.calendar.extend(self.number(key, number)?.map(|n| (period, Reach::Newest(n))));
        }
        for (key, period, span) in [
            ("within_hourly", Period::Hour, table.within_hourly),
            ("within_daily", Period::Day, table.within_daily),
            ("within_weekly", Period::Week, table.within_weekly),
            ("within_monthly", Period::Month, table.within_monthly),
            ("within_yearly", Period::Year, table.within_yearly),
        ] {
            rules.calendar.extend(self.stretch(key, span)?.map(|stretch| (period, Reach::Within(stretch))));
        }
        rules.tagged = self.tags(table.tagged.as_ref())?;
        rules.weekly_on = table.weekly_on.map(Weekday::from);
        rules.monthly_on = self.day(table.monthly_on)?;
        rules.superseded_for = table.superseded_for.map(|span| self.checked("superseded_for", span)).transpose()?;
        self.check_days(&rules)?;
        Ok(rules)
    }

    /// The day that stands for a week or a month does nothing where no week or month is kept.
    fn check_days(&self, rules: &Rules) -> Result<(), ConfigError> {
        let keeps = |period| rules.calendar.iter().any(|(kept, _)| *kept == period);
        for (key, given, period) in [
            ("weekly_on", rules.weekly_on.is_some(), Period::Week),
            ("monthly_on", rules.monthly_on.is_some(), Period::Month),
        ] {
            if given && !keeps(period) {
                let adverb = period.adverb();
                let message = format!("`{key}` does nothing without `{adverb}` or `within_{adverb}`");
                return Err(self.fault(key, message).hinted(format!("`{adverb} = 12`")));
            }
        }
        Ok(())
    }

    fn number(&self, key: &str, number: Option<u32>) -> Result<Option<NonZeroU32>, ConfigError> {
        let Some(number) = number else { return Ok(None) };
        match NonZeroU32::new(number) {
            Some(number) => Ok(Some(number)),
            None => Err(self.fault(key, format!("`{key} = 0` keeps nothing")).hinted("leave it out, or say how many")),
        }
    }

    fn stretch(&self, key: &str, span: Option<Span>) -> Result<Option<Stretch>, ConfigError> {
        let Some(span) = span else { return Ok(None) };
        if span.is_zero() {
            return Err(self.fault(key, format!("`{key}` of no time keeps nothing")).hinted("leave it out"));
        }
        self.checked(key, span).map(Some)
    }

    fn checked(&self, key: &str, span: Span) -> Result<Stretch, ConfigError> {
        Stretch::new(span).map_err(|e| self.fault(key, e.to_string()).hinted(e.hint().unwrap_or_default()))
    }

    fn tags(&self, tags: Option<&Vec<String>>) -> Result<Vec<String>, ConfigError> {
        let Some(tags) = tags else { return Ok(Vec::new()) };
        if tags.is_empty() || tags.iter().any(String::is_empty) {
            return Err(self.fault("tagged", "`tagged` needs words that snapshots can carry").hinted("leave it out"));
        }
        Ok(tags.clone())
    }

    fn day(&self, day: Option<i8>) -> Result<Option<i8>, ConfigError> {
        match day {
            Some(day) if !(1..=31).contains(&day) => {
                Err(self.fault("monthly_on", format!("`{day}` is not a day of a month")).hinted("1 to 31"))
            }
            _ => Ok(day),
        }
    }

    fn fault(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let mut keys = self.keys.clone();
        keys.extend(Some(key).filter(|key| !key.is_empty()));
        self.loaded.fault(&keys, message)
    }
}

impl From<WeekdayName> for Weekday {
    fn from(name: WeekdayName) -> Self {
        match name {
            WeekdayName::Monday => Weekday::Monday,
            WeekdayName::Tuesday => Weekday::Tuesday,
            WeekdayName::Wednesday => Weekday::Wednesday,
            WeekdayName::Thursday => Weekday::Thursday,
            WeekdayName::Friday => Weekday::Friday,
            WeekdayName::Saturday => Weekday::Saturday,
            WeekdayName::Sunday => Weekday::Sunday,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[repository]\nurl = \"file:///backup\"\nkey = \"host.key\"\n";

    /// What the job `files` keeps, in words, or the complaint.
    fn keeps(text: &str) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dozo.toml");
        std::fs::write(&file, format!("{HEAD}{text}")).unwrap();
        let loaded = Loaded::read(Some(&file)).map_err(|error| {
            let error = error.downcast::<ConfigError>().unwrap();
            let shown = error.to_string().replace(&file.display().to_string(), "dozo.toml");
            format!("{shown}\nhint: {}", error.hint().unwrap_or_default())
        })?;
        let job = &loaded.config.job["files"];
        Ok(loaded.retention("files", job).unwrap().to_string())
    }

    #[test]
    fn tables_become_rules() {
        let job = "[job.files]\nplugin = \"filesystem\"\n";
        let defaults = "[defaults]\ntimezone = \"Asia/Tokyo\"\nretention = { daily = 30, monthly = 12 }\n";
        for (text, expected) in [
            (job.to_string(), "everything, because no retention is configured"),
            (format!("{job}retention = {{ forever = true }}"), "everything, for ever"),
            (format!("{job}retention = {{ last = 3 }}"), "last 3, in UTC"),
            (format!("{defaults}{job}"), "daily 30, monthly 12, in Asia/Tokyo"),
            // The job's table takes the place of the default as a whole, and its zone that of the other.
            (format!("{defaults}{job}retention = {{ daily = 90 }}"), "daily 90, in Asia/Tokyo"),
            (format!("{defaults}{job}timezone = \"Europe/Berlin\""), "daily 30, monthly 12, in Europe/Berlin"),
            (
                format!(
                    "{job}[job.files.retention]\nwithin = \"2w\"\nwithin_hourly = \"36h\"\nweekly = 12\nweekly_on = \"sunday\"\nwithin_monthly = \"1y\"\nmonthly_on = 1\nyearly = 7\ntagged = [\"release\"]\nsuperseded_for = \"0d\""
                ),
                "within 2w, weekly 12 on Sunday, yearly 7, hourly within 36h, monthly within 1y on day 1, tagged `release`, in UTC",
            ),
        ] {
            assert_eq!(keeps(&text).as_deref(), Ok(expected), "{text}");
        }
    }

    /// restic#3861: `--keep-within-daily 2w` was ignored without a word. Here every key does something, or is a mistake.
    #[test]
    fn a_key_that_would_do_nothing_is_a_mistake_in_its_place() {
        for (table, message, hint) in [
            ("{}", "there is no rule", "daily = 30"),
            ("{ superseded_for = \"3d\" }", "there is no rule", "daily = 30"),
            ("{ daily = 0 }", "`daily = 0` keeps nothing", "leave it out"),
            ("{ daily = -1 }", "the number `-1` is out of place", ""),
            ("{ daily = \"30\" }", "this is the text \"30\"", ""),
            ("{ dayly = 30 }", "`dayly` is not a key", "did you mean `daily`?"),
            ("{ keep_daily = 30 }", "`keep_daily` is not a key", ""),
            ("{ within = \"6m\" }", "`6m` has a part below the hour", "`6mo`"),
            ("{ within = \"0d\" }", "`within` of no time keeps nothing", ""),
            ("{ within = \"-3d\" }", "lies in the future", ""),
            ("{ within = \"soon\" }", "`\"soon\"` is no time", "`\"14d\"`"),
            ("{ within = 14 }", "this is the number `14`", ""),
            ("{ tagged = [] }", "`tagged` needs words", ""),
            ("{ forever = false }", "`forever = false` says nothing", ""),
            ("{ forever = true, daily = 3 }", "`forever` leaves nothing", ""),
            ("{ daily = 3, weekly_on = \"sunday\" }", "`weekly_on` does nothing without `weekly`", "`weekly = 12`"),
            ("{ daily = 3, monthly_on = 1 }", "`monthly_on` does nothing without `monthly`", "`monthly = 12`"),
            ("{ weekly = 3, weekly_on = \"sonntag\" }", "`sonntag` is none of the words", "`sunday`"),
            ("{ monthly = 3, monthly_on = 32 }", "`32` is not a day of a month", "1 to 31"),
        ] {
            for text in [
                format!("[defaults]\nretention = {table}\n"),
                format!("[job.files]\nplugin = \"filesystem\"\nretention = {table}\n"),
            ] {
                let line = HEAD.lines().count() + text.lines().count();
                let shown = keeps(&text).expect_err(table);
                assert!(shown.contains(message) && shown.contains(hint), "{table}: {shown}");
                assert!(shown.contains(&format!("dozo.toml:{line}:")), "{table}: {shown}");
            }
        }
    }

    #[test]
    fn a_wrong_time_zone_is_a_mistake_whether_it_is_used_or_not() {
        for (zone, hint) in [
            ("Asia/Tokio", "did you mean `Asia/Tokyo`?"),
            ("Mars/Olympus", "names are those of the IANA"),
            ("", "names are those of the IANA"),
            ("local", "names are those of the IANA"),
            ("localtime", "names are those of the IANA"),
            ("right/Asia/Tokyo", "did you mean `Asia/Tokyo`?"),
            ("+09:00", "names are those of the IANA"),
        ] {
            let shown = keeps(&format!("[defaults]\ntimezone = \"{zone}\"\n")).expect_err(zone);
            assert!(shown.contains(&format!("`{zone}` is not a time zone")), "{shown}");
            assert!(shown.contains(hint) && shown.contains("dozo.toml:5:12"), "{shown}");
        }
    }
}
