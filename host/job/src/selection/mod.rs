//! What the operator chose of a snapshot: everything, or what was typed. A path that the snapshot has is that path, whatever
//! characters are in it; only what it does not have is read as a pattern. `restore`, `cat` and `ls` read alike.

mod braces;
mod nearest;
mod pattern;

use std::collections::BTreeSet;

use dozo_repository::{EntryKind, Error, Result, SnapshotReader, path};

pub(crate) use pattern::Pattern;
use pattern::{Matched, common, escaped, is_pattern};

/// Chooses entries by path. A path that is chosen brings all that is below it.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// None: everything.
    items: Vec<Item>,
    /// The directory whose content is chosen: paths are shown as if they began there.
    inside: String,
    /// The snapshot has that directory itself, and so all that lay in it; not only some of what lies below.
    is_inside_whole: bool,
    notes: Vec<String>,
    /// The command that lists the snapshot.
    list: String,
}

#[derive(Clone, Debug)]
struct Item {
    typed: String,
    what: What,
}

/// What was typed, once it was looked for. Paths as the snapshot has them, patterns as seen from `inside`.
#[derive(Clone, Debug)]
enum What {
    Path(String),
    Pattern(Pattern),
}

/// Which of the typed have chosen something.
#[derive(Default)]
pub(crate) struct Seen(BTreeSet<usize>);

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Selection::default()
    }

    /// Looks for what was typed in a snapshot; with `inside`, in the directory of it that was typed, or that one file alone.
    ///
    /// # Errors
    /// [`Invalid`](dozo_repository::Kind::Invalid) if a path is not there, with those that come nearest, or a pattern is none.
    pub async fn find(reader: &SnapshotReader, typed: &[String], inside: Option<&str>) -> Result<Self> {
        let mut selection = Selection { list: nearest::list(reader), ..Selection::all() };
        if let Some(inside) = inside.filter(|inside| !trimmed(inside).is_empty()) {
            selection = selection.of_content(reader, inside).await?;
        }
        if !selection.items.is_empty() && !typed.is_empty() {
            let why = format!("`{}` is one file, and has no paths in it", path::shown(&selection.items[0].typed));
            return Err(Error::invalid(why).hinted("leave out the paths"));
        }
        for typed in typed {
            let what = selection.look_for(reader, typed).await?;
            selection.items.push(Item { typed: typed.clone(), what });
        }
        Ok(selection)
    }

    /// The content of a directory, or what else lies at a path, as if it stood alone.
    async fn of_content(mut self, reader: &SnapshotReader, inside: &str) -> Result<Self> {
        let Some(found) = literal(reader, "", inside).await? else {
            return Err(nearest::missed(reader, inside).await);
        };
        let kind = reader.get(&found).await?.map(|stored| stored.entry.kind);
        if kind.as_ref().is_none_or(|kind| *kind == EntryKind::Directory) {
            return Ok(Selection { inside: found, is_inside_whole: kind.is_some(), ..self });
        }
        self.inside = found.rsplit_once('/').map_or("", |(above, _)| above).to_string();
        self.items.push(Item { typed: inside.to_string(), what: What::Path(found) });
        Ok(self)
    }

    async fn look_for(&mut self, reader: &SnapshotReader, typed: &str) -> Result<What> {
        // The root is everything; nothing at all is a variable that was not set.
        let typed = if typed.starts_with('/') && trimmed(typed).is_empty() { "**" } else { typed };
        let pattern = is_pattern(typed).then(|| Pattern::read(typed));
        if let Some(found) = literal(reader, &self.inside, typed).await? {
            if let Some(Ok(_)) = pattern {
                let found = path::shown(&found);
                self.notes.push(format!("`{found}` is the path that the snapshot has of that name, not a pattern"));
            }
            return Ok(What::Path(found));
        }
        match pattern {
            Some(Ok(pattern)) => Ok(What::Pattern(pattern)),
            Some(Err(why)) => Err(Error::invalid(format!(
                "the snapshot has nothing under `{}`, and as a pattern it cannot be read: {why}",
                path::shown(typed)
            ))),
            None => Err(nearest::missed(reader, &joined(&self.inside, trimmed(typed))).await),
        }
    }

    /// Whether this chooses everything, as it lies in the snapshot.
    pub fn is_all(&self) -> bool {
        self.items.is_empty() && self.inside.is_empty()
    }

    /// The directory whose content is chosen, or in which the one file lies that is; empty for everything.
    pub fn inside(&self) -> &str {
        &self.inside
    }

    /// Whether this is all that one directory of the snapshot has, as if it stood alone.
    pub fn is_whole_directory(&self) -> bool {
        self.items.is_empty() && self.is_inside_whole
    }

    /// What a source is told of it: as it was typed. Empty for everything.
    pub fn typed(&self) -> Vec<String> {
        let items: Vec<String> = self.items.iter().map(|item| item.typed.clone()).collect();
        if items.is_empty() && !self.inside.is_empty() { vec![self.inside.clone()] } else { items }
    }

    /// What the operator should know of how the typed was read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
    /// The one path that was typed, if it is one: as the snapshot has it.
    pub fn path(&self) -> Option<&str> {
        match self.items.as_slice() {
            [] => Some(&self.inside),
            [Item { what: What::Path(path), .. }] => Some(path),
            _ => None,
        }
    }

    /// Whether an entry is chosen: by its path in the snapshot.
    pub fn takes(&self, path: &str, is_directory: bool) -> bool {
        if self.items.is_empty() {
            // The directory itself is not part of its content.
            return path::is_under(path, &self.inside) && (self.inside.is_empty() || path != self.inside);
        }
        self.items.iter().any(|item| self.matched(item, path, is_directory).is_some())
    }

    /// Whether an entry is named itself, and not only brought by a directory that is.
    pub fn names(&self, path: &str, is_directory: bool) -> bool {
        self.items.iter().any(|item| self.matched(item, path, is_directory) == Some(Matched::Whole))
    }

    fn matched(&self, item: &Item, path: &str, is_directory: bool) -> Option<Matched> {
        match &item.what {
            What::Path(chosen) if path == chosen => Some(Matched::Whole),
            What::Path(chosen) => path::is_under(path, chosen).then_some(Matched::Above),
            What::Pattern(pattern) => {
                let inside = path::is_under(path, &self.inside) && path != self.inside;
                inside.then(|| pattern.matched(self.shown(path), is_directory)).flatten()
            }
        }
    }

    /// What was typed and chose nothing, by what [`Selection::note`] saw.
    pub(crate) fn unmatched<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = &'a str> {
        let items = self.items.iter().enumerate();
        items.filter(|(number, _)| !seen.0.contains(number)).map(|(_, item)| item.typed.as_str())
    }

    /// The error for what was typed and chose nothing: a mistyped path must not look like a restore.
    pub fn refuse_unmatched(&self, unmatched: &[&str]) -> Option<Error> {
        let first = unmatched.first()?;
        let typed: Vec<String> = unmatched.iter().map(|typed| path::shown(typed)).collect();
        let is_anchored = first.trim_end_matches('/').contains('/') && !first.starts_with("**/");
        let hint = match is_anchored {
            true => {
                format!("a pattern with a `/` inside is a whole path: `**/{}` matches at any depth", trimmed(first))
            }
            false => {
                let list = &self.list;
                format!(r"`{list} -r` shows what it has; `*`, `?` and `[` in a name are written `\*`, `\?`, `\[`")
            }
        };
        Some(Error::invalid(format!("the snapshot has nothing under `{}`", typed.join("`, `"))).hinted(hint))
    }

    /// Notes by what an entry is chosen.
    pub(crate) fn note(&self, path: &str, is_directory: bool, seen: &mut Seen) {
        if seen.0.len() < self.items.len() {
            let items = self.items.iter().enumerate();
            seen.0.extend(items.filter(|(_, item)| self.matched(item, path, is_directory).is_some()).map(|(at, _)| at));
        }
    }

    /// The deepest directory that holds everything chosen, so that a manifest need not be read from the beginning.
    pub fn root(&self) -> String {
        let names =
            |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_string).collect::<Vec<_>>();
        let mut roots = self.items.iter().map(|item| match &item.what {
            What::Path(path) => names(path),
            What::Pattern(pattern) => [names(&self.inside), pattern.root()].concat(),
        });
        let Some(first) = roots.next() else { return self.inside.clone() };
        let root = roots.fold(first, |root, other| common(root, &other)).join("/");
        if path::check(&root).is_ok() { root } else { self.inside.clone() }
    }

    /// A path of the snapshot as those see it who restore.
    pub(crate) fn shown<'a>(&self, path: &'a str) -> &'a str {
        match self.inside.is_empty() {
            true => path,
            false => path.strip_prefix(self.inside.as_str()).map_or(path, |rest| rest.trim_start_matches('/')),
        }
    }

    /// The path in the snapshot of what is shown.
    pub(crate) fn stored(&self, shown: &str) -> String {
        joined(&self.inside, shown)
    }
}

/// The path that the snapshot has where one was typed: an entry, or a directory above entries. As it is typed, as paths are
/// printed, or as a shell shows names.
async fn literal(reader: &SnapshotReader, inside: &str, typed: &str) -> Result<Option<String>> {
    let trimmed = trimmed(typed);
    let names = || trimmed.split('/').filter(|name| !name.is_empty() && *name != ".");
    let as_printed: Vec<String> = names().map(escaped).collect();
    let as_it_is: Vec<String> = names().map(|name| path::escape(name.as_bytes())).collect();
    for names in [as_printed, as_it_is] {
        let path = joined(inside, &names.join("/"));
        if path::check(&path).is_ok() && !reader.page(&path, None, 1).await?.is_empty() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Operators write the paths of files from `/` on, and directories with a `/` behind.
fn trimmed(typed: &str) -> &str {
    typed.trim_matches('/')
}

fn joined(above: &str, below: &str) -> String {
    match (above.is_empty(), below.is_empty()) {
        (true, _) => below.to_string(),
        (_, true) => above.to_string(),
        _ => format!("{above}/{below}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Item {
        Item { typed: path.into(), what: What::Path(path.into()) }
    }

    fn pattern(pattern: &str) -> Item {
        Item { typed: pattern.into(), what: What::Pattern(Pattern::read(pattern).unwrap()) }
    }

    fn selection(inside: &str, items: Vec<Item>) -> Selection {
        Selection { items, inside: inside.into(), ..Selection::default() }
    }

    #[test]
    fn a_chosen_directory_brings_what_is_below_it() {
        let chosen = selection("", vec![path("srv/data"), pattern("/etc/*.conf")]);
        for path in ["srv/data", "srv/data/a", "srv/data/a/b", "etc/x.conf", "etc/x.conf/y"] {
            assert!(chosen.takes(path, false), "{path}");
        }
        for path in ["srv", "srv/data2", "etc/sub/x.conf", "data", "etc"] {
            assert!(!chosen.takes(path, false), "{path}");
        }
        assert!(Selection::all().takes("anything", false));
    }

    #[test]
    fn what_was_typed_and_chose_nothing_is_known() {
        let chosen = selection("", vec![path("srv/data"), pattern("/etc/*.conf"), path("nosuch")]);
        let mut seen = Seen::default();
        ["srv/data/a", "etc/x.conf", "etc/y.conf"].iter().for_each(|path| chosen.note(path, false, &mut seen));
        assert_eq!(chosen.unmatched(&seen).collect::<Vec<_>>(), ["nosuch"]);
    }

    #[test]
    fn the_root_holds_everything_chosen() {
        assert_eq!(Selection::all().root(), "");
        assert_eq!(selection("", vec![path("srv/data")]).root(), "srv/data");
        assert_eq!(selection("", vec![path("srv/a/x"), pattern("/srv/b/*")]).root(), "srv");
        assert_eq!(selection("", vec![pattern("/srv/a/*.txt")]).root(), "srv/a");
        assert_eq!(selection("", vec![path("srv"), path("etc")]).root(), "");
        assert_eq!(selection("srv", vec![pattern("*.txt")]).root(), "srv");
        assert_eq!(selection("srv", vec![pattern("/a/*"), path("srv/a/b")]).root(), "srv/a");
    }

    #[test]
    fn the_content_of_a_directory_begins_at_its_names() {
        let content = selection("srv/data", vec![]);
        assert!(content.takes("srv/data/a", false) && !content.takes("srv/data", true));
        assert!(!content.takes("srv/data2", false) && !content.takes("srv", true));
        assert_eq!((content.shown("srv/data/a/b"), content.stored("a/b")), ("a/b", "srv/data/a/b".to_string()));
        let some = selection("srv", vec![pattern("/*.txt")]);
        assert!(some.takes("srv/a.txt", false) && !some.takes("a.txt", false) && !some.takes("srv/b/a.txt", false));
    }
}
