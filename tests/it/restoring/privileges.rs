//! Whoever may not do everything: other users, dropped capabilities, user namespaces, no `/proc`, file systems that cannot hold
//! what was there. What cannot be set is a note, and what is right is left alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, lsetxattr, makedev, mknodat};

use super::{in_place, mode, planted, says, shown};
use crate::filesystem::{as_nobody, give_to_nobody};
use crate::house::{House, Said, is_root, said};

/// cap_net_raw=ep, as the kernel keeps it (capability.h, VFS_CAP_REVISION_2).
fn capability() -> Vec<u8> {
    [0x0200_0001u32, 1 << 13, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn has_capability(path: &Path) -> bool {
    let mut value = [0; 64];
    lgetxattr(path, "security.capability", &mut value).is_ok_and(|length| value[..length] == capability())
}

/// What only root may have.
fn plant(src: &Path) {
    for name in ["capable", "theirs", "set-id", "plain"] {
        fs::write(src.join(name), name).unwrap();
    }
    lsetxattr(src.join("capable"), "security.capability", &capability(), XattrFlags::empty()).unwrap();
    chown(src.join("theirs"), Some(1234), Some(5678)).unwrap();
    fs::set_permissions(src.join("theirs"), fs::Permissions::from_mode(0o640)).unwrap();
    chown(src.join("set-id"), Some(33), Some(33)).unwrap();
    fs::set_permissions(src.join("set-id"), fs::Permissions::from_mode(0o6755)).unwrap();
    mknodat(CWD, src.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3)).unwrap();
    mknodat(CWD, src.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    symlink("plain", src.join("link")).unwrap();
    fs::create_dir(src.join("closed")).unwrap();
    fs::write(src.join("closed/inside"), "inside").unwrap();
    fs::set_permissions(src.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
}

/// Everything that is known of the planted tree.
fn describe(src: &Path) -> Vec<String> {
    let names = ["", "capable", "theirs", "set-id", "plain", "null", "pipe", "link", "closed", "closed/inside"];
    let line = |name: &&str| {
        let meta = fs::symlink_metadata(src.join(name)).unwrap();
        let (owner, time) = ((meta.uid(), meta.gid()), (meta.mtime(), meta.mtime_nsec()));
        format!("{name} {:o} {owner:?} {time:?} {} {}", meta.mode(), meta.rdev(), has_capability(&src.join(name)))
    };
    names.iter().map(line).collect()
}

/// Runs dozo in the house through another program.
fn through(house: &House, program: &[&str], arguments: &[&str]) -> Said {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(crate::house::binary()).args(arguments).current_dir(house.path("."));
    command.env("XDG_CACHE_HOME", crate::house::cache()).env("XDG_STATE_HOME", house.path("state")).env("TZ", "UTC");
    said(command.output().unwrap())
}

const IN_PLACE: [&str; 8] = ["restore", "f", "--to", "/", "--conflict", "replace", "--identity", "owner.key"];

#[test]
fn without_each_capability_what_is_right_stays_right() {
    if !is_root("dropping capabilities") {
        return;
    }
    let (house, src) = planted(plant);
    let before = describe(&src);
    for capability in CAPABILITIES {
        let drop = format!("--bounding-set=-{capability}");
        let said = through(&house, &["setpriv", &drop, "--inh-caps=-all"], &IN_PLACE);
        assert_eq!(describe(&src), before, "without {capability}: {}", said.err);
        assert_eq!(said.code, 0, "without {capability}: {}", said.err);
        assert!(!said.err.contains("not restored"), "without {capability}: {}", said.err);
    }
}

const CAPABILITIES: [&str; 8] =
    ["chown", "dac_override", "dac_read_search", "fowner", "fsetid", "setfcap", "mknod", "sys_admin"];

#[test]
fn without_each_capability_what_cannot_be_set_is_noted() {
    if !is_root("dropping capabilities") {
        return;
    }
    let (house, src) = planted(plant);
    for (n, capability) in CAPABILITIES.iter().enumerate() {
        let drop = format!("--bounding-set=-{capability}");
        let to = shown(&house.path(format!("out{n}")));
        let arguments = ["restore", "f", "--to", &to, "--identity", "owner.key"];
        let said = through(&house, &["setpriv", &drop, "--inh-caps=-all"], &arguments).expect(0);
        let out = Path::new(&to).join(shown(&src).trim_start_matches('/'));
        for name in ["capable", "theirs", "set-id", "plain", "closed/inside"] {
            let content = fs::read_to_string(out.join(name)).unwrap();
            assert!(name.ends_with(&content), "without {capability}: {name}");
        }
        let (is, was) = (describe_there(&out), describe_there(&src));
        let differs = is.iter().zip(&was).any(|(is, was)| is != was);
        assert_eq!(differs, said.err.contains("  note: "), "without {capability}: {}\n{is:?}\n{was:?}", said.err);
    }
}

/// The same, of a tree in which a device may be missing.
fn describe_there(src: &Path) -> Vec<String> {
    if src.join("null").exists() {
        return describe(src);
    }
    vec!["without the device".into()]
}

#[test]
fn in_a_user_namespace_what_cannot_be_set_is_noted() {
    if !is_root("another owner's files") {
        return;
    }
    let (house, src) = planted(plant);
    let to = shown(&house.path("out"));
    let arguments = ["restore", "f", "--to", &to, "--identity", "owner.key"];
    let said = through(&house, &["unshare", "--user", "--map-root-user"], &arguments);
    if said.err.contains("unshare failed") {
        eprintln!("SKIPPED: no user namespaces here");
        return;
    }
    let said = said.expect(0);
    says(&said, &["this user namespace does not have them", "devices were not created"]);
    let out = Path::new(&to).join(shown(&src).trim_start_matches('/'));
    assert_eq!(fs::read_to_string(out.join("theirs")).unwrap(), "theirs");
    let mapped = through(&house, &["unshare", "--user", "--map-root-user"], &IN_PLACE);
    assert_eq!(mapped.code, 0, "{}", mapped.err);
    assert!(has_capability(&src.join("capable")), "{}", mapped.err);
}

#[test]
fn without_proc_nothing_is_lost_without_a_word() {
    if !is_root("hiding /proc") {
        return;
    }
    let (house, src) = planted(plant);
    let hidden = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\""];
    let run = through(&house, &hidden, &["run", "--full"]).expect(0);
    says(&run, &["extended attributes could not be read, because `/proc` is not mounted"]);
    let before = describe(&src);
    through(&house, &hidden, &IN_PLACE).expect(0);
    assert_eq!(describe(&src), before);
    let to = shown(&house.path("out"));
    let arguments = ["restore", "f", "--to", &to, "--identity", "owner.key"];
    let said = through(&house, &hidden, &arguments).expect(0);
    says(&said, &["modes of pipes, sockets and devices were not set, because `/proc` is not mounted"]);
    let out = Path::new(&to).join(shown(&src).trim_start_matches('/'));
    assert!(has_capability(&out.join("capable")), "files are reached without it");
    assert_eq!(fs::read_to_string(out.join("closed/inside")).unwrap(), "inside");
}

#[test]
fn an_owner_goes_on_over_his_own_closed_directories() {
    if !is_root("restoring as another user") {
        return;
    }
    let (house, src) = planted(|src| {
        fs::create_dir_all(src.join("closed/deeper")).unwrap();
        fs::write(src.join("closed/a"), "a").unwrap();
        fs::write(src.join("closed/deeper/b"), "b").unwrap();
        for path in ["closed/deeper", "closed"] {
            fs::set_permissions(src.join(path), fs::Permissions::from_mode(0o555)).unwrap();
        }
    });
    give_to_nobody(&house);
    for (path, conflict) in [("closed/a", "replace"), ("closed/deeper/b", "skip"), ("closed/deeper/b", "replace")] {
        fs::remove_file(src.join(path)).unwrap();
        let to = ["restore", "f", "--to", "/", "--identity", "owner.key", "--conflict", conflict];
        let said = as_nobody(&house, &to).expect(0);
        assert!(!said.err.contains("not restored"), "{}", said.err);
        assert_eq!(fs::read_to_string(src.join(path)).unwrap().len(), 1);
        assert_eq!(["closed", "closed/deeper"].map(|path| mode(&src.join(path))), [0o555; 2], "{conflict}");
    }
    // Chosen alone, what is above is opened for a moment too.
    fs::remove_file(src.join("closed/deeper/b")).unwrap();
    let one = shown(&src.join("closed/deeper/b"));
    as_nobody(&house, &["restore", "f", &one, "--to", "/", "--identity", "owner.key", "--conflict", "replace"])
        .expect(0);
    assert_eq!(["closed", "closed/deeper"].map(|path| mode(&src.join(path))), [0o555; 2]);
}

/// What is to be deleted lies in closed directories, and in some that are closed themselves.
#[test]
fn an_owner_deletes_from_his_own_closed_directories() {
    if !is_root("restoring as another user") {
        return;
    }
    let closed = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (house, src) = planted(|src| {
        fs::create_dir_all(src.join("closed/deeper")).unwrap();
        fs::write(src.join("closed/a"), "a").unwrap();
        fs::write(src.join("closed/deeper/b"), "b").unwrap();
        closed(&src.join("closed/deeper"), 0o500);
        closed(&src.join("closed"), 0o555);
    });
    let describe = || crate::filesystem::describe(&src);
    give_to_nobody(&house);
    let before = describe();
    closed(&src.join("closed"), 0o755);
    closed(&src.join("closed/deeper"), 0o755);
    fs::write(src.join("closed/extra"), "").unwrap();
    fs::create_dir_all(src.join("closed/deeper/more/below")).unwrap();
    fs::write(src.join("closed/deeper/more/below/file"), "").unwrap();
    give_to_nobody(&house);
    for (path, mode) in [
        ("closed/deeper/more/below", 0o000),
        ("closed/deeper/more", 0o555),
        ("closed/deeper", 0o500),
        ("closed", 0o555),
    ] {
        closed(&src.join(path), mode);
    }
    let delete = [&IN_PLACE[..], &["--delete"]].concat();
    let plan = as_nobody(&house, &delete).expect(0);
    assert!(plan.out.contains("2 to delete") && src.join("closed/extra").exists(), "{}", plan.out);
    let said = as_nobody(&house, &[&delete[..], &["--yes"]].concat()).expect(0);
    assert!(said.out.contains("2 entries deleted") && !said.err.contains("could not be made again"), "{}", said.err);
    assert_eq!(describe(), before);
    // The directory itself into which a content goes, and goes again.
    let content = format!("f:{}", shown(&src.join("closed")));
    let to = shown(&house.path("content"));
    let restore = ["restore", &content, "--to", &to, "--identity", "owner.key"];
    as_nobody(&house, &restore).expect(0);
    for conflict in ["skip", "replace"] {
        closed(&house.path("content"), 0o755);
        fs::remove_file(house.path("content/a")).unwrap();
        closed(&house.path("content"), 0o555);
        as_nobody(&house, &[&restore[..], &["--conflict", conflict]].concat()).expect(0);
        assert_eq!(crate::filesystem::describe(&house.path("content"))[1..], contents_of(&before, "closed"));
        assert_eq!(mode(&house.path("content")), 0o555, "{conflict}");
    }
}

/// The lines about what lies in a directory, as they are of that directory alone.
fn contents_of(lines: &[String], directory: &str) -> Vec<String> {
    let inside = format!("\"{directory}/");
    lines.iter().filter(|line| line.starts_with(&inside)).map(|line| line.replacen(&inside, "\"", 1)).collect()
}

#[test]
fn owners_come_back_by_name_or_by_number() {
    if !is_root("other owners") {
        return;
    }
    let (house, src) = planted(|src| {
        fs::write(src.join("f"), "").unwrap();
        chown(src.join("f"), Some(1), Some(1)).unwrap();
    });
    // The same names with other numbers, as another machine has them.
    for file in ["passwd", "group"] {
        let there = fs::read_to_string(format!("/etc/{file}")).unwrap();
        let here = there.lines().map(|line| match line.starts_with("daemon:") {
            true => line.replace(":1:", ":4321:"),
            false => line.to_string(),
        });
        fs::write(house.path(file), here.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    }
    let elsewhere = "mount --bind passwd /etc/passwd && mount --bind group /etc/group && exec \"$0\" \"$@\"";
    let elsewhere = ["unshare", "-m", "sh", "-c", elsewhere];
    let owner = |out: &str| {
        let meta = fs::metadata(house.path(out).join(shown(&src).trim_start_matches('/')).join("f")).unwrap();
        (meta.uid(), meta.gid())
    };
    let restore = |out: &str, more: &[&str]| {
        let to = shown(&house.path(out));
        let arguments = [&["restore", "f", "--to", &to, "--identity", "owner.key"], more].concat();
        through(&house, &elsewhere, &arguments).expect(0)
    };
    says(&restore("by-name", &[]), &["owners have other numbers on this machine: they were set by name"]);
    restore("by-number", &["--numeric-ids"]);
    assert_eq!([owner("by-name"), owner("by-number")], [(4321, 4321), (1, 1)]);
}

#[test]
fn a_time_that_a_file_system_cannot_hold_is_noted() {
    let (house, src) = planted(|src| fs::write(src.join("later"), "").unwrap());
    let later = std::time::UNIX_EPOCH + std::time::Duration::new(60_000_000_000, 0);
    // A file system in memory holds it; what is below the house may.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(memory.path().join("far"), "").unwrap();
    fs::File::open(memory.path().join("far")).unwrap().set_modified(later).unwrap();
    let path = shown(memory.path());
    house.configure(&format!(
        "[job.far]\nplugin = \"filesystem\"\nconfig = {{ paths = [{path:?}] }}\ngrant = {{ read = [{path:?}] }}"
    ));
    house.dozo(&["run", "far"]).expect(0);
    let said = house.restore("far", "out", &[]).expect(0);
    let back = house.path("out").join(path.trim_start_matches('/')).join("far");
    let is_there = fs::metadata(back).unwrap().modified().unwrap() == later;
    assert_eq!(!is_there, said.err.contains("times that this file system cannot hold"), "{}", said.err);
    // And the other way: what holds it gets it.
    let out = tempfile::tempdir_in("/dev/shm").unwrap();
    let said = house.restore("far", &shown(out.path()), &[]).expect(0);
    assert!(!said.err.contains("cannot hold"), "{}", said.err);
    drop(in_place(&house, &[]).expect(0));
    assert!(src.exists());
}
