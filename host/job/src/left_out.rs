//! What a source did not look at when it made a snapshot, by its own word. The snapshot does not have it, and that says nothing of
//! whether it was there: a restore that deletes what the snapshot does not have must leave it alone.

use std::collections::BTreeSet;

use dozo_repository::format::snapshot::Snapshot;
use dozo_repository::{Time, path};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::selection::Pattern;
use crate::{Error, Result};

/// The attribute in which it stands.
const LEFT_OUT: &str = "dozo.left-out";
/// The attribute in which the host says how many entries were gone when they were to be read: under another name they may still
/// be there.
pub(crate) const VANISHED: &str = "dozo.vanished";

/// What was left out of a snapshot.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// What the source was to look at, and what the operator named: a file system that is mounted there is meant.
    roots: BTreeSet<String>,
    exclude: Vec<Pattern>,
    /// If there are any, only files that match were looked at.
    include: Vec<Pattern>,
    /// Of what `include` takes some is taken back, so that nothing is sure.
    is_taken_back: bool,
    larger_than: Option<u64>,
    /// Entries by name; of a directory, all that is in it.
    places: BTreeSet<String>,
    /// What stands before paths of the target in paths of the snapshot.
    inside: String,
    /// From when to when the snapshot was made.
    made: Option<(Timestamp, Timestamp)>,
}

/// As the attribute has it.
#[derive(Deserialize)]
struct Told {
    roots: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    larger_than: Option<u64>,
    #[serde(default)]
    places: Vec<String>,
    /// How many more.
    #[serde(default)]
    more: u64,
}

/// By how much the time that a file system writes is behind the clock: it looks at each tick of the kernel.
const CLOCKS: SignedDuration = SignedDuration::from_millis(20);

impl LeftOut {
    /// What a snapshot says.
    ///
    /// # Errors
    /// [`Unsupported`](dozo_repository::Kind::Unsupported) if it does not say it, or not all of it.
    pub fn of(snapshot: &Snapshot) -> Result<Self> {
        Ok(LeftOut::read(&snapshot.attributes)?.made_between(snapshot.started, snapshot.ended))
    }

    /// The same of a snapshot that was made from then to then.
    #[must_use]
    pub fn made_between(self, started: Timestamp, ended: Timestamp) -> Self {
        LeftOut { made: Some((started, ended)), ..self }
    }

    fn read(attributes: &[(String, String)]) -> Result<Self> {
        let unknown = |why: String| {
            Error::unsupported(format!(
                "`--delete` would delete what was not looked at when this snapshot was made: {why}"
            ))
        };
        let find = |wanted: &str| attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let Some(json) = find(LEFT_OUT) else {
            let why = unknown("it does not say what was left out".into());
            return Err(why.hinted(
                "snapshots of files say it from this version of dozo on: restore one that a later run made, or without `--delete`",
            ));
        };
        let told: Told = serde_json::from_str(json)
            .map_err(|e| unknown("what was left out cannot be read".into()).caused_by(e).hinted("update dozo"))?;
        if told.more > 0 {
            let why = format!("{} entries were left out that it does not name", told.more);
            return Err(unknown(why).hinted("restore without `--delete`"));
        }
        if let Some(count) = find(VANISHED) {
            let why = format!("{count} entries vanished meanwhile, and may have been renamed");
            return Err(unknown(why).hinted("restore another snapshot, or without `--delete`"));
        }
        let patterns = |list: &[String]| {
            let read = list.iter().filter(|pattern| !pattern.starts_with('!')).map(|pattern| Pattern::read(pattern));
            read.collect::<Result<Vec<_>, _>>()
                .map_err(|why| unknown(format!("one of its patterns cannot be read: {why}")))
        };
        Ok(LeftOut {
            exclude: patterns(&told.exclude)?,
            include: patterns(&told.include)?,
            is_taken_back: told.include.iter().any(|pattern| pattern.starts_with('!')),
            roots: told.roots.into_iter().collect(),
            larger_than: told.larger_than,
            places: told.places.into_iter().collect(),
            inside: String::new(),
            made: None,
        })
    }

    /// The same for a target that takes the content of one directory of the snapshot.
    #[must_use]
    pub fn within(self, inside: &str) -> Self {
        LeftOut { inside: inside.to_string(), ..self }
    }

    /// The same where the operator named a path.
    #[must_use]
    pub fn choosing(mut self, path: Option<&str>) -> Self {
        self.roots.extend(path.map(str::to_string));
        self
    }

    /// Whether a path of the target is what the source was to look at, or what the operator named.
    pub fn is_root(&self, path: &str) -> bool {
        self.roots.contains(&self.whole(path))
    }

    /// Whether something at a path of the target may have been there and left out. `bytes` of a file.
    pub fn spares(&self, path: &str, is_directory: bool, bytes: Option<u64>) -> bool {
        let path = self.whole(path);
        let is_matched = |patterns: &[Pattern]| patterns.iter().any(|it| it.matched(&path, is_directory).is_some());
        let is_included = self.include.is_empty() || (is_matched(&self.include) && !self.is_taken_back);
        self.places.iter().any(|place| path::is_under(&path, place))
            || is_matched(&self.exclude)
            || (!is_directory && !is_included)
            || self.larger_than.zip(bytes).is_some_and(|(most, bytes)| bytes > most)
    }

    /// Whether something was put where it is, or changed, while the snapshot was made: where it was before, it may not have been
    /// looked at yet, and here not any more.
    pub fn may_have_moved(&self, changed: Time) -> bool {
        let Ok(changed) = Timestamp::new(changed.seconds, changed.nanoseconds.cast_signed()) else { return false };
        self.made.is_some_and(|(started, ended)| changed >= started - CLOCKS && changed <= ended)
    }

    fn whole(&self, path: &str) -> String {
        match (self.inside.as_str(), path) {
            ("", path) => path.to_string(),
            (inside, "") => inside.to_string(),
            (inside, path) => format!("{inside}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use dozo_repository::Kind;

    use super::*;

    fn of(json: &str) -> Result<LeftOut> {
        LeftOut::read(&[(LEFT_OUT.to_string(), json.to_string())])
    }

    #[test]
    fn what_was_not_looked_at_is_spared() {
        let json = r#"{"roots": ["srv"], "exclude": ["*.tmp", "!keep.tmp", "/srv/cache/"], "larger_than": 10,
            "places": ["srv/mnt", "srv/huge"]}"#;
        let left_out = of(json).unwrap();
        for (path, is_directory, bytes, expected) in [
            ("srv/a.tmp", false, Some(1), true),
            // What was taken back may be one of the others.
            ("srv/keep.tmp", false, Some(1), true),
            ("srv/cache", true, None, true),
            ("srv/cache", false, Some(1), false),
            ("srv/cache/x", false, Some(1), true),
            ("srv/mnt/x", false, Some(1), true),
            ("srv/mnt", true, None, true),
            ("srv/mntx", false, Some(1), false),
            ("srv/huge", false, Some(1), true),
            ("srv/large", false, Some(11), true),
            ("srv/small", false, Some(10), false),
            ("srv/new", true, None, false),
        ] {
            assert_eq!(left_out.spares(path, is_directory, bytes), expected, "{path}");
        }
        let inside = left_out.within("srv");
        assert!(inside.spares("mnt/x", false, Some(1)) && !inside.spares("new", true, None));
        assert!(inside.is_root("") && !inside.is_root("mnt") && inside.choosing(Some("srv/mnt")).is_root("mnt"));
    }

    #[test]
    fn where_only_some_was_looked_at_the_rest_is_spared() {
        let some = of(r#"{"roots": ["srv"], "include": ["*.db"]}"#).unwrap();
        assert!(!some.spares("srv/a.db", false, None) && some.spares("srv/a.txt", false, None));
        assert!(!some.spares("srv/directory", true, None));
        let taken_back = of(r#"{"roots": ["srv"], "include": ["*.db", "!b.db"]}"#).unwrap();
        assert!(taken_back.spares("srv/a.db", false, None));
    }

    #[test]
    fn what_moved_while_the_snapshot_was_made_is_known_by_its_time() {
        let time = |seconds| Timestamp::from_second(seconds).unwrap();
        let left_out = of(r#"{"roots": ["srv"]}"#).unwrap().made_between(time(10), time(20));
        for (changed, expected) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(left_out.may_have_moved(Time { seconds: changed, nanoseconds: 0 }), expected, "{changed}");
        }
        assert!(!LeftOut::default().may_have_moved(Time { seconds: 10, nanoseconds: 0 }));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(LeftOut::read(&[]).unwrap_err().kind(), Kind::Unsupported);
        let vanished =
            [(LEFT_OUT, r#"{"roots": []}"#), (VANISHED, "1")].map(|(name, value)| (name.into(), value.into()));
        assert!(LeftOut::read(&vanished).unwrap_err().to_string().contains("1 entries vanished"));
        for json in ["what?", r#"{"roots": [], "more": 1}"#, r#"{"roots": [], "exclude": ["a{"]}"#] {
            assert_eq!(of(json).unwrap_err().kind(), Kind::Unsupported, "{json}");
        }
    }
}
