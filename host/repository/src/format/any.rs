//! What properties are tried with: any name, any entry, a line that was changed; and for how long.

#[cfg(test)]
pub(crate) use drawn::*;

#[cfg(test)]
mod drawn {
    use std::time::{Duration, Instant};

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use proptest::test_runner::{Config, TestCaseError, TestRunner};

    use crate::entry::{Content, Entry, EntryKind, Extent, ExtentList, Posix, StoredEntry, Time};
    use crate::format::path::escape;
    use crate::id::ChunkId;
    use crate::limits::CHUNK_BYTES_MAX;

    /// Cases of a normal run, and how many lie between two looks at the clock in a soak.
    const CASES: u32 = 256;
    /// How long a soak tries one property, unless `DOZO_SOAK_SECONDS` says it.
    const SECONDS: u64 = 600;

    /// Tries a property on what is drawn: some times, or for as long as a soak has. Prints the smallest case in which it
    /// does not hold.
    #[track_caller]
    pub(crate) fn hold<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
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

    /// A name in the source's own bytes; those that mean something come often.
    pub(crate) fn name() -> impl Strategy<Value = Vec<u8>> {
        let special = proptest::sample::select(b"./%\\\"-!\0\n\x1f\x7f\xc3\xa9\xff\xf0AF".as_slice());
        prop_oneof![
            vec(any::<u8>(), 1..12),
            vec(special, 1..6),
            "\\PC{1,6}".prop_map(String::into_bytes),
            Just(b".".to_vec()),
            Just(b"..".to_vec()),
        ]
    }

    /// The names of a path, outermost first. Few of them differ, so that many paths lie below one another.
    pub(crate) fn names() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let near = proptest::sample::select(vec!["a", "a-", "a!", "a/", "b", ".", "é"]);
        vec(prop_oneof![near.prop_map(|name| name.as_bytes().to_vec()), name()], 1..5)
    }

    pub(crate) fn joined(names: &[Vec<u8>]) -> String {
        names.iter().map(|name| escape(name)).collect::<Vec<_>>().join("/")
    }

    pub(crate) fn path() -> impl Strategy<Value = String> {
        names().prop_map(|names| joined(&names))
    }

    fn kind() -> impl Strategy<Value = EntryKind> {
        prop_oneof![
            4 => Just(EntryKind::File),
            1 => Just(EntryKind::Directory),
            1 => any::<String>().prop_map(EntryKind::Symlink),
            1 => path().prop_map(EntryKind::Hardlink),
            1 => Just(EntryKind::Fifo),
            1 => Just(EntryKind::Socket),
            1 => any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::CharDevice(major, minor)),
            1 => any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::BlockDevice(major, minor)),
        ]
    }

    fn time() -> impl Strategy<Value = Time> {
        let seconds = prop_oneof![any::<i64>(), -2i64..2, Just(i64::MIN), Just(i64::MAX)];
        (seconds, 0u32..1_000_000_000).prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds })
    }

    fn posix() -> impl Strategy<Value = Posix> {
        let xattrs = vec((any::<String>(), vec(any::<u8>(), 0..20)), 0..3);
        let owners = any::<(u32, u32, Option<String>, Option<String>)>();
        (0u32..=0o7777, owners, xattrs, 1u32..4, any::<bool>()).prop_map(
            |(mode, (uid, gid, user, group), xattrs, links, sparse)| Posix {
                mode,
                uid,
                gid,
                user,
                group,
                xattrs,
                links,
                sparse,
            },
        )
    }

    pub(crate) fn extent() -> impl Strategy<Value = Extent> {
        (any::<[u8; 32]>(), 0..CHUNK_BYTES_MAX as u32, any::<u32>()).prop_map(|(chunk, offset, length)| Extent {
            chunk: ChunkId(chunk),
            offset,
            length: 1 + length % (CHUNK_BYTES_MAX as u32 - offset),
        })
    }

    fn content() -> impl Strategy<Value = Content> {
        let list = (any::<[u8; 32]>(), any::<u32>(), 0..u64::MAX / 4).prop_map(|(chunk, bytes, covered)| ExtentList {
            chunk: ChunkId(chunk),
            bytes,
            covered,
        });
        prop_oneof![
            Just(Content::EMPTY),
            vec(extent(), 1..4).prop_map(Content::Inline),
            vec(list, 1..4).prop_map(Content::Listed)
        ]
    }

    /// Whatever a snapshot can hold.
    pub(crate) fn stored() -> impl Strategy<Value = StoredEntry> {
        let times = (option::of(time()), option::of(any::<String>()));
        let more = (option::of(posix()), vec(any::<(String, String)>(), 0..3), any::<bool>());
        (path(), kind(), content(), times, more).prop_map(
            |(path, kind, content, (modified, version), (posix, attributes, sized))| {
                // Nothing and no length are the same to a reader.
                let size = content.length().filter(|length| sized || *length > 0);
                StoredEntry { entry: Entry { path, kind, size, modified, version, posix, attributes }, content }
            },
        )
    }

    /// One thing that happens to bytes.
    #[derive(Clone, Debug)]
    pub(crate) enum Change {
        Set(Index, u8),
        Remove(Index, usize),
        Insert(Index, Vec<u8>),
        Repeat(Index, usize),
    }

    impl Change {
        pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
            let (Change::Set(at, _) | Change::Remove(at, _) | Change::Insert(at, _) | Change::Repeat(at, _)) = self;
            let at = at.index(bytes.len() + 1);
            let until = |length: usize| (at + length).min(bytes.len());
            match self {
                Change::Set(_, byte) => bytes.iter_mut().skip(at).take(1).for_each(|there| *there = *byte),
                Change::Remove(_, length) => drop(bytes.drain(at..until(*length))),
                Change::Insert(_, new) => drop(bytes.splice(at..at, new.iter().copied())),
                Change::Repeat(_, length) => {
                    let again = bytes[at..until(*length)].to_vec();
                    drop(bytes.splice(at..at, again));
                }
            }
        }
    }

    pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
        let byte = prop_oneof![any::<u8>(), proptest::sample::select(b"\"[]{},:\\/%.-0123456789\n".as_slice())];
        let change = prop_oneof![
            (any::<Index>(), byte).prop_map(|(at, byte)| Change::Set(at, byte)),
            (any::<Index>(), 1usize..20).prop_map(|(at, length)| Change::Remove(at, length)),
            (any::<Index>(), text()).prop_map(|(at, text)| Change::Insert(at, text)),
            (any::<Index>(), 1usize..40).prop_map(|(at, length)| Change::Repeat(at, length)),
        ];
        vec(change, 1..4)
    }

    /// Pieces of which lines consist: random bytes alone are seldom JSON.
    const PIECES: &[&str] = &[
        "{\"path\":\"a\",\"kind\":\"file\"",
        "}",
        "{",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\u0000",
        "\\ud800",
        "\"path\"",
        "\"kind\"",
        "\"size\"",
        "\"0\"",
        "\"18446744073709551615\"",
        "\"symlink\"",
        "\"directory\"",
        "\"target\"",
        "\"../a\"",
        "null",
        "1e400",
        "-0",
        "\"mode\"",
        "\"0644\"",
        "\"uid\"",
        "4294967296",
        "\"modified\"",
        "\"-0.000000000\"",
        "\"9223372036854775808.000000000\"",
        "\"xattrs\"",
        "\"content\"",
        "\"extents\"",
        "{\"schema\":\"dozo/manifest/1\"}",
        "{\"entries\":\"1\",\"bytes\":\"2\"}",
        "\n",
        "\"device\"",
        "[1,2]",
    ];

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
        vec(piece, 1..4).prop_map(|pieces| pieces.concat())
    }

    /// Any bytes, or what looks a little like lines.
    pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![vec(any::<u8>(), 0..200), vec(text(), 0..8).prop_map(|texts| texts.concat())]
    }
}
