//! What the properties are tried with, and for how long.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use dozo_job::port::{Posix, ReadContent};
use proptest::collection::vec;
use proptest::option;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Cases of a normal run, and how many lie between two looks at the clock in a soak.
const CASES: u32 = 256;
/// How long a soak tries one property, unless `DOZO_SOAK_SECONDS` says it.
const SECONDS: u64 = 600;

/// Tries a property on what is drawn: some times, or for as long as a soak has. Prints the smallest case in which it does
/// not hold.
#[track_caller]
pub(super) fn hold<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Tried) {
    let seconds = std::env::var("DOZO_SOAK_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let soak = std::env::var_os("DOZO_SOAK").map(|_| Duration::from_secs(seconds));
    let (begun, mut cases) = (Instant::now(), 0u64);
    loop {
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        if let Err(failure) = TestRunner::new(config).run(&strategy, &property) {
            panic!("after {cases} cases: {failure}");
        }
        cases += u64::from(CASES);
        if soak.is_none_or(|soak| begun.elapsed() >= soak) {
            break;
        }
    }
    eprintln!("{cases} cases in {:.1?}", begun.elapsed());
}

/// Something that lies in the directory before anybody works in it.
#[derive(Clone, Debug)]
pub(super) struct Plant {
    names: Vec<&'static [u8]>,
    kind: EntryKind,
}

impl Plant {
    /// Puts it there, unless something else is in its way.
    pub(super) fn put(&self, granted: &Path) {
        let path = self.names.iter().fold(granted.to_path_buf(), |path, name| path.join(OsStr::from_bytes(name)));
        // A plant must not lead out by itself.
        let above = path.ancestors().skip(1).take(self.names.len());
        if above.filter(|above| *above != granted).any(Path::is_symlink) {
            return;
        }
        let _ = std_fs::create_dir_all(path.parent().unwrap());
        let _ = match &self.kind {
            EntryKind::File => File::create_new(&path).and_then(|_| std_fs::write(&path, "planted")),
            EntryKind::Symlink(target) => symlink(target, &path),
            _ => std_fs::create_dir(&path),
        };
    }
}

/// Bytes for an entry.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) bytes: Vec<u8>,
    /// An error comes where they should end.
    pub(super) cut: bool,
    /// It can be told without reading them whether a file has them.
    is_known: bool,
    read: usize,
}

impl Given {
    /// Whether to give nothing at all: an empty file takes no content.
    pub(super) fn is_none(&self) -> bool {
        self.bytes.is_empty() && !self.cut && !self.is_known
    }
}

impl Read for Given {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = (&self.bytes[self.read..]).read(buffer)?;
        self.read += read;
        if read == 0 && self.cut { Err(Error::corrupt("the pack is damaged").into()) } else { Ok(read) }
    }
}

impl ReadContent for Given {
    fn is_in(&mut self, mut there: &File) -> std::io::Result<bool> {
        let mut bytes = Vec::new();
        there.seek(SeekFrom::Start(0))?;
        there.read_to_end(&mut bytes)?;
        Ok(self.is_known && !self.cut && bytes == self.bytes)
    }
}

/// One call of a plugin.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Get(String),
    Read(String),
    List { path: String, after: Option<String>, pages: Vec<usize> },
    Create(Entry, Given),
    Write(Entry, Given),
    SetMetadata(Entry),
    Remove(String),
}

/// Few names, so that paths collide and lie below each other; `s` is a symlink to what lies outside, `h` a name of it.
fn names() -> impl Strategy<Value = Vec<&'static [u8]>> {
    let near = select(vec![b"a".as_slice(), b"b", b"c"]);
    let odd = select(vec![b"s".as_slice(), b"h", b"a-", b"%", b"\xff\xfe", b"\n", "é".as_bytes(), b"...", b"%2E%2E"]);
    let name = prop_oneof![4 => near, 1 => odd].boxed();
    prop_oneof![1 => vec(name.clone(), 1), 2 => vec(name, 1..4)]
}

fn path() -> BoxedStrategy<String> {
    let joined = |names: Vec<&[u8]>| names.into_iter().map(path::escape).collect::<Vec<_>>().join("/");
    prop_oneof![12 => names().prop_map(joined), 1 => hostile(), 1 => "[ab./%02EF\\x00é]{0,8}"].boxed()
}

/// Paths that mean to lead out, or that are none.
fn hostile() -> impl Strategy<Value = String> {
    let short = "/ /a /a/b /etc/passwd a/ a//b ./a a/./b . .. a/.. ../outside/secret a/../../outside/secret \
                 %2E%2E %2E%2E/outside/secret a/%2E%2E/%2E%2E/outside/secret a/b/%2E %2e%2e %61 a%2Fb ..%2Foutside \
                 a%00b a\0b a\tb % a%2 s/secret s/dir/inside a/s/dir";
    let mut all: Vec<String> = short.split(' ').map(String::from).chain([String::new()]).collect();
    for length in [256, 5_000, PATH_BYTES_MAX + 1] {
        all.extend([
            "x".repeat(length),
            format!("a/{}/b", "x".repeat(length)),
            format!("a/{}", "é".repeat(length / 2)),
        ]);
    }
    all.push(format!("{}b", "a/".repeat(PATH_BYTES_MAX)));
    select(all)
}

/// Targets that lead up, out, to siblings, nowhere, and such as no symlink can have.
fn target() -> impl Strategy<Value = String> {
    let targets = ["..", ".", "a", "b/c", "../a", "../outside", "../outside/secret", "../../outside/dir", "/", "/etc"];
    let refused = vec![String::new(), "%00".into(), "x/".repeat(3_000)];
    prop_oneof![8 => select(targets.to_vec()).prop_map(String::from), 1 => select(refused)]
}

fn kind() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        8 => Just(EntryKind::File),
        4 => Just(EntryKind::Directory),
        2 => target().prop_map(EntryKind::Symlink),
        4 => select(vec!["a", "b", "a/b", "h"]).prop_map(|path| EntryKind::Hardlink(path.into())),
        2 => path().prop_map(EntryKind::Hardlink),
        1 => Just(EntryKind::Fifo),
        1 => Just(EntryKind::Socket),
        1 => Just(EntryKind::CharDevice(1, 3)),
    ]
}

/// What every file system has room for.
fn time() -> impl Strategy<Value = Time> {
    (-1_000_000_000i64..2_000_000_000, 0u32..1_000_000_000)
        .prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds })
}

/// Ours, and open to us: whoever runs this need not be root.
fn posix() -> impl Strategy<Value = Posix> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    (0u32..=0o7777, 1u32..4, any::<bool>()).prop_map(move |(mode, links, sparse)| Posix {
        // Where others may write, other rules hold.
        mode: (mode | 0o700) & !0o022,
        uid,
        gid,
        links,
        sparse,
        ..Posix::default()
    })
}

/// An entry, and bytes that it may be given. Nothing is cut of what is refused for its length: which of the two is told
/// first does not matter.
fn entry() -> BoxedStrategy<(Entry, Given)> {
    let run = (select(vec![0u8, b'x', b'y']), select(vec![1usize, 100, 4_096, 9_000]));
    let bytes = vec(run, 0..3).prop_map(|runs| runs.iter().flat_map(|(byte, length)| vec![*byte; *length]).collect());
    // Also what is there already.
    let bytes = prop_oneof![3 => bytes, 1 => select(vec![b"secret".to_vec(), b"planted".to_vec()])];
    let given = (bytes, prop::bool::weighted(0.2), any::<bool>(), any::<bool>());
    (path(), kind(), option::of(time()), option::of(posix()), given)
        .prop_map(|(path, kind, modified, posix, (bytes, cut, is_known, is_size_told))| {
            let bytes: Vec<u8> = bytes;
            let cut = cut && kind == EntryKind::File && !is_overlong(&path);
            // A large file is written without a name, as one of unknown length is.
            let size = is_size_told.then_some(bytes.len() as u64);
            let entry = Entry { kind, modified, posix, size, ..Entry::file(&path) };
            (entry, Given { bytes, cut, is_known, read: 0 })
        })
        .boxed()
}

fn operation() -> BoxedStrategy<Operation> {
    let after = option::weighted(0.3, "[a-cs%é-]{0,3}");
    let list = (path_or_root(), after, vec(1usize..6, 1..4));
    prop_oneof![
        2 => path().prop_map(Operation::Get),
        2 => path().prop_map(Operation::Read),
        2 => list.prop_map(|(path, after, pages)| Operation::List { path, after, pages }),
        8 => entry().prop_map(|(entry, given)| Operation::Create(entry, given)),
        2 => entry().prop_map(|(entry, given)| Operation::Write(entry, given)),
        2 => entry().prop_map(|(entry, _)| Operation::SetMetadata(entry)),
        2 => path().prop_map(Operation::Remove),
    ]
    .boxed()
}

/// A file and other names of it, as a restore creates them.
fn family() -> impl Strategy<Value = Vec<Operation>> {
    (entry(), vec(entry(), 1..3)).prop_map(|((mut first, given), others)| {
        first.kind = EntryKind::File;
        first.posix.iter_mut().for_each(|posix| posix.links = 3);
        let kind = EntryKind::Hardlink(first.path.clone());
        let name = |(entry, given)| (Entry { kind: kind.clone(), ..entry }, Given { cut: false, ..given });
        let names: Vec<_> = others.into_iter().map(name).collect();
        std::iter::once((first, given)).chain(names).map(|(entry, given)| Operation::Create(entry, given)).collect()
    })
}

fn path_or_root() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 2 => path()]
}

fn plant() -> impl Strategy<Value = Plant> {
    let kind = prop_oneof![Just(EntryKind::File), Just(EntryKind::Directory), target().prop_map(EntryKind::Symlink)];
    (names(), kind).prop_map(|(names, kind)| Plant { names, kind })
}

/// A granted directory, and what is done in it.
pub(super) fn cases() -> BoxedStrategy<(Access, Vec<Plant>, Vec<Operation>)> {
    let access = select(vec![
        Access::Read,
        Access::Write(Conflict::Refuse),
        Access::Write(Conflict::Skip),
        Access::Write(Conflict::Replace),
        Access::Write(Conflict::Replace),
    ]);
    let step = prop_oneof![8 => operation().prop_map(|operation| vec![operation]), 1 => family()];
    let operations = vec(step, 1..24).prop_map(|steps| steps.concat());
    (access, vec(plant(), 0..8), operations).boxed()
}
