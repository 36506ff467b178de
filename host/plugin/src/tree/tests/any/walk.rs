//! A walk as the filesystem plugin does it, in pages and depth first, held against one of `std::fs`: whatever is left out,
//! looked at twice or asked for in another page size, and whatever was listed ahead.

use proptest::collection::vec;
use proptest::option;

use super::*;

/// A name of a tree that is walked: below the directory of this number among those that are there, or `count` files in it.
type Growth = (prop::sample::Index, EntryKind, usize);

/// How somebody walks.
#[derive(Clone, Debug)]
struct Manner {
    /// Page sizes, in turn.
    pages: Vec<usize>,
    /// Of the directories that are met, in turn, whether they are left out.
    left_out: Vec<bool>,
    /// Between two pages, in turn: which of the directories that were met is listed once more, and in what pages.
    detours: Vec<Option<(prop::sample::Index, usize)>>,
}

fn growths() -> impl Strategy<Value = Vec<Growth>> {
    let kind = prop_oneof![
        4 => Just(EntryKind::Directory),
        3 => Just(EntryKind::File),
        1 => Just(EntryKind::Symlink("..".into())),
    ];
    // Some directories are large beside a page.
    let count = prop_oneof![8 => Just(1usize), 1 => 10usize..20];
    vec((any::<prop::sample::Index>(), kind, count), 0..24)
}

fn manner() -> impl Strategy<Value = Manner> {
    let pages = vec(prop_oneof![4 => 1usize..6, 1 => 6usize..40], 1..3);
    let left_out = vec(prop::bool::weighted(0.25), 1..8);
    let detour = option::weighted(0.2, (any::<prop::sample::Index>(), 1usize..6));
    (pages, left_out, vec(detour, 1..8)).prop_map(|(pages, left_out, detours)| Manner { pages, left_out, detours })
}

/// Makes a tree of at most some sixty entries.
fn grow(root: &Path, growths: &[Growth]) {
    let (mut directories, mut left) = (vec![root.to_path_buf()], 60usize);
    for (n, (parent, kind, count)) in growths.iter().enumerate() {
        let parent = parent.get(&directories).clone();
        // Some are in another order once they are escaped.
        let odd = [b"".as_slice(), b"-", b"%", b"\xff", b"\n"][n % 5];
        let count = left.min(*count);
        left -= count;
        for copy in 0..count {
            // Its order among its siblings is not the order in which it was made.
            let name = [&b"mdxa"[(n + copy) % 4..][..1], odd, format!("{n}.{copy}").as_bytes()].concat();
            let path = parent.join(OsString::from_vec(name));
            match kind {
                EntryKind::File => std_fs::write(path, "x").unwrap(),
                EntryKind::Symlink(target) => symlink(target, path).unwrap(),
                _ => {
                    std_fs::create_dir(&path).unwrap();
                    directories.push(path);
                }
            }
        }
    }
}

/// Whether a page goes on behind a name: else a walk has no end.
pub(super) fn is_behind(page: &[Found], after: Option<&str>) -> bool {
    after.is_none_or(|after| page.iter().all(|found| last_name(&found.entry.path) > after))
}

pub(super) fn last_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What is directly in a directory, in order: path and inode, and whether one may go into it.
fn plain(root: &Path, path: &str) -> Vec<(String, u64, bool)> {
    let names = if path.is_empty() { Vec::new() } else { names(path).unwrap() };
    let directory = names.into_iter().fold(root.to_path_buf(), |at, name| at.join(OsString::from_vec(name)));
    let mut listed: Vec<_> = std_fs::read_dir(directory).unwrap().map(Result::unwrap).collect();
    listed.sort_by_key(|item| path::escape(item.file_name().as_bytes()));
    let child = |item: std_fs::DirEntry| {
        let name = path::escape(item.file_name().as_bytes());
        let (meta, joined) = (item.metadata().unwrap(), [path, &name].join("/"));
        (joined.trim_start_matches('/').to_string(), meta.ino(), meta.is_dir())
    };
    listed.into_iter().map(child).collect()
}

/// Whether the directory that is met as this one is left out.
fn is_left_out(manner: &Manner, met: usize) -> bool {
    manner.left_out[met % manner.left_out.len()]
}

/// The whole walk, without pages.
fn plain_walk(root: &Path, path: &str, manner: &Manner, met: &mut usize, seen: &mut Vec<(String, u64)>) {
    for (path, inode, is_directory) in plain(root, path) {
        seen.push((path.clone(), inode));
        if is_directory {
            *met += 1;
            if !is_left_out(manner, *met) {
                plain_walk(root, &path, manner, met, seen);
            }
        }
    }
}

/// A directory that is being walked: its path, the rest of its page, last entry first, and where the next one begins.
struct Open {
    path: String,
    page: Vec<Found>,
    after: Option<String>,
}

struct Walk<'a> {
    tree: &'a Directory,
    root: &'a Path,
    manner: &'a Manner,
    /// Pages that were asked for.
    asked: usize,
    /// Directories that were met.
    met: Vec<String>,
}

impl Walk<'_> {
    /// As `plugins/filesystem/src/backup.rs` walks: into a directory as soon as it is met, between two pages of its parent.
    fn walk(&mut self) -> Result<Vec<(String, u64)>, TestCaseError> {
        let (mut seen, mut open) = (Vec::new(), vec![self.page("", None)?]);
        while let Some(top) = open.last_mut() {
            if let Some(found) = top.page.pop() {
                let path = found.entry.path;
                seen.push((path.clone(), found.inode));
                if found.entry.kind == EntryKind::Directory {
                    self.met.push(path.clone());
                    if !is_left_out(self.manner, self.met.len()) {
                        open.push(self.page(&path, None)?);
                    }
                }
            } else if let Some(after) = top.after.take() {
                *top = self.page(&top.path.clone(), Some(&after))?;
            } else {
                open.pop();
            }
        }
        Ok(seen)
    }

    fn page(&mut self, path: &str, after: Option<&str>) -> Result<Open, TestCaseError> {
        let max = self.manner.pages[self.asked % self.manner.pages.len()];
        let detour = &self.manner.detours[self.asked % self.manner.detours.len()];
        self.asked += 1;
        if let Some((which, max)) = detour.as_ref().filter(|_| !self.met.is_empty()) {
            let path: &String = which.get(&self.met);
            self.detour(path, *max)?;
        }
        let mut page = self.children(path, after, max)?;
        let is_full = page.len() == max;
        let after = page.last().filter(|_| is_full).map(|found| last_name(&found.entry.path).to_string());
        page.reverse();
        Ok(Open { path: path.into(), page, after })
    }

    /// Lists a directory, whole, and holds it against what is there.
    fn detour(&self, path: &str, max: usize) -> Tried {
        let mut listed: Vec<Found> = Vec::new();
        loop {
            let after = listed.last().map(|found| last_name(&found.entry.path).to_string());
            let page = self.children(path, after.as_deref(), max)?;
            let is_full = page.len() == max;
            listed.extend(page);
            if !is_full {
                break;
            }
        }
        let listed = listed.into_iter().map(|found| {
            let is_directory = found.entry.kind == EntryKind::Directory;
            (found.entry.path, found.inode, is_directory)
        });
        prop_assert_eq!(listed.collect::<Vec<_>>(), plain(self.root, path));
        Ok(())
    }

    fn children(&self, path: &str, after: Option<&str>, max: usize) -> Result<Vec<Found>, TestCaseError> {
        let page = self.tree.children(path, after, max);
        let (page, _) = page.map_err(|error| TestCaseError::fail(format!("{path}: {error}")))?;
        prop_assert!(is_behind(&page, after), "a page behind {:?} comes again", after);
        Ok(page)
    }
}

#[test]
fn a_walk_in_pages_meets_what_is_there_in_order() {
    drawn::hold((growths(), manner()), |(growths, manner)| {
        let dir = tempfile::tempdir().unwrap();
        grow(dir.path(), &growths);
        for access in [Access::Read, Access::Write(Conflict::Skip)] {
            let tree = Directory::open(dir.path(), access).unwrap();
            let mut walk = Walk { tree: &tree, root: dir.path(), manner: &manner, asked: 0, met: Vec::new() };
            let (walked, mut expected) = (walk.walk()?, Vec::new());
            plain_walk(dir.path(), "", &manner, &mut 0, &mut expected);
            prop_assert_eq!(walked, expected);
        }
        Ok(())
    });
}
