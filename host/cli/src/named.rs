//! Which snapshot was typed: what stands behind its name, ids by their beginning, and names that are not there.

use dozo_job::Error;
use dozo_repository::{Found, View};

use crate::config::did_you_mean;

use crate::zones::Zones;

/// Snapshots that a message lists.
const LISTED: usize = 8;

/// `SNAPSHOT:PATH`: a snapshot, and the directory of it whose content is meant. Times have colons too, and digits behind them.
pub(crate) fn split(typed: &str) -> (&str, Option<&str>) {
    let time = typed.find('@').unwrap_or(typed.len());
    let is_end = |(at, _): &(usize, &str)| {
        *at < time || !typed[at + 1..].starts_with(|next: char| next.is_ascii_digit()) && at + 1 < typed.len()
    };
    match typed.match_indices(':').find(is_end) {
        Some((at, _)) => (&typed[..at], Some(&typed[at + 1..])),
        None => (typed, None),
    }
}

/// The snapshot whose id begins so.
///
/// # Errors
/// [`Invalid`](dozo_job::Kind::Invalid) if there is none, or several, which are then listed.
pub(crate) fn by_id(view: &View, zones: &Zones, typed: &str) -> Result<Found, Error> {
    let is_id = !typed.is_empty() && typed.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = typed.to_ascii_lowercase();
    let all = view.snapshots().iter().filter(|(id, _)| is_id && id.to_string().starts_with(&digits));
    let all: Vec<&Found> = all.collect();
    match all.as_slice() {
        [found] => Ok((*found).clone()),
        [] => {
            let error = Error::invalid(format!("there is no job or snapshot `{typed}` in the repository"));
            Err(error.hinted(job_hint(view, typed)))
        }
        several => {
            let shown = several.iter().rev().take(LISTED).map(|(id, snapshot)| {
                let (id, taken) = (id.to_string(), zones.taken(snapshot));
                format!("\n  {}  {taken}  {}", &id[..digits.len().max(8)], snapshot.job.name)
            });
            let more = if several.len() > LISTED { ", the newest of them" } else { "" };
            let what = format!("{} snapshots have an id that begins with `{typed}`", several.len());
            Err(Error::invalid(what).hinted(format!("type more of it{more}:{}", shown.collect::<String>())))
        }
    }
}

/// What to do about a name that is none.
pub(crate) fn job_hint(view: &View, typed: &str) -> String {
    let mut jobs: Vec<&str> = view.snapshots().iter().map(|(_, snapshot)| snapshot.job.name.as_str()).collect();
    jobs.sort_unstable();
    jobs.dedup();
    let name = typed.rsplit('/').next().unwrap_or(typed);
    match did_you_mean(name, jobs.into_iter()) {
        hint if hint.is_empty() => "the repository has no snapshot yet".into(),
        hint => format!("{hint}{} `dozo snapshots` lists all snapshots", if hint.ends_with('?') { "" } else { ";" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_behind_a_snapshot_is_told_from_a_time() {
        for (typed, split_as) in [
            ("files", ("files", None)),
            ("files:/srv/app", ("files", Some("/srv/app"))),
            ("files:2026", ("files", Some("2026"))),
            ("web/files:srv", ("web/files", Some("srv"))),
            ("252c82dc:/srv:x", ("252c82dc", Some("/srv:x"))),
            ("files@2026-11-22T02:00", ("files@2026-11-22T02:00", None)),
            ("files@2026-11-22T02:00:09+09:00", ("files@2026-11-22T02:00:09+09:00", None)),
            ("files@2026-11-22T02:00:/srv", ("files@2026-11-22T02:00", Some("/srv"))),
            ("files@2026-11-22:srv/2", ("files@2026-11-22", Some("srv/2"))),
        ] {
            assert_eq!(split(typed), split_as, "{typed}");
        }
    }
}
