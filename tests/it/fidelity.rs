//! Everything that a file system knows of its files goes into a snapshot and comes back.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, llistxattr, lsetxattr, makedev, mknodat};

use crate::filesystem::restored;
use crate::house::{House, is_root, said};

/// An ACL as the kernel keeps it (acl(5), `posix_acl_xattr.h`): a version, then tag, permissions and id of each entry.
fn acl(named_user: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries = [(1u16, 7u16, NOBODY), (2, named_user, 1000), (4, 5, NOBODY), (16, 7, NOBODY), (32, 4, NOBODY)];
    let lines = entries.iter().flat_map(|(tag, permissions, id)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    });
    2u32.to_le_bytes().into_iter().chain(lines).collect()
}

fn set(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap_or_else(|e| panic!("{name} of {}: {e}", path.display()));
}

/// A file whose bytes lie at these offsets, with holes between and behind.
fn sparse(path: &Path, pieces: &[u64], piece: usize, length: u64) {
    let mut file = File::create(path).unwrap();
    for offset in pieces {
        file.seek(SeekFrom::Start(*offset)).unwrap();
        file.write_all(&vec![b'x'; piece]).unwrap();
    }
    file.set_len(length).unwrap();
}

/// Every kind of thing that a user may have.
fn plant(root: &Path) {
    for directory in ["plain", "dir/empty", "dir/sticky", "dir/closed", "dir/acl", "links/far/away", "names"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let plain = root.join("plain");
    fs::write(plain.join("small"), "small").unwrap();
    fs::write(plain.join("zeros"), vec![0; 6 << 20]).unwrap();
    sparse(&plain.join("only-a-hole"), &[], 0, 64 << 20);
    sparse(&plain.join("hole-behind"), &[0], 1 << 20, 40 << 20);
    sparse(&plain.join("hole-before"), &[30 << 20], 100, (30 << 20) + 100);
    sparse(&plain.join("many-holes"), &(0..30).map(|n| n * (3 << 20)).collect::<Vec<_>>(), 5_000, 90 << 20);
    sparse(&plain.join("small-holes"), &(0..200).map(|n| n * 16_384).collect::<Vec<_>>(), 4_096, 200 * 16_384);
    mknodat(CWD, plain.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    mknodat(CWD, plain.join("socket"), FileType::Socket, Mode::from_raw_mode(0o700), 0).unwrap();
    symlink(OsStr::from_bytes(b"../no\xff where/./x"), plain.join("link")).unwrap();

    set(&plain.join("small"), "user.text", b"value");
    set(&plain.join("small"), "user.bytes", &(0..=255).cycle().take(2_000).collect::<Vec<u8>>());
    set(&root.join("dir/empty"), "user.of-a-directory", b"");
    fs::write(plain.join("acl"), "listed").unwrap();
    set(&plain.join("acl"), "system.posix_acl_access", &acl(6));
    set(&root.join("dir/acl"), "system.posix_acl_default", &acl(7));
    fs::write(root.join("dir/acl/inherits"), "").unwrap();

    for name in ["pipe", "link"] {
        let (one, other) = (plain.join(name), root.join("links").join(name));
        rustix::fs::linkat(CWD, one, CWD, other, rustix::fs::AtFlags::empty()).unwrap();
    }
    fs::write(root.join("links/one"), "one file, three names").unwrap();
    for name in ["links/far/away/two", "three"] {
        fs::hard_link(root.join("links/one"), root.join(name)).unwrap();
    }
    let names: [&[u8]; 9] =
        [b"100%.txt", b"%41", b"new\nline", b"\xff\xfe", b"\t", b" ", b"...", b"*?[]{}\\\"'", &[b'n'; 255]];
    for name in names {
        fs::write(root.join("names").join(OsStr::from_bytes(name)), name).unwrap();
    }
    // About 4,000 bytes of path, below the directory of the test.
    let deep = (0..16).fold(root.join("deep"), |path, n| path.join(format!("{n:02}{}", "d".repeat(228))));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("leaf"), "deep").unwrap();

    fs::set_permissions(root.join("dir/sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(root.join("dir/closed/inside"), "").unwrap();
    fs::set_permissions(root.join("dir/closed"), fs::Permissions::from_mode(0o555)).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::new(12_345_678, 900_000_001);
    for path in ["plain/small", "dir/empty", "dir/closed"] {
        File::open(root.join(path)).unwrap().set_modified(long_ago).unwrap();
    }
}

/// What only root may have.
fn plant_as_root(root: &Path) {
    use std::os::unix::fs::{chown, lchown};
    let plain = root.join("plain");
    let node = |name: &str, kind, device| mknodat(CWD, plain.join(name), kind, Mode::from_raw_mode(0o600), device);
    node("null", FileType::CharacterDevice, makedev(1, 3)).unwrap();
    node("loop", FileType::BlockDevice, makedev(7, 200)).unwrap();
    // Several names of each: the pipe and the link are not root's alone.
    for (name, other) in [("null", "links/null"), ("loop", "a-loop"), ("socket", "links/socket")] {
        rustix::fs::linkat(CWD, plain.join(name), CWD, root.join(other), rustix::fs::AtFlags::empty()).unwrap();
    }
    lchown(plain.join("link"), Some(1234), Some(5678)).unwrap();
    fs::write(plain.join("set-user-id"), "").unwrap();
    chown(plain.join("set-user-id"), Some(33), Some(33)).unwrap();
    fs::set_permissions(plain.join("set-user-id"), fs::Permissions::from_mode(0o6755)).unwrap();
    set(&plain.join("link"), "trusted.of-a-link", b"1");
    // cap_net_raw=ep, as the kernel keeps it (capability.h, VFS_CAP_REVISION_2).
    let capability: Vec<u8> = [0x0200_0001u32, 1 << 13, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(plain.join("capable"), "").unwrap();
    set(&plain.join("capable"), "security.capability", &capability);
}

/// Everything that is known of a tree, by path.
fn describe(root: &Path) -> BTreeMap<OsString, String> {
    let (mut all, mut todo, mut names) = (BTreeMap::new(), vec![root.to_path_buf()], BTreeMap::new());
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let short = path.strip_prefix(root).unwrap().as_os_str().to_os_string();
        let content = if meta.is_file() {
            let holes = if meta.blocks() * 512 < meta.len() { "with holes" } else { "" };
            format!("{:?} {holes}", blake(&fs::read(&path).unwrap()))
        } else if meta.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            format!("{:o} {}", meta.mode() & 0o170_000, meta.rdev())
        };
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
        }
        let first: &mut OsString = names.entry((meta.dev(), meta.ino())).or_insert_with(|| short.clone());
        let links = if meta.is_dir() { 1 } else { meta.nlink() };
        // Which name is met first does not matter.
        *first = first.clone().min(short.clone());
        let (mode, time) = (meta.mode() & 0o7777, (meta.mtime(), meta.mtime_nsec()));
        let (uid, gid, xattrs) = (meta.uid(), meta.gid(), xattrs(&path));
        all.insert(short, (format!("{mode:o} {uid}:{gid} {time:?} {xattrs:?} {content}"), links, meta.ino()));
    }
    let inodes: BTreeMap<u64, Vec<OsString>> =
        all.iter().fold(BTreeMap::new(), |mut map, (path, (_, links, inode))| {
            if *links > 1 {
                map.entry(*inode).or_insert_with(Vec::new).push(path.clone());
            }
            map
        });
    let line = |(text, _, inode): (String, u64, u64)| format!("{text} {:?}", inodes.get(&inode));
    all.into_iter().map(|(path, found)| (path, line(found))).collect()
}

fn blake(bytes: &[u8]) -> (usize, u64) {
    (bytes.len(), bytes.iter().fold(7u64, |sum, byte| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)))
}

fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = [0; 4_096];
    let length = llistxattr(path, &mut names).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = [0; 4_096];
        let length = lgetxattr(path, name, &mut value).unwrap();
        (OsString::from_vec(name.to_vec()), value[..length].to_vec())
    };
    names.map(value).collect()
}

/// A house with a tree of every kind, backed up once.
fn house() -> (House, PathBuf) {
    let house = House::new();
    let tree = house.path("tree");
    plant(&tree);
    if is_root("devices, other owners, capabilities") {
        plant_as_root(&tree);
    }
    house.configure_files("files", "tree");
    (house, tree)
}

#[test]
fn every_kind_of_file_comes_back_with_all_that_is_known_of_it() {
    let (house, tree) = house();
    let run = house.dozo(&["run", "--json"]).expect(0).json();
    // Of 233 MiB, about 11 of which are no hole.
    assert!(run["bytes_read"].as_u64().unwrap() < 30 << 20, "holes are not read: {run}");
    house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(describe(&restored(&house, "out", "tree")), describe(&tree));
    // A link alone is a file.
    let link = format!("{}/three", tree.display());
    house.restore("files", "alone", &[&link]).expect(0);
    assert_eq!(fs::read_to_string(restored(&house, "alone", "tree").join("three")).unwrap(), "one file, three names");
}

#[test]
fn a_restore_over_what_is_there_writes_only_what_differs() {
    let (house, tree) = house();
    fs::write(tree.join("large"), (0..9_000_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    house.dozo(&["run"]).expect(0);
    house.restore("files", "out", &[]).expect(0);
    let out = restored(&house, "out", "tree");
    let before = describe(&out);
    let inode = |path: &str| fs::symlink_metadata(out.join(path)).unwrap().ino();
    let (small, zeros) = (inode("plain/small"), inode("plain/zeros"));

    let mut large = File::options().write(true).open(out.join("large")).unwrap();
    large.seek(SeekFrom::Start(20_000_000)).unwrap();
    large.write_all(b"other").unwrap();
    fs::write(out.join("three"), "the three of them are others now").unwrap();
    fs::remove_file(out.join("links/far/away/two")).unwrap();
    set(&out.join("plain/small"), "user.more", b"than there was");
    fs::set_permissions(out.join("plain/zeros"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_dir_all(out.join("names")).unwrap();
    house.restore("files", "out", &["--conflict", "replace"]).expect(0);
    assert_eq!(describe(&out), before);
    assert_eq!((inode("plain/small"), inode("plain/zeros")), (small, zeros), "what was right was not written");
}

#[test]
fn a_file_that_never_rests_is_read_again_and_told_of() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    for name in ["a", "b"] {
        fs::write(house.path("tree").join(name), vec![b'x'; 3 << 20]).unwrap();
    }
    house.configure_files("files", "tree");
    let (stop, restless) = (Arc::new(AtomicBool::new(false)), house.path("tree/b"));
    let writer = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut file = File::options().append(true).open(restless).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
            }
        }
    });
    // On a machine that has other things to do the writer may rest while its file is read.
    let notes = (0..20).map(|_| house.dozo(&["run", "--json"]).expect(0).json()["notes"].to_string());
    let notes = notes.into_iter().find(|notes| notes.contains("written to while they were read"));
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    let notes = notes.expect("no run met the writer");
    assert!(notes.contains("tree/b"), "{notes}");
    assert!(!notes.contains("tree/a"), "{notes}");
    // What was torn is read again, what rested is not.
    std::thread::sleep(std::time::Duration::from_millis(3_100));
    house.dozo(&["run"]).expect(0);
    let run = house.dozo(&["run", "--json"]).expect(0).json();
    assert_eq!(run["entries_kept"], 2, "{run}");
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(describe(&restored(&house, "out", "tree")), describe(&house.path("tree")));
}

#[test]
fn a_file_that_was_left_unread_lends_its_content_to_no_other_name() {
    let house = House::new();
    let (tree, out) = (house.path("tree"), restored(&house, "out", "tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "right").unwrap();
    fs::hard_link(tree.join("a"), tree.join("b")).unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    // Of the kind, length and time that the snapshot has; the bytes are others.
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("a"), "wrong").unwrap();
    let time = fs::metadata(tree.join("a")).unwrap().modified().unwrap();
    File::open(out.join("a")).unwrap().set_modified(time).unwrap();
    house.restore("files", "out", &["--conflict", "skip"]).expect(0);
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "wrong");
    assert_eq!(fs::read_to_string(out.join("b")).unwrap(), "right");
}

/// Waits until a process has a file open; then stops it, so that there is time.
fn stop_while_reading(process: &std::process::Child, file: &Path) {
    let (pid, open) = (rustix::process::Pid::from_child(process), format!("/proc/{}/fd", process.id()));
    let is_read = || {
        let mut open = fs::read_dir(&open).unwrap().flatten();
        open.any(|fd| fs::read_link(fd.path()).is_ok_and(|path| path == file))
    };
    let begun = std::time::Instant::now();
    while !is_read() {
        assert!(begun.elapsed().as_secs() < 60, "{} was not read, or in no time", file.display());
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
}

/// A limit that ends a job says what it was at, for whoever looks for the file that does not end.
#[test]
fn a_limit_of_time_names_the_file_that_was_read() {
    let house = House::new();
    let tree = house.path("tree");
    fs::create_dir(&tree).unwrap();
    let large: Vec<u8> = (0..12_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(tree.join("large"), large).unwrap();
    house.configure_files("files", "tree");
    house.configure("limits = { wall = \"2s\" }");
    let mut command = house.command();
    let child = command.arg("run").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    stop_while_reading(&child, &tree.join("large"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::CONT).unwrap();
    let said = said(child.wait_with_output().unwrap()).expect(1);
    let words = format!("its limit of 2 s, while {} was read", tree.join("large").display());
    assert!(said.err.contains(&words), "{}", said.err);
    assert_eq!(house.snapshots(), 0);
}

#[test]
fn names_of_a_file_that_is_replaced_while_it_is_read_keep_what_they_are_names_of() {
    let house = House::new();
    let tree = house.path("tree");
    fs::create_dir(&tree).unwrap();
    // So much that reading it takes long enough to be seen at it.
    let large: Vec<u8> = (0..12_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(tree.join("a"), large).unwrap();
    fs::hard_link(tree.join("a"), tree.join("b")).unwrap();
    fs::write(house.path("new"), "another file").unwrap();
    house.configure_files("files", "tree");
    let mut command = house.command();
    let child = command.args(["run", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    stop_while_reading(&child, &tree.join("a"));
    fs::rename(house.path("new"), tree.join("a")).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::CONT).unwrap();
    said(child.wait_with_output().unwrap()).expect(0);
    house.restore("files", "out", &[]).expect(0);
    let out = restored(&house, "out", "tree");
    for name in ["a", "b"] {
        assert!(fs::read(out.join(name)).unwrap() == fs::read(tree.join(name)).unwrap(), "{name} is another file");
    }
    assert_eq!(fs::metadata(out.join("b")).unwrap().nlink(), 1);
}
