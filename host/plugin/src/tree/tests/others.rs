//! Directories in which others may write: what they can do there meanwhile is done here between two calls.

use std::fs::{File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, chown};

use dozo_job::port::ReadContent;

use super::super::stage::Stage;
use super::super::target::MadeDirectories;
use super::*;

/// A content that is known without being read again.
struct Known(&'static [u8]);

impl Read for Known {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl ReadContent for Known {
    fn is_in(&mut self, mut there: &File) -> std::io::Result<bool> {
        let mut bytes = Vec::new();
        there.seek(SeekFrom::Start(0))?;
        there.read_to_end(&mut bytes)?;
        Ok(bytes == self.0)
    }
}

fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: {what} needs root");
    }
    is_root
}

fn set_mode(path: &Path, mode: u32) {
    std_fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn entry(path: &str, kind: EntryKind, mode: u32, owner: u32) -> Entry {
    let gid = rustix::process::getegid().as_raw();
    let posix = Posix { mode, uid: owner, gid, links: 1, ..Posix::default() };
    Entry { kind, posix: Some(posix), ..Entry::file(path) }
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn what_is_made_before_it_is_ready_is_made_where_nobody_else_may_enter() {
    let Case { dir, tree } = case(Access::Write(Conflict::Replace));
    for (mode, has_own) in [(0o755, false), (0o775, true), (0o757, true), (0o1777, true)] {
        set_mode(&dir.path().join("granted"), mode);
        let place = tree.parent_to_write("link").unwrap();
        let stage = Stage::beside(&place).unwrap();
        let (at, parent) = (fs::fstat(stage.directory()).unwrap(), fs::fstat(&*place.parent).unwrap());
        assert_eq!(links::identity(&at) != links::identity(&parent), has_own, "{mode:o}");
        assert!(!has_own || at.st_mode & 0o777 == 0o700, "{mode:o}");
        drop(stage);
        for kind in [EntryKind::Symlink("nowhere".into()), EntryKind::Fifo, EntryKind::Socket] {
            let wanted = entry("made", kind, 0o640, me());
            create(&tree, &wanted, "").unwrap();
            let made = tree.get("made").unwrap().unwrap().entry;
            assert_eq!(made.kind, wanted.kind, "{mode:o}");
            assert!(matches!(made.kind, EntryKind::Symlink(_)) || made.posix.unwrap().mode == 0o640, "{mode:o}");
        }
        assert_eq!(std_fs::read_dir(dir.path().join("granted")).unwrap().count(), 1, "nothing else is left");
    }
}

#[test]
fn a_directory_that_took_the_place_of_the_one_that_was_made_gets_nothing() {
    let Case { dir, tree } = case(Access::Write(Conflict::Replace));
    let at = |path: &str| dir.path().join("granted").join(path);
    let wanted = entry("d", EntryKind::Directory, 0o777, me());
    create(&tree, &wanted, "").unwrap();
    std_fs::rename(at("d"), at("away")).unwrap();
    std_fs::create_dir(at("d")).unwrap();
    set_mode(&at("d"), 0o700);
    let error = tree.set_metadata(&wanted).unwrap_err();
    assert!(error.to_string().contains("somebody put another directory in its place"), "{error}");
    assert_eq!(std_fs::metadata(at("d")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_file_that_is_right_is_written_anew_rather_than_given_more_rights() {
    for (is, wanted, names, is_kept) in [
        (0o644, 0o644, 1, true),
        (0o600, 0o644, 1, true),
        (0o4755, 0o4755, 1, true),
        // Others may have it open.
        (0o666, 0o644, 1, false),
        (0o664, 0o644, 1, false),
        (0o644, 0o4755, 1, false),
        (0o755, 0o2755, 1, false),
        // It has another name somewhere.
        (0o600, 0o644, 2, false),
    ] {
        let Case { dir, tree } = case(Access::Write(Conflict::Replace));
        let file = dir.path().join("granted/a");
        std_fs::write(&file, "text").unwrap();
        (1..names).for_each(|n| std_fs::hard_link(&file, dir.path().join(format!("name{n}"))).unwrap());
        set_mode(&file, is);
        let mut held = File::options().write(true).open(&file).unwrap();
        let before = std_fs::metadata(&file).unwrap().ino();
        let mut entry = entry("a", EntryKind::File, wanted, me());
        entry.posix.as_mut().unwrap().links = names;
        tree.create(&entry, Role::Chosen, Some(Box::new(Known(b"text"))), &mut [0; 16]).unwrap();
        let after = std_fs::metadata(&file).unwrap();
        assert_eq!(after.ino() == before, is_kept, "{is:o} {wanted:o} {names}");
        assert_eq!(after.mode() & 0o7777, wanted, "{is:o} {wanted:o} {names}");
        held.write_all(b"evil").unwrap();
        assert!(is_kept || std_fs::read(&file).unwrap() == b"text", "{is:o} {wanted:o} {names}");
    }
}

#[test]
fn a_file_of_another_user_is_never_made_roots_in_its_place() {
    if !is_root("files of other users") {
        return;
    }
    for (is, wanted, is_kept) in [(1234, 0, false), (1234, 1234, true), (1234, 5678, false), (0, 1234, true)] {
        let Case { dir, tree } = case(Access::Write(Conflict::Replace));
        let file = dir.path().join("granted/a");
        std_fs::write(&file, "text").unwrap();
        chown(&file, Some(is), None).unwrap();
        let before = std_fs::metadata(&file).unwrap().ino();
        let wanted = entry("a", EntryKind::File, 0o755, wanted);
        tree.create(&wanted, Role::Chosen, Some(Box::new(Known(b"text"))), &mut [0; 16]).unwrap();
        let after = std_fs::metadata(&file).unwrap();
        assert_eq!(after.ino() == before, is_kept, "{is} {wanted:?}");
        assert_eq!((after.uid(), after.mode() & 0o7777), (wanted.posix.unwrap().uid, 0o755));
        // The same of what has no content.
        create(&tree, &entry("pipe", EntryKind::Fifo, 0o600, is), "").unwrap();
        let before = std_fs::metadata(dir.path().join("granted/pipe")).unwrap().ino();
        let again = entry("pipe", EntryKind::Fifo, 0o600, after.uid());
        create(&tree, &again, "").unwrap();
        let after = std_fs::metadata(dir.path().join("granted/pipe")).unwrap();
        assert_eq!((after.ino() == before, after.uid()), (is_kept, again.posix.unwrap().uid), "{is}");
    }
}

#[test]
fn a_directory_of_roots_is_not_given_to_who_could_have_put_it_there() {
    if !is_root("directories of other users") {
        return;
    }
    for (home_owner, owner, mode, is_given) in
        [(0, 1234, 0o755, true), (1234, 1234, 0o755, false), (1234, 0, 0o755, false), (1234, 0, 0o700, true)]
    {
        let Case { dir, tree } = case(Access::Write(Conflict::Replace));
        let at = |path: &str| dir.path().join("granted").join(path);
        std_fs::create_dir_all(at("home/secret/deeper")).unwrap();
        for path in ["home/secret", "home/secret/deeper"] {
            set_mode(&at(path), 0o700);
        }
        chown(at("home"), Some(home_owner), None).unwrap();
        // Also below: the whole of it may have been moved there. As in a restore, what lies deeper is done first.
        let entries = ["home/secret", "home/secret/deeper"].map(|path| entry(path, EntryKind::Directory, mode, owner));
        entries.iter().for_each(|entry| _ = create(&tree, entry, "").unwrap());
        for entry in entries.iter().rev() {
            let path = entry.path.as_str();
            assert_eq!(tree.set_metadata(entry).is_ok(), is_given, "{home_owner} {owner} {mode:o} {path}");
            let now = std_fs::metadata(at(path)).unwrap();
            let expected = if is_given { (owner, mode) } else { (0, 0o700) };
            assert_eq!((now.uid(), now.mode() & 0o777), expected, "{home_owner} {owner} {mode:o} {path}");
        }
    }
}

#[test]
fn a_target_is_the_directory_that_was_looked_at_whatever_its_name_leads_to_later() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    std_fs::create_dir_all(at("etc/profile.d")).unwrap();
    let mut made = MadeDirectories::default();
    let target = Directory::reach(&at("a/back"), Conflict::Refuse, Some(&mut made)).unwrap().unwrap();
    assert!(!target.directory.holds_something().unwrap());
    std_fs::rename(at("a/back"), at("a/was")).unwrap();
    symlink("../etc", at("a/back")).unwrap();
    create(&target.directory, &Entry::file("profile.d/x.sh"), "evil").unwrap();
    assert_eq!(std_fs::read_dir(at("etc/profile.d")).unwrap().count(), 0);
    assert!(at("a/was/profile.d/x.sh").exists());
}

#[test]
fn a_target_is_made_or_not_and_what_is_empty_of_it_goes_again() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    assert!(Directory::reach(&at("a/b/c"), Conflict::Refuse, None).unwrap().is_none());
    assert!(!at("a").exists());
    symlink("gone", at("dangling")).unwrap();
    let mut made = MadeDirectories::default();
    assert!(Directory::reach(&at("dangling/x"), Conflict::Refuse, Some(&mut made)).is_err());
    assert!(!at("gone").exists(), "nothing is made where a link leads");
    std_fs::create_dir(at("real")).unwrap();
    symlink("real/../real", at("link")).unwrap();
    let reached = Directory::reach(&at("link/b/c"), Conflict::Refuse, Some(&mut made)).unwrap().unwrap();
    assert_eq!(reached.whole, at("real/b/c").canonicalize().unwrap());
    assert_eq!(std_fs::metadata(at("real/b")).unwrap().mode() & 0o7777, 0o755);
    drop(made);
    assert!(at("real").exists() && !at("real/b").exists());
}

#[test]
fn a_target_behind_a_link_that_others_may_have_put_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    std_fs::create_dir_all(at("etc/x")).unwrap();
    std_fs::create_dir(at("home")).unwrap();
    symlink("../etc", at("home/back")).unwrap();
    let reach = |path: &str| {
        let reached = Directory::reach(&at(path), Conflict::Replace, Some(&mut MadeDirectories::default()));
        reached.map(|reached| reached.unwrap().whole).map_err(|error| error.kind())
    };
    for path in ["home/back", "home/back/x"] {
        set_mode(&at("home"), 0o755);
        assert!(reach(path).is_ok(), "{path}");
        set_mode(&at("home"), 0o777);
        assert_eq!(reach(path), Err(Kind::NotGranted), "{path}");
    }
    if is_root("links of other users") {
        set_mode(&at("home"), 0o755);
        std::os::unix::fs::lchown(at("home/back"), Some(1234), None).unwrap();
        assert_eq!(reach("home/back"), Err(Kind::NotGranted));
    }
}
