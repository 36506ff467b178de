//! A path that a snapshot does not have: what comes nearest to it.

use dozo_repository::{Error, SnapshotReader, path};

use crate::limits::{NEAREST_ENTRIES, NEAREST_SHOWN, PAGE_ENTRIES};

/// Paths less alike than this are none that was meant.
const ALIKE: f64 = 0.85;

/// What was found on the way.
#[derive(Default)]
struct Found {
    /// Paths that end as what was typed does.
    endings: Vec<String>,
    endings_count: u64,
    /// How alike others are, the best first.
    alike: Vec<(f64, String)>,
}

/// The error for a typed path that is not there.
pub(super) async fn missed(reader: &SnapshotReader, typed: &str) -> Error {
    let error = Error::invalid(format!("the snapshot has nothing under `{}`", path::shown(typed)));
    let (typed, list) = (typed.trim_matches('/'), list(reader));
    error.hinted(match find(reader, typed).await {
        Some(found) => found.hint(typed, &list),
        None => format!("`{list}` shows what it has"),
    })
}

/// The command that lists a snapshot.
pub(super) fn list(reader: &SnapshotReader) -> String {
    format!("dozo ls {}", reader.id().short())
}

/// Looks through the snapshot, as far as that can be done in a moment. None if it cannot be read.
async fn find(reader: &SnapshotReader, typed: &str) -> Option<Found> {
    let (mut found, mut after, mut left) = (Found::default(), None::<String>, NEAREST_ENTRIES);
    while left > 0 {
        let page = reader.page("", after.as_deref(), PAGE_ENTRIES.min(left)).await.ok()?;
        let Some(last) = page.last() else { break };
        after = Some(last.entry.path.clone());
        left -= page.len();
        page.iter().for_each(|stored| found.look_at(&stored.entry.path, typed));
    }
    Some(found)
}

impl Found {
    fn look_at(&mut self, path: &str, typed: &str) {
        if path.strip_suffix(typed).is_some_and(|above| above.ends_with('/')) {
            self.endings_count += 1;
            if self.endings.len() < NEAREST_SHOWN {
                self.endings.push(path.to_string());
            }
            return;
        }
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
        let whole = strsim::jaro_winkler(path, typed);
        // A name alone is compared with names, wherever they are.
        let alike = if typed.contains('/') { whole } else { whole.max(strsim::jaro_winkler(&name(path), typed)) };
        if alike >= ALIKE
            && self.alike.last().is_none_or(|(least, _)| self.alike.len() < NEAREST_SHOWN || alike > *least)
        {
            let at = self.alike.partition_point(|(other, _)| *other >= alike);
            self.alike.insert(at, (alike, path.to_string()));
            self.alike.truncate(NEAREST_SHOWN);
        }
    }

    fn hint(&self, typed: &str, command: &str) -> String {
        let list = |paths: &mut dyn Iterator<Item = &String>| {
            let paths: Vec<String> = paths.map(|path| format!("`{}`", path::shown(path))).collect();
            paths.join(", ")
        };
        match (self.endings_count, self.alike.as_slice()) {
            (0, []) => format!("`{command}` shows what it has; `{command} -r` all of it"),
            (0, alike) => format!("did you mean {}?", list(&mut alike.iter().map(|(_, path)| path))),
            (1, _) => format!("did you mean {}?", list(&mut self.endings.iter())),
            (count, _) => {
                let (some, typed) = (list(&mut self.endings.iter()), path::shown(typed));
                format!("did you mean {some}? `**/{typed}` is all {count} that end so")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(paths: &[&str], typed: &str) -> String {
        let mut found = Found::default();
        paths.iter().for_each(|path| found.look_at(path, typed));
        found.hint(typed, "dozo ls 12345678")
    }

    #[test]
    fn what_comes_nearest_is_offered() {
        let paths = ["srv", "srv/app", "srv/app/config.yml", "srv/app/data", "srv/old/config.yml", "etc/hosts"];
        assert_eq!(hint(&paths, "app/data"), "did you mean `srv/app/data`?");
        assert_eq!(
            hint(&paths, "config.yml"),
            "did you mean `srv/app/config.yml`, `srv/old/config.yml`? `**/config.yml` is all 2 that end so"
        );
        assert!(hint(&paths, "srv/app/confg.yml").starts_with("did you mean `srv/app/config.yml`"));
        assert!(hint(&paths, "hosst").starts_with("did you mean `etc/hosts`"));
        assert!(hint(&paths, "zzz").starts_with("`dozo ls 12345678`"));
    }
}
