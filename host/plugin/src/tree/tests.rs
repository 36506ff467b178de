//! The walls of a granted directory, tried from inside.

mod any;
mod others;

use std::fs as std_fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};

use dozo_job::Kind;
use jiff::{SignedDuration, Timestamp};

use super::*;
use dozo_job::port::{Entry, EntryKind, Plain, Posix, Time};

struct Case {
    dir: tempfile::TempDir,
    tree: Directory,
}

fn case(access: Access) -> Case {
    let dir = tempfile::tempdir().unwrap();
    std_fs::create_dir(dir.path().join("granted")).unwrap();
    std_fs::write(dir.path().join("secret"), "secret").unwrap();
    let tree = Directory::open(&dir.path().join("granted"), access).unwrap();
    Case { dir, tree }
}

fn read(tree: &Directory, path: &str) -> Result<String> {
    let mut text = String::new();
    tree.open_file(path, Unrest::Refused { version: None })?
        .read_to_string(&mut text)
        .map_err(|e| Error::io("read", e))?;
    Ok(text)
}

fn create(tree: &Directory, entry: &Entry, content: &'static str) -> Result<u64> {
    tree.create(entry, Role::Chosen, Some(Box::new(Plain(content.as_bytes()))), &mut [0; 16])
}

#[test]
fn no_path_and_no_symlink_leads_out() {
    let Case { dir, tree } = case(Access::Write(Conflict::Replace));
    let granted = dir.path().join("granted");
    symlink("..", granted.join("up")).unwrap();
    symlink("../secret", granted.join("link")).unwrap();
    symlink(dir.path(), granted.join("absolute")).unwrap();
    for path in
        ["../secret", "up/secret", "link", "absolute/secret", "/etc/passwd", "a/../../secret", "./x", "%2E%2E/secret"]
    {
        assert!(read(&tree, path).is_err(), "read {path}");
        assert!(!matches!(tree.get(path), Ok(Some(_))) || path == "link", "get {path}");
        assert!(create(&tree, &Entry::file(path), "forged").is_err() || path == "link", "create {path}");
    }
    for path in ["up", "absolute", ".."] {
        assert!(tree.children(path, None, 10).is_err(), "list {path}");
    }
    assert_eq!(std_fs::read_to_string(dir.path().join("secret")).unwrap(), "secret");
    assert_eq!(std_fs::read_dir(dir.path()).unwrap().count(), 2, "nothing was made outside");
    assert_eq!(std_fs::read_to_string(granted.join("link")).unwrap(), "forged", "the link itself was replaced");
}

#[test]
fn reading_grants_no_writing() {
    let Case { tree, .. } = case(Access::Read);
    let error = create(&tree, &Entry::file("a"), "x").unwrap_err();
    assert_eq!(error.kind(), Kind::NotGranted);
    assert!(tree.remove("a").is_err() && tree.set_metadata(&Entry::file("")).is_err());
}

#[test]
fn a_directory_is_listed_in_pages_and_in_order() {
    let Case { dir, tree } = case(Access::Read);
    for name in ["b", "a", "a%", "z", "é"] {
        std_fs::write(dir.path().join("granted").join(name), name).unwrap();
    }
    std_fs::create_dir(dir.path().join("granted/dir")).unwrap();
    let mut names = Vec::new();
    loop {
        let page = tree.children("", names.last().map(String::as_str), 2).unwrap().0;
        if page.is_empty() {
            break;
        }
        names.extend(page.into_iter().map(|found| found.entry.path));
    }
    assert_eq!(names, ["a", "a%25", "b", "dir", "z", "é"]);
    assert_eq!(read(&tree, "a%25").unwrap(), "a%");
    assert_eq!(tree.get("dir").unwrap().unwrap().entry.kind, EntryKind::Directory);
    assert_eq!(tree.children("missing", None, 1).err().unwrap().kind(), Kind::Unavailable);
}

#[test]
fn what_is_gone_before_it_is_looked_at_is_named() {
    let Case { dir, tree } = case(Access::Read);
    std_fs::create_dir(dir.path().join("granted/d")).unwrap();
    std_fs::write(dir.path().join("granted/d/there"), "").unwrap();
    let page = ahead::Page::new("d", None, 10);
    let names = ["gone", "there", "zone"].map(|name| (name.to_string(), name.into())).to_vec();
    let listed = tree.list(&page, Some(names.into())).unwrap();
    assert_eq!((listed.found.len(), listed.vanished), (1, vec!["d/gone".to_string(), "d/zone".to_string()]));
    let whole = tree.whole("d/gone");
    assert_eq!(format!("/{whole}"), dir.path().join("granted/d/gone").display().to_string());
}

/// What was moved while the snapshot was made lay where the backup had not been yet, and lies where it had been.
#[test]
fn what_moved_while_the_snapshot_was_made_is_not_deleted() {
    for (is_meanwhile, deleted) in [(true, 0), (false, 1)] {
        let Case { dir, .. } = case(Access::Read);
        let moved = dir.path().join("granted/moved");
        std_fs::write(&moved, "moved").unwrap();
        let ended = Timestamp::from_second(moved.metadata().unwrap().ctime() + 1).unwrap();
        let ended = if is_meanwhile { ended } else { ended - SignedDuration::from_hours(1) };
        let left_out = LeftOut::default().made_between(ended - SignedDuration::from_mins(1), ended);
        let tree = Directory::open(&dir.path().join("granted"), Access::Write(Conflict::Replace)).unwrap();
        let tree = tree.deleting(Arc::new(left_out), true);
        assert_eq!(tree.delete_extra(), deleted);
        assert_eq!(moved.exists(), is_meanwhile);
        let notes = tree.take_notes();
        assert_eq!(notes.iter().any(|note| note.contains("while the snapshot was made")), is_meanwhile, "{notes:?}");
    }
}

#[test]
fn what_was_listed_ahead_long_ago_is_listed_anew() {
    let Case { dir, tree } = case(Access::Read);
    std_fs::create_dir_all(dir.path().join("granted/a/b")).unwrap();
    assert_eq!(tree.children("", None, 10).unwrap().0.len(), 1);
    let is_ready = || tree.is_ready("a", None, 10) && tree.is_ready("a/b", None, 10);
    let begun = std::time::Instant::now();
    while !is_ready() {
        assert!(begun.elapsed() < ahead::FRESH, "nothing is listed ahead");
        std::thread::yield_now();
    }
    std_fs::write(dir.path().join("granted/a/b/new"), "new").unwrap();
    std::thread::sleep(ahead::FRESH);
    assert_eq!(tree.children("a", None, 10).unwrap().0.len(), 1);
    assert_eq!(tree.children("a/b", None, 10).unwrap().0.len(), 1, "the new file");
}

#[test]
fn nothing_is_listed_ahead_after_a_call() {
    let Case { dir, tree } = case(Access::Read);
    for number in 0..200 {
        std_fs::create_dir_all(dir.path().join(format!("granted/{number}/below"))).unwrap();
    }
    assert_eq!(tree.children("", None, 300).unwrap().0.len(), 200);
    tree.rest();
    assert!(!(0..200).any(|number| tree.is_ready(&number.to_string(), None, 300)));
    std_fs::write(dir.path().join("granted/7/new"), "new").unwrap();
    assert_eq!(tree.children("7", None, 300).unwrap().0.len(), 2, "the new file");
}

#[test]
fn metadata_comes_back_as_it_was() {
    let Case { dir, tree } = case(Access::Write(Conflict::Refuse));
    let time = Time { seconds: -5, nanoseconds: 123_456_789 };
    let me = std_fs::metadata(dir.path()).unwrap();
    let owners = (tree.0.owners.user(me.uid()), tree.0.owners.group(me.gid()));
    let posix = Posix {
        mode: 0o2751,
        uid: me.uid(),
        gid: me.gid(),
        user: owners.0.unwrap(),
        group: owners.1.unwrap(),
        links: 1,
        ..Posix::default()
    };
    let describe =
        |path: &str, kind| Entry { kind, modified: Some(time), posix: Some(posix.clone()), ..Entry::file(path) };
    let kinds = [
        ("new/file", EntryKind::File),
        ("new/link", EntryKind::Symlink("../no%25where/./x".into())),
        ("new/pipe", EntryKind::Fifo),
        ("new/socket", EntryKind::Socket),
    ];
    for (path, kind) in kinds {
        let entry = describe(path, kind);
        create(&tree, &entry, "content").unwrap();
        let found = tree.get(path).unwrap().unwrap().entry;
        assert_eq!((&found.kind, found.modified), (&entry.kind, Some(time)), "{path}");
        if !matches!(entry.kind, EntryKind::Symlink(_)) {
            assert_eq!(found.posix.unwrap(), posix, "{path}");
        }
    }
    assert_eq!(std_fs::read_link(dir.path().join("granted/new/link")).unwrap(), Path::new("../no%where/./x"));
    create(&tree, &describe("new", EntryKind::Directory), "").unwrap();
    tree.set_metadata(&describe("new", EntryKind::Directory)).unwrap();
    let found = tree.get("new").unwrap().unwrap().entry;
    assert_eq!((found.modified, found.posix), (Some(time), Some(posix)));
}

#[test]
fn what_is_there_is_kept_unless_it_is_to_be_replaced() {
    for (conflict, expected, fails) in
        [(Conflict::Refuse, "old", true), (Conflict::Skip, "old", false), (Conflict::Replace, "new", false)]
    {
        let Case { dir, tree } = case(Access::Write(conflict));
        let file = dir.path().join("granted/a");
        std_fs::write(&file, "old").unwrap();
        assert_eq!(create(&tree, &Entry::file("a"), "new").is_err(), fails, "{conflict:?}");
        assert_eq!(std_fs::read_to_string(&file).unwrap(), expected, "{conflict:?}");
        assert_eq!(std_fs::read_dir(dir.path().join("granted")).unwrap().count(), 1, "no temporary file is left");
    }
}

#[test]
fn a_directory_with_something_in_it_gives_way_to_nothing() {
    let Case { dir, tree } = case(Access::Write(Conflict::Replace));
    let granted = dir.path().join("granted");
    std_fs::create_dir(granted.join("a")).unwrap();
    std_fs::write(granted.join("a/inside"), "precious").unwrap();
    assert!(create(&tree, &Entry::file("a"), "new").is_err());
    assert_eq!(std_fs::read_to_string(granted.join("a/inside")).unwrap(), "precious");
}

#[test]
fn what_a_killed_process_of_the_same_number_left_is_passed_over() {
    let Case { dir, tree } = case(Access::Write(Conflict::Replace));
    let left = |n: u32| dir.path().join("granted").join(format!(".dozo-{}-{n}", std::process::id()));
    (0..40).for_each(|n| std_fs::write(left(n), "left").unwrap());
    let posix = Posix { mode: 0o600, links: 2, ..Posix::default() };
    let entry = |path: &str, kind, size| Entry { kind, size, posix: Some(posix.clone()), ..Entry::file(path) };
    for (path, kind, size) in [
        ("small", EntryKind::File, Some(4)),
        ("large", EntryKind::File, Some(2 << 20)),
        ("pipe", EntryKind::Fifo, None),
        ("link", EntryKind::Symlink("small".into()), None),
        ("name", EntryKind::Hardlink("small".into()), None),
    ] {
        create(&tree, &entry(path, kind, size), "text").unwrap_or_else(|e| panic!("{path}: {}", e.chain()));
    }
    let inode = |path: &str| std_fs::metadata(dir.path().join("granted").join(path)).unwrap().ino();
    assert_eq!(inode("name"), inode("small"));
    assert!((0..40).all(|n| std_fs::read(left(n)).unwrap() == b"left"));
}

#[test]
fn a_name_of_what_is_gone_is_a_file_of_its_own() {
    let Case { dir: _dir, tree } = case(Access::Write(Conflict::Replace));
    let posix = Posix { mode: 0o600, links: 2, ..Posix::default() };
    create(&tree, &Entry { posix: Some(posix), ..Entry::file("above/one") }, "text").unwrap();
    tree.remove("above/one").unwrap();
    tree.remove("above").unwrap();
    create(&tree, &Entry { kind: EntryKind::Hardlink("above/one".into()), ..Entry::file("two") }, "text").unwrap();
    assert_eq!(read(&tree, "two").unwrap(), "text");
}

#[test]
fn half_a_file_never_has_its_name() {
    struct Cut;
    impl Read for Cut {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(Error::corrupt("the pack is damaged").into())
        }
    }
    let Case { dir, tree } = case(Access::Write(Conflict::Refuse));
    let content = b"half".as_slice().chain(Cut);
    let error = tree.create(&Entry::file("a"), Role::Chosen, Some(Box::new(Plain(content))), &mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    let mut file = tree.create_file(Entry::file("b")).unwrap();
    file.write(b"half").unwrap();
    drop(file);
    assert_eq!(std_fs::read_dir(dir.path().join("granted")).unwrap().count(), 0);
}

#[test]
fn a_pipe_in_a_files_place_does_not_hang() {
    let Case { dir: _dir, tree } = case(Access::Write(Conflict::Refuse));
    create(&tree, &Entry { kind: EntryKind::Fifo, ..Entry::file("pipe") }, "").unwrap();
    assert!(read(&tree, "pipe").is_err());
}

#[test]
fn paths_are_found_in_the_innermost_grant() {
    let dir = tempfile::tempdir().unwrap();
    std_fs::create_dir_all(dir.path().join("a/b%")).unwrap();
    let open = |path: &Path| Directory::open(path, Access::Read).unwrap();
    let granted = [open(dir.path()), open(&dir.path().join("a"))];
    let wanted = dir.path().join("a/b%/c");
    let (directory, inside, entry) = locate(&granted, wanted.to_str().unwrap()).unwrap();
    assert_eq!(directory.shown(), dir.path().join("a").display().to_string());
    assert_eq!(inside, "b%25/c");
    assert!(entry.ends_with("/a/b%25/c") && !entry.starts_with('/'), "{entry}");
    assert_eq!(locate(&granted, "/etc").err().unwrap().kind(), Kind::NotGranted);
    for wrong in ["etc", "", "/a/../etc"] {
        assert_eq!(locate(&granted, wrong).err().unwrap().kind(), Kind::Invalid, "{wrong}");
    }
    let beside = format!("{}x", dir.path().join("a").display());
    assert_eq!(locate(&granted[1..], &beside).err().unwrap().kind(), Kind::NotGranted, "a name is not a prefix");
}
