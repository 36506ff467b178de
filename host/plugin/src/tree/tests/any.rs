//! The walls of a granted directory, tried with anything: operations over paths that collide, are odd or hostile, each held
//! against what `std::fs` sees of the directory and of all that lies beside it, before and after.

mod drawn;
mod walk;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::fs as std_fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};

use dozo_job::Kind;
use dozo_job::limits::PATH_BYTES_MAX;
use dozo_job::port::{Entry, EntryKind, Time};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rustix::fs::FileType;

use super::super::*;
use drawn::{Given, Operation, Plant};

type Tried = Result<(), TestCaseError>;

/// Longest name that Linux has.
const NAME_BYTES_MAX: usize = 255;

/// All that lies in the temporary directory of a case, by the bytes of its path: what is granted, and what is not.
type World = BTreeMap<PathBuf, Seen>;

/// What is known of a file without the code that is on trial.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    kind: FileType,
    /// A file's bytes, a symlink's target.
    content: Vec<u8>,
    mode: u32,
    /// None of a directory: that changes with what is in it.
    modified: Option<Time>,
    inode: u64,
}

impl Seen {
    fn at(path: &Path) -> Seen {
        let meta = std_fs::symlink_metadata(path).unwrap();
        let kind = FileType::from_raw_mode(meta.mode());
        let content = match kind {
            FileType::RegularFile => std_fs::read(path).unwrap(),
            FileType::Symlink => std_fs::read_link(path).unwrap().into_os_string().into_vec(),
            _ => Vec::new(),
        };
        let modified = (kind != FileType::Directory).then(|| modified(&meta));
        Seen { kind, content, mode: meta.mode() & 0o7777, modified, inode: meta.ino() }
    }

    fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// Whether the tree tells of it what `std::fs` does.
    fn is(&self, found: &Found) -> bool {
        let entry = &found.entry;
        let size = (self.kind == FileType::RegularFile).then_some(self.content.len() as u64);
        let mode = entry.posix.as_ref().map(|posix| posix.mode);
        let is_time = self.modified.is_none() || self.modified == entry.modified;
        (self.inode, size, Some(self.mode)) == (found.inode, entry.size, mode) && is_time && self.is_kind(entry)
    }

    fn is_kind(&self, entry: &Entry) -> bool {
        match &entry.kind {
            EntryKind::Symlink(target) => {
                self.kind == FileType::Symlink && metadata::target_bytes(target).unwrap() == self.content
            }
            EntryKind::File | EntryKind::Hardlink(_) => self.kind == FileType::RegularFile,
            EntryKind::Directory => self.is_directory(),
            EntryKind::Fifo => self.kind == FileType::Fifo,
            EntryKind::Socket => self.kind == FileType::Socket,
            EntryKind::CharDevice(..) => self.kind == FileType::CharacterDevice,
            EntryKind::BlockDevice(..) => self.kind == FileType::BlockDevice,
        }
    }

    /// Whether it has the metadata that an entry says; a symlink has no mode.
    fn has(&self, entry: &Entry) -> bool {
        let mode = entry.posix.as_ref().filter(|_| self.kind != FileType::Symlink).map(|posix| posix.mode);
        mode.is_none_or(|mode| mode == self.mode) && entry.modified.is_none_or(|time| self.modified == Some(time))
    }
}

fn modified(meta: &std_fs::Metadata) -> Time {
    Time { seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() as u32 }
}

/// What is there, no symlink followed.
fn look(root: &Path) -> World {
    let (mut world, mut todo) = (World::new(), vec![root.to_path_buf()]);
    while let Some(directory) = todo.pop() {
        for item in std_fs::read_dir(&directory).unwrap() {
            let path = item.unwrap().path();
            let seen = Seen::at(&path);
            todo.extend(seen.is_directory().then(|| path.clone()));
            world.insert(path.strip_prefix(root).unwrap().to_path_buf(), seen);
        }
    }
    world
}

/// The names of a path, or how it must be refused, whatever is there.
fn names(path: &str) -> Result<Vec<Vec<u8>>, Kind> {
    let names: Result<Vec<_>> = path.split('/').map(path::unescape).collect();
    let names = names.ok().filter(|_| path.len() <= PATH_BYTES_MAX).ok_or(Kind::Invalid)?;
    let is_name = |name: &Vec<u8>| name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0);
    if names.iter().all(is_name) { Ok(names) } else { Err(Kind::Unsupported) }
}

fn is_overlong(path: &str) -> bool {
    names(path).is_ok_and(|names| names.iter().any(|name| name.len() > NAME_BYTES_MAX))
}

/// Where a path lies in the world; whatever is refused lies nowhere.
fn place(path: &str) -> PathBuf {
    let names = if path.is_empty() { Vec::new() } else { names(path).unwrap_or_default() };
    std::iter::once(b"granted".to_vec()).chain(names).map(OsString::from_vec).collect()
}

/// A granted directory with something in it, and something beside it.
struct Case {
    dir: tempfile::TempDir,
    tree: Directory,
    access: Access,
    /// As it was after the last operation.
    world: World,
    /// Directories that `Skip` found, and whose metadata stays.
    kept: BTreeSet<String>,
    /// Files and nodes that were created: no other becomes one of several names.
    made: BTreeSet<String>,
    /// Entries that were not created, and not later either.
    uncreated: BTreeSet<String>,
    /// Directories that were put back, or met where they are: below these no symlink is followed.
    tops: BTreeSet<String>,
}

/// What an operation is to leave at its path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// What was there.
    Left,
    Made,
}

impl Case {
    fn new(access: Access, plants: &[Plant]) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std_fs::create_dir(at("granted")).unwrap();
        std_fs::create_dir_all(at("outside/dir")).unwrap();
        std_fs::write(at("outside/secret"), "secret").unwrap();
        std_fs::write(at("outside/dir/inside"), "secret").unwrap();
        // More names than an entry here ever has: a file that lies outside too is never one to put right in its place.
        (0..4).for_each(|n| std_fs::hard_link(at("outside/secret"), at(&format!("outside/{n}"))).unwrap());
        std_fs::hard_link(at("outside/secret"), at("granted/h")).unwrap();
        symlink(at("outside"), at("granted/s")).unwrap();
        plants.iter().for_each(|plant| plant.put(&at("granted")));
        let tree = Directory::open(&at("granted"), access).unwrap();
        let world = look(dir.path());
        let (kept, made, uncreated) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Case { dir, tree, access, world, kept, made, uncreated, tops: BTreeSet::new() }
    }

    fn apply(&mut self, operation: &Operation) -> Tried {
        match operation {
            Operation::Get(path) => self.get(path)?,
            Operation::Read(path) => self.read(path)?,
            Operation::List { path, after, pages } => self.list(path, after.as_deref(), pages)?,
            Operation::Create(entry, given) => {
                let mut expected = self.expected(entry, given.cut);
                let content = (!given.is_none()).then(|| Box::new(given.clone()) as _);
                let created = self.tree.create(entry, Role::Chosen, content, &mut [0; 1_000]);
                // Without content it is a name of something, or nothing.
                let is_name = matches!(entry.kind, EntryKind::Hardlink(_)) && given.is_none();
                let is_refused = created.as_ref().is_err_and(|e| e.kind() == Kind::Unsupported);
                if is_name && is_refused && expected != Ok(Then::Left) {
                    expected = Err(Kind::Unsupported);
                }
                self.created(entry, given, expected, created)?;
                self.told(&entry.path, expected.is_ok());
            }
            Operation::Write(entry, given) => self.write(entry, given)?,
            Operation::SetMetadata(entry) => self.set_metadata(entry)?,
            Operation::Remove(path) => self.remove(path)?,
        }
        // What only looks changes nothing, and what changes something has looked at it.
        prop_assert_eq!(&look(self.dir.path()), &self.world);
        prop_assert_eq!(self.tree.uncreated().1, self.uncreated.len() as u64);
        prop_assert!(!self.tree.has_widened());
        Ok(())
    }

    /// What lies at a path, or how it must be refused: what is met first on the way has the say.
    fn way(&self, path: &str) -> Result<Option<&Seen>, Kind> {
        if path.is_empty() {
            return Ok(self.world.get(&place("")));
        }
        let (mut at, names) = (place(""), names(path)?);
        for (n, name) in names.iter().enumerate() {
            if name.len() > NAME_BYTES_MAX {
                return Err(Kind::Unsupported);
            }
            at.push(OsStr::from_bytes(name));
            match self.world.get(&at) {
                Some(seen) if n + 1 == names.len() => return Ok(Some(seen)),
                None => return Ok(None),
                Some(seen) if seen.is_directory() => {}
                Some(seen) if seen.kind == FileType::Symlink => return Err(Kind::NotGranted),
                Some(_) => return Err(Kind::Unavailable),
            }
        }
        Ok(None)
    }

    fn get(&self, path: &str) -> Tried {
        let got = self.tree.get(path).map_err(|error| error.kind());
        match (self.way(path), got) {
            (Ok(Some(seen)), Ok(Some(found))) => {
                prop_assert!(seen.is(&found) && found.entry.path == path, "{:?} is not {seen:?}", found.entry);
            }
            // Below a file there is nothing.
            (Ok(None) | Err(Kind::Unavailable), Ok(None)) => {}
            (way, got) => prop_assert_eq!(way.map(|seen| seen.is_some()), got.map(|found| found.is_some())),
        }
        Ok(())
    }

    fn read(&self, path: &str) -> Tried {
        let expected = match self.way(path) {
            Ok(Some(seen)) if seen.kind == FileType::RegularFile && !path.is_empty() => Ok(seen.content.clone()),
            Ok(Some(seen)) if seen.kind == FileType::Symlink => Err(Kind::NotGranted),
            Ok(_) if path.is_empty() => Err(Kind::Invalid),
            Ok(_) => Err(Kind::Unavailable),
            Err(kind) => Err(kind),
        };
        let mut bytes = Vec::new();
        let read = self.tree.open_file(path, Unrest::Refused { version: None }).and_then(|mut file| {
            let read = file.read_to_end(&mut bytes);
            read.map_err(|e| Error::io("read", e))
        });
        prop_assert_eq!(read.map(|_| bytes).map_err(|error| error.kind()), expected);
        Ok(())
    }

    /// Lists a directory from a name on, in pages of these sizes in turn.
    fn list(&self, path: &str, after: Option<&str>, pages: &[usize]) -> Tried {
        let directory = match self.way(path) {
            Ok(Some(seen)) if seen.is_directory() => Ok(place(path)),
            Ok(Some(seen)) if seen.kind == FileType::Symlink => Err(Kind::NotGranted),
            Ok(_) => Err(Kind::Unavailable),
            Err(kind) => Err(kind),
        };
        let (mut listed, mut after) = (Vec::<Found>::new(), after.map(str::to_string));
        let begin = after.clone();
        // Later pages are of the time of the first, or older still where it is listed ahead: what changes is opened anew.
        let tree = match self.access {
            Access::Read => self.tree.clone(),
            access => Directory::open(&self.dir.path().join("granted"), access).unwrap(),
        };
        for max in pages.iter().cycle() {
            let page = match tree.children(path, after.as_deref(), *max) {
                Ok((page, _)) => page,
                Err(error) => {
                    prop_assert_eq!(Err(error.kind()), directory);
                    return Ok(());
                }
            };
            let is_last = page.len() < *max;
            prop_assert!(page.len() <= *max && walk::is_behind(&page, after.as_deref()));
            after = page.last().map(|found| walk::last_name(&found.entry.path).to_string()).or(after);
            listed.extend(page);
            if is_last {
                break;
            }
        }
        prop_assert!(directory.is_ok(), "{:?}", directory);
        let there = self.world.iter().filter(|(at, _)| at.parent() == directory.as_deref().ok());
        let mut there: Vec<(String, &Seen)> =
            there.map(|(at, seen)| (path::escape(at.file_name().unwrap().as_bytes()), seen)).collect();
        there.retain(|(name, _)| begin.as_ref().is_none_or(|begin| name > begin));
        there.sort_by(|a, b| a.0.cmp(&b.0));
        let paths = |name: &String| if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let wanted: Vec<String> = there.iter().map(|(name, _)| paths(name)).collect();
        let got: Vec<String> = listed.iter().map(|found| found.entry.path.clone()).collect();
        prop_assert_eq!(got, wanted);
        prop_assert!(there.iter().zip(&listed).all(|((_, seen), found)| seen.is(found)));
        Ok(())
    }

    /// What creating an entry must come to.
    fn expected(&self, entry: &Entry, is_cut: bool) -> Result<Then, Kind> {
        let Access::Write(conflict) = self.access else { return Err(Kind::NotGranted) };
        let is_directory = entry.kind == EntryKind::Directory;
        if entry.path.is_empty() {
            return if is_directory { Ok(Then::Left) } else { Err(Kind::Invalid) };
        }
        let way = self.way_to_write(&entry.path);
        let there = match way.there {
            // Below what is left there is no place for it.
            Err((_, true)) if conflict == Conflict::Skip => return Ok(Then::Left),
            Err((kind, _)) => return Err(kind),
            Ok(_) if is_overlong(&entry.path) => return Err(Kind::Unsupported),
            Ok(there) => there,
        };
        if conflict == Conflict::Skip && there.is_some() {
            return Ok(Then::Left);
        }
        if let EntryKind::Symlink(target) = &entry.kind
            && let Err(error) = metadata::target_bytes(target)
        {
            return Err(error.kind());
        }
        if entry.kind == EntryKind::File && is_cut {
            return Err(Kind::Corrupt);
        }
        match there {
            Some(seen) if seen.is_directory() && is_directory => Ok(Then::Left),
            Some(_) if conflict == Conflict::Refuse => Err(Kind::Invalid),
            Some(_) if !is_directory && self.is_full(&way.at) => Err(Kind::Invalid),
            _ => Ok(Then::Made),
        }
    }

    /// Whether something lies in a directory.
    fn is_full(&self, place: &Path) -> bool {
        self.world.keys().any(|at| at.parent() == Some(place))
    }

    /// Holds what became of an entry against what must.
    fn created(&mut self, entry: &Entry, given: &Given, expected: Result<Then, Kind>, created: Result<u64>) -> Tried {
        let created = created.map_err(|error| error.kind());
        prop_assert_eq!(expected, created.map(|_| expected.unwrap_or(Then::Made)), "create {:?}", entry);
        let at = self.way_to_write(&entry.path).at;
        let link = match &entry.kind {
            EntryKind::Hardlink(target) => self.way_to_write(target).at,
            _ => PathBuf::new(),
        };
        let (before, after) = (std::mem::take(&mut self.world), look(self.dir.path()));
        let is_met = entry.kind == EntryKind::Directory && expected.is_ok() && !entry.path.is_empty();
        if is_met && self.access == Access::Write(Conflict::Skip) && expected == Ok(Then::Left) {
            self.kept.insert(entry.path.clone());
        }
        let is_there = is_met && after.get(&at).is_some_and(Seen::is_directory);
        if is_there && !self.tops.iter().any(|top| path::is_under(&entry.path, top)) {
            self.tops.insert(entry.path.clone());
        }
        only_here(&before, &after, (entry, &at), expected)?;
        self.world = after;
        let Ok(Then::Made) = expected else { return Ok(()) };
        let is_device = matches!(entry.kind, EntryKind::CharDevice(..) | EntryKind::BlockDevice(..));
        let Some(made) = self.world.get(&at) else {
            prop_assert!(is_device && !rustix::process::geteuid().is_root(), "nothing was created");
            return Ok(());
        };
        // Another name of what was made here, or a file of its own.
        let is_link = match &entry.kind {
            EntryKind::Hardlink(target) => self.made.contains(target) && before.get(&link) == Some(made),
            _ => false,
        };
        if is_link && created == Ok(0) {
            return Ok(());
        }
        prop_assert!(made.is_kind(entry), "{entry:?} became {made:?}");
        prop_assert!(made.is_directory() || made.has(entry), "{entry:?} became {made:?}");
        if !made.is_directory() {
            self.made.insert(entry.path.clone());
        }
        if made.kind == FileType::RegularFile {
            prop_assert_eq!((created, &made.content), (Ok(given.bytes.len() as u64), &given.bytes));
        }
        Ok(())
    }

    /// Keeps count of what was told not to be created.
    fn told(&mut self, path: &str, is_ok: bool) {
        if is_ok {
            self.uncreated.remove(path);
        } else if self.access != Access::Read {
            self.uncreated.insert(path.into());
        }
    }

    /// A file whose bytes come in pieces, and that is closed, or let go of where its content is cut.
    fn write(&mut self, entry: &Entry, given: &Given) -> Tried {
        let expected = match self.expected(entry, given.cut) {
            Ok(_) if given.cut => Err(Kind::Corrupt),
            _ if entry.kind != EntryKind::File && self.access != Access::Read => Err(Kind::Invalid),
            expected => expected,
        };
        let begun = self.tree.create_file(entry.clone());
        let is_let_go_of = begun.is_ok() && given.cut;
        let written = begun.and_then(|mut file| {
            given.bytes.chunks(3_000).try_for_each(|piece| file.write(piece))?;
            // Nobody sees half of it.
            let at = self.way_to_write(&entry.path).at;
            assert_eq!(look(self.dir.path()).get(&at), self.world.get(&at));
            if given.cut { Err(Error::corrupt("let go of")) } else { file.close() }
        });
        self.created(entry, given, expected, written)?;
        // Of what was let go of somebody else keeps count.
        if !is_let_go_of {
            self.told(&entry.path, expected.is_ok());
        }
        Ok(())
    }

    fn set_metadata(&mut self, entry: &Entry) -> Tried {
        let way = self.way_to_write(&entry.path);
        if self.kept.remove(&entry.path) {
            prop_assert!(self.tree.set_metadata(entry).is_ok());
            self.told(&entry.path, true);
            return Ok(());
        }
        let expected = match (self.access, way.there) {
            (Access::Read, _) => Err(Kind::NotGranted),
            _ if !way.is_reached => Err(Kind::Unavailable),
            (_, Ok(Some(seen))) if seen.is_directory() => Ok(()),
            (_, Ok(Some(seen))) if seen.kind == FileType::Symlink => Err(Kind::NotGranted),
            (_, Ok(_)) => Err(Kind::Unavailable),
            (_, Err((kind, _))) => Err(kind),
        };
        prop_assert_eq!(self.tree.set_metadata(entry).map_err(|error| error.kind()), expected);
        self.told(&entry.path, expected.is_ok());
        if expected.is_ok() {
            let meta = std_fs::symlink_metadata(self.dir.path().join(&way.at)).unwrap();
            prop_assert!(entry.modified.is_none_or(|time| time == modified(&meta)));
            let seen = self.world.get_mut(&way.at).unwrap();
            seen.mode = entry.posix.as_ref().map_or(seen.mode, |posix| posix.mode);
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Tried {
        let way = self.way_to_write(path);
        let expected = match (self.access, way.there) {
            (Access::Write(Conflict::Replace), _) if path.is_empty() => Err(Kind::Invalid),
            (Access::Write(Conflict::Replace), _) if !way.is_reached => Err(Kind::Unavailable),
            (Access::Write(Conflict::Replace), Ok(Some(_))) if self.is_full(&way.at) => Err(Kind::Invalid),
            (Access::Write(Conflict::Replace), Ok(Some(_))) => Ok(()),
            (Access::Write(Conflict::Replace), Ok(None)) => Err(Kind::Unavailable),
            (Access::Write(Conflict::Replace), Err((kind, _))) => Err(kind),
            _ => Err(Kind::NotGranted),
        };
        prop_assert_eq!(self.tree.remove(path).map_err(|error| error.kind()), expected);
        if expected.is_ok() {
            self.world.remove(&way.at);
        }
        Ok(())
    }
}

/// That nothing changed but at the path of an entry, if it was made, and that nothing came but the directories above it.
fn only_here(before: &World, after: &World, (entry, at): (&Entry, &PathBuf), expected: Result<Then, Kind>) -> Tried {
    let is_made = expected == Ok(Then::Made);
    let may_come = names(&entry.path).is_ok() && expected != Err(Kind::NotGranted);
    let is_above = |path: &Path, seen: &Seen| {
        let is_new = at != path && at.starts_with(path) && !before.contains_key(path);
        is_new && may_come && seen.is_directory() && seen.mode == 0o755
    };
    // A file that was right but for its metadata, which are those of all its names.
    let inode = after.get(at).filter(|_| is_made).map(|seen| seen.inode);
    let strip = |(path, seen): (&PathBuf, &Seen)| {
        let mut seen = seen.clone();
        if Some(seen.inode) == inode && path.starts_with("granted") {
            (seen.mode, seen.modified) = (0, None);
        }
        (path.clone(), seen)
    };
    let is_other = |path: &Path| !is_made || path != at;
    let was: World = before.iter().filter(|(path, _)| is_other(path)).map(strip).collect();
    let is = after.iter().filter(|(path, seen)| is_other(path) && !is_above(path, seen));
    prop_assert_eq!(was, is.map(strip).collect::<World>(), "create {:?}", entry);
    Ok(())
}

#[test]
fn whatever_is_done_in_a_directory_stays_in_it_and_is_whole() {
    drawn::hold(drawn::cases(), |(access, plants, operations)| {
        let mut case = Case::new(access, &plants);
        operations.iter().try_for_each(|operation| case.apply(operation))
    });
}
