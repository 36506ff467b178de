//! The settings with which a server recovers (PostgreSQL, "Recovery Target").

use dozo_sdk::prelude::*;
use jiff::Timestamp;

use super::plan::{Plan, Stop};
use crate::chain::{Least, Needs};
use crate::server::Micros;

/// The option that says what the server does where it stops.
const TARGET_ACTION: &str = "target_action";
/// What else a server is told, whatever its other files say: of targets it takes no two, and what was meant for another recovery
/// must not cut this one short, delay it, or clean up after it.
const OTHERWISE: [(&str, &str); 9] = [
    ("recovery_target", ""),
    ("recovery_target_name", ""),
    ("recovery_target_time", ""),
    ("recovery_target_xid", ""),
    ("recovery_target_lsn", ""),
    ("recovery_target_inclusive", "on"),
    ("recovery_min_apply_delay", "0"),
    ("archive_cleanup_command", ""),
    ("recovery_end_command", ""),
];

/// What a server is told.
pub(super) struct Recovery {
    /// Each once, the target last: the server takes no other target behind one, not even an empty one.
    settings: Vec<(&'static str, String)>,
    why: String,
}

impl Recovery {
    /// How to stop where the plan says, with settings that recovery needs to get there.
    pub(super) fn new(
        restore: &Restore,
        plan: &Plan,
        (needs, changes): (Option<Needs>, impl Iterator<Item = [u32; 5]>),
    ) -> Result<Self> {
        let action = action(&restore.options)?;
        if plan.stop == Stop::End && action != "promote" {
            return Err(Error::Invalid(format!(
                "nothing comes after that moment, so there is no place where the server could {action}; hint: leave \
                 `--option {TARGET_ACTION}={action}` out"
            )));
        }
        let target = match &plan.stop {
            Stop::End => vec![],
            Stop::Time(time) => vec![("recovery_target_time", server_time(*time)?)],
            Stop::Before(at) => {
                vec![("recovery_target_inclusive", "off".into()), ("recovery_target_lsn", at.to_string())]
            }
        };
        let otherwise = OTHERWISE.iter().map(|(name, value)| (*name, (*value).to_string()));
        let mut settings: Vec<(&str, String)> = otherwise.collect();
        // WAL lies where the server looks when its command has none; it must have a command.
        settings.push(("restore_command", "false".into()));
        settings.push(("recovery_target_timeline", plan.timeline.to_string()));
        settings.push(("recovery_target_action", action));
        settings.extend(at_least(needs, changes).map(|(name, value)| (name, value.to_string())));
        settings.retain(|(name, _)| target.iter().all(|(other, _)| other != name));
        settings.extend(target);
        Ok(Recovery { settings, why: plan.stop.shown() })
    }

    /// A server that finds tablespaces in the data directory itself ends, unless it is told that they may be there.
    pub(super) fn allow_in_place(&mut self) {
        self.settings.insert(0, ("allow_in_place_tablespaces", "on".into()));
    }

    /// The file of settings, with these at its end and others for a recovery taken out.
    pub(super) fn auto_conf(&self, old: &[u8]) -> Result<Vec<u8>> {
        let old = std::str::from_utf8(old).map_err(|_| Error::Corrupt("postgresql.auto.conf is not UTF-8".into()))?;
        let kept = old.lines().filter(|line| {
            let name = line.trim_start().split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
            !self.settings.iter().any(|(ours, _)| name.eq_ignore_ascii_case(ours))
        });
        let mut new: String = kept.flat_map(|line| [line, "\n"]).collect();
        new.push_str(&format!("# dozo recovers to {}\n", self.why.replace('\n', " ")));
        for (name, value) in &self.settings {
            new.push_str(&format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")));
        }
        Ok(new.into_bytes())
    }
}

/// Settings that a copy does not have by itself as high as recovery needs them: the highest that the original had at its base
/// backup, and after each change on the way.
fn at_least(
    needs: Option<Needs>,
    changes: impl Iterator<Item = [u32; 5]>,
) -> impl Iterator<Item = (&'static str, u32)> {
    let Needs { values, come_along } = needs.unwrap_or(Needs { values: [0; 5], come_along: [true; 5] });
    let highest = changes.fold(values, |mut highest, change| {
        highest.iter_mut().zip(change).for_each(|(known, new)| *known = new.max(*known));
        highest
    });
    let all = Least::SETTINGS.into_iter().zip(highest).enumerate();
    all.filter(move |(at, (_, value))| *value > values[*at] || (!come_along[*at] && *value > 0))
        .map(|(_, setting)| setting)
}

fn action(options: &[(String, String)]) -> Result<String> {
    let known = |name: &str| [TARGET_ACTION, super::TABLESPACES].contains(&name) || name.starts_with("map:");
    if let Some((name, _)) = options.iter().find(|(name, _)| !known(name)) {
        let takes = format!("`{TARGET_ACTION}` and `{}`", super::TABLESPACES);
        return Err(Error::Invalid(format!("there is no option `{name}`; it takes {takes}")));
    }
    let action =
        options.iter().rev().find(|(name, _)| name == TARGET_ACTION).map_or("promote", |(_, value)| value.as_str());
    match action {
        "promote" | "pause" | "shutdown" => Ok(action.into()),
        other => Err(Error::Invalid(format!("`{TARGET_ACTION}={other}`: it is promote, pause or shutdown"))),
    }
}

/// As the server reads it.
fn server_time(time: Micros) -> Result<String> {
    let time = Timestamp::from_microsecond(time).map_err(|e| Error::Invalid(format!("{time} µs is no time: {e}")))?;
    Ok(time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovery(settings: &[(&'static str, &str)]) -> Recovery {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_string()));
        Recovery { settings: settings.collect(), why: "x".into() }
    }

    #[test]
    fn what_was_set_stays_but_for_another_recovery() {
        let old =
            "# comment\nshared_buffers = '1GB'\nrecovery_target_time = 'x'\n  Restore_Command='cp'\nlog_line = 'a'\n";
        let ours = [("recovery_target_name", "it's \\"), ("recovery_target_time", ""), ("restore_command", "false")];
        let new = recovery(&ours).auto_conf(old.as_bytes()).unwrap();
        let wanted = "# comment\nshared_buffers = '1GB'\nlog_line = 'a'\n# dozo recovers to x\nrecovery_target_name = 'it''s \\\\'\nrecovery_target_time = ''\nrestore_command = 'false'\n";
        assert_eq!(String::from_utf8(new).unwrap(), wanted);
        assert!(recovery(&[]).auto_conf(b"\xff").is_err());
    }

    #[test]
    fn what_a_copy_lacks_is_written_as_high_as_it_ever_was() {
        let of = |needs: Option<Needs>, changes: &[[u32; 5]]| -> Vec<(&'static str, u32)> {
            at_least(needs, changes.iter().copied()).collect()
        };
        let needs = |come_along: [bool; 5]| Some(Needs { values: [100, 8, 10, 0, 64], come_along });
        assert_eq!(of(None, &[]), []);
        assert_eq!(of(needs([true; 5]), &[]), []);
        // From the command line, or a file that does not come along; what is 0 needs nothing.
        let (names, [connections, workers]) =
            (Least::SETTINGS, [("max_connections", 100), ("max_worker_processes", 8)]);
        assert_eq!(of(needs([false, false, true, false, true]), &[]), [connections, workers]);
        // Raised and lowered again: recovery passes through the highest.
        let changes = [[300, 8, 10, 0, 64], [50, 8, 10, 5, 64]];
        assert_eq!(of(needs([true; 5]), &changes), [(names[0], 300), (names[3], 5)]);
        assert_eq!(of(None, &changes[1..]).len(), 5);
    }

    #[test]
    fn times_are_written_as_the_server_reads_them() {
        assert_eq!(server_time(1_500_000).unwrap(), "1970-01-01 00:00:01.500000+00");
    }

    #[test]
    fn options_are_those_that_there_are() {
        let of = |name: &str, value: &str| action(&[(name.into(), value.into())]);
        assert_eq!(of("target_action", "pause").unwrap(), "pause");
        assert_eq!(of("map:fast", "/x").unwrap(), "promote");
        assert!(of("target_action", "dance").is_err() && of("rename", "x").is_err());
    }
}
