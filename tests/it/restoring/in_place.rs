//! What stands in the way: symlinks, directories, files of others, mounts.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::process::Command;

use super::{in_place, mode, planted, says, shown};
use crate::house::{House, is_root, said};

#[test]
fn a_directory_takes_the_place_of_a_symlink_and_that_is_said() {
    let (house, src) = planted(|src| {
        fs::create_dir(src.join("d")).unwrap();
        fs::write(src.join("d/f"), "x").unwrap();
    });
    let away = house.path("big");
    fs::create_dir(&away).unwrap();
    fs::rename(src.join("d"), away.join("d")).unwrap();
    symlink("../big/d", src.join("d")).unwrap();
    fs::write(away.join("d/f"), "changed since").unwrap();

    // Left: the link, and with it all that the snapshot has below.
    let left = house.restore("f", "/", &["--conflict", "skip"]).expect(3);
    says(&left, &["left as found", "not restored, because something else is in the place of a directory above"]);
    assert!(src.join("d").is_symlink() && fs::read_to_string(away.join("d/f")).unwrap() == "changed since");

    let replaced = in_place(&house, &[]).expect(0);
    says(&replaced, &["symlinks were replaced by the directories that the snapshot has", &shown(&src.join("d"))[1..]]);
    assert!(!src.join("d").is_symlink());
    assert_eq!(fs::read_to_string(src.join("d/f")).unwrap(), "x");
    assert_eq!(fs::read_to_string(away.join("d/f")).unwrap(), "changed since", "what it led to is left alone");
}

#[test]
fn a_job_path_through_a_symlink_is_restored_in_place() {
    let house = House::new();
    fs::create_dir_all(house.path("big/app/sub")).unwrap();
    fs::write(house.path("big/app/f"), "x").unwrap();
    for (link, target) in [("live", shown(&house.path("big"))), ("up", "live/../big".into())] {
        symlink(target, house.path(link)).unwrap();
    }
    house.configure_files("f", "live/app");
    house.configure_files("g", "up/app");
    house.dozo(&["run"]).expect(0);
    for job in ["f", "g"] {
        fs::remove_dir_all(house.path("big/app")).unwrap();
        house.restore(job, "/", &["--conflict", "replace"]).expect(0);
        assert_eq!(fs::read_to_string(house.path("big/app/f")).unwrap(), "x", "{job}");
        assert!(house.path("live").is_symlink() && house.path("big/app/sub").is_dir(), "{job}");
    }
    // One that another user made could lead anywhere.
    if !is_root("a symlink of another user") {
        return;
    }
    lchown(house.path("live"), Some(1234), None).unwrap();
    fs::remove_file(house.path("big/app/f")).unwrap();
    let refused = house.restore("f", "/", &["--conflict", "replace"]).expect(3);
    says(&refused, &["a symlink of the user 1234 is in the way", "not restored: "]);
    assert!(!house.path("big/app/f").exists());
}

#[test]
fn a_link_that_leads_out_of_the_target_is_not_followed() {
    let (house, src) = planted(|src| fs::write(src.join("f"), "x").unwrap());
    fs::create_dir(house.path("outside")).unwrap();
    let above = house.path("out").join(shown(src.parent().unwrap()).trim_start_matches('/'));
    fs::create_dir_all(above.parent().unwrap()).unwrap();
    symlink(house.path("outside"), &above).unwrap();
    let refused = house.restore("f", "out", &["--conflict", "replace"]).expect(3);
    says(&refused, &["leads out of the granted directory"]);
    assert_eq!(fs::read_dir(house.path("outside")).unwrap().count(), 0);
}

#[test]
fn a_file_alone_comes_back_where_a_link_leads_now() {
    let (house, src) = planted(|src| {
        fs::create_dir(src.join("d")).unwrap();
        fs::write(src.join("d/f"), "x").unwrap();
    });
    fs::rename(src.join("d"), house.path("elsewhere")).unwrap();
    symlink("../elsewhere", src.join("d")).unwrap();
    fs::remove_file(house.path("elsewhere/f")).unwrap();
    let said = in_place(&house, &[&shown(&src.join("d/f"))]).expect(0);
    says(&said, &["symlinks stand where the snapshot has directories, and were followed"]);
    assert!(src.join("d").is_symlink());
    assert_eq!(fs::read_to_string(house.path("elsewhere/f")).unwrap(), "x");
}

#[test]
fn directories_on_the_way_come_back_as_they_were() {
    let (house, src) = planted(|src| {
        fs::create_dir_all(src.join("p/q/r")).unwrap();
        fs::write(src.join("p/q/r/token"), "secret").unwrap();
        fs::write(src.join("p/other"), "").unwrap();
        for (path, mode) in [("p/q/r", 0o500), ("p/q", 0o750), ("p", 0o700)] {
            fs::set_permissions(src.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
    });
    let time = |path: &str| fs::metadata(src.join(path)).unwrap().modified().unwrap();
    let times = ["p", "p/q", "p/q/r"].map(time);
    let token = shown(&src.join("p/q/r/token"));
    let wipe = || {
        fs::set_permissions(src.join("p/q/r"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir_all(src.join("p")).unwrap();
    };
    wipe();
    in_place(&house, &[&token]).expect(0);
    let modes = ["p", "p/q", "p/q/r"].map(|path| mode(&src.join(path)));
    assert_eq!(modes, [0o700, 0o750, 0o500]);
    assert_eq!(["p", "p/q", "p/q/r"].map(time), times);
    assert!(!src.join("p/other").exists(), "it was not chosen");

    // By a pattern, and through another directory's place.
    wipe();
    in_place(&house, &[&shown(&src.join("p/*/r"))]).expect(0);
    assert_eq!([mode(&src.join("p")), mode(&src.join("p/q"))], [0o700, 0o750]);

    // What is there is left as it is.
    fs::remove_dir_all(src.join("p/q")).unwrap();
    fs::set_permissions(src.join("p"), fs::Permissions::from_mode(0o711)).unwrap();
    in_place(&house, &[&token]).expect(0);
    assert_eq!([mode(&src.join("p")), mode(&src.join("p/q"))], [0o711, 0o750]);

    let out = house.path("out").join(shown(&src).trim_start_matches('/'));
    house.restore("f", "out", &[&token]).expect(0);
    assert_eq!(mode(&out.join("p")), 0o700, "also elsewhere");
}

#[test]
fn a_mount_in_the_way_is_named() {
    if !is_root("mounting") {
        return;
    }
    let (house, src) = planted(|src| {
        fs::write(src.join("a"), "a").unwrap();
        fs::write(src.join("b"), "b").unwrap();
        fs::create_dir(src.join("c")).unwrap();
        fs::write(src.join("c/inside"), "c").unwrap();
    });
    for file in ["a", "b"] {
        fs::remove_file(src.join(file)).unwrap();
    }
    fs::create_dir(src.join("a")).unwrap();
    let script = "mount -t tmpfs none src/a && mount -t tmpfs none src/c && \
                  \"$0\" restore f --to / --conflict replace --identity owner.key; code=$?; cat src/c/inside; exit $code";
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script]).arg(crate::house::binary()).current_dir(house.path("."));
    shell.env("XDG_CACHE_HOME", crate::house::cache()).env("XDG_STATE_HOME", house.path("state"));
    let said = said(shell.output().unwrap()).expect(3);
    says(&said, &["not restored: 1 entry", "src/a: ", "a file system is mounted there", "unmount it"]);
    assert!(said.out.ends_with('c'), "what is mounted in a directory's place is restored into: {}", said.out);
    assert_eq!(fs::read_to_string(src.join("b")).unwrap(), "b");
}

/// Whatever it is in whose place something is mounted: no bare number of the kernel's.
#[test]
fn a_mount_in_the_place_of_anything_is_named() {
    if !is_root("mounting") {
        return;
    }
    let (house, src) = planted(|src| {
        fs::write(src.join("file"), "file").unwrap();
        symlink("file", src.join("link")).unwrap();
        fs::hard_link(src.join("file"), src.join("name")).unwrap();
        assert!(Command::new("mkfifo").arg(src.join("pipe")).status().unwrap().success());
    });
    let names = ["file", "link", "name", "pipe"];
    for name in names {
        fs::remove_file(src.join(name)).unwrap();
        fs::write(src.join(name), "in the way").unwrap();
    }
    // On a file, a file can be mounted; what is in the way cannot be taken away.
    let script = "for name in file link name pipe; do mount --bind owner.key src/$name || exit 99; done; \
                  exec \"$0\" restore f --to / --conflict replace --identity owner.key";
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script]).arg(crate::house::binary()).current_dir(house.path("."));
    shell.env("XDG_CACHE_HOME", crate::house::cache()).env("XDG_STATE_HOME", house.path("state"));
    let key = fs::read(house.path("owner.key")).unwrap();
    let said = said(shell.output().unwrap()).expect(3);
    says(&said, &["not restored: 4 entries", "unmount it"]);
    for name in names {
        let line = said.err.lines().find(|line| line.contains(&format!("src/{name}: "))).unwrap();
        assert!(line.contains("a file system is mounted there") && !line.contains("os error"), "{line}");
        assert_eq!(fs::read_to_string(src.join(name)).unwrap(), "in the way");
    }
    assert_eq!(fs::read(house.path("owner.key")).unwrap(), key, "what was mounted is as it was");
    assert_eq!(fs::read_dir(&src).unwrap().count(), names.len(), "no half is left");
}

#[test]
fn what_is_missing_is_named_beside_the_notes_whatever_the_reason() {
    let (house, src) = planted(|src| {
        fs::write(src.join("file"), "x").unwrap();
        fs::write(src.join("other"), "x").unwrap();
    });
    fs::remove_file(src.join("file")).unwrap();
    fs::create_dir_all(src.join("file/full")).unwrap();
    let said = in_place(&house, &[]).expect(3);
    says(&said, &["not restored: 1 entry", "src/file", "a directory with something in it is there"]);
    says(&said, &["note: files that had their content already"]);
    let json = in_place(&house, &["--json"]).expect(3).json();
    assert_eq!((&json["outcome"], &json["not_restored_count"]), (&"partial".into(), &1.into()), "{json}");
    // Of another kind of reason, the same code.
    if is_root("an immutable file") {
        fs::remove_dir_all(src.join("file")).unwrap();
        fs::write(src.join("file"), "y").unwrap();
        let immutable = |sign: &str| Command::new("chattr").arg(sign).arg(src.join("file")).status();
        if immutable("+i").is_ok_and(|status| status.success()) {
            let said = in_place(&house, &[]);
            immutable("-i").unwrap();
            says(&said.expect(3), &["not restored: 1 entry", "src/file"]);
        } else {
            eprintln!("SKIPPED: this file system has no immutable files");
        }
    }
}

#[test]
fn halves_that_a_killed_restore_left_are_taken_away() {
    let (house, src) = planted(|src| {
        fs::create_dir(src.join("d")).unwrap();
        fs::write(src.join("d/f"), "x").unwrap();
    });
    // No process has so high a number; and one that is there.
    let left = [".dozo-999999999-3", "d/.dozo-999999999-4"];
    let stays = [".dozo-1-5", ".dozo-other"];
    left.iter().chain(&stays).for_each(|name| fs::write(src.join(name), "half").unwrap());
    let said = in_place(&house, &[]).expect(0);
    says(&said, &["halves of files that a killed restore left were removed: 2 entries"]);
    assert!(left.iter().all(|name| !src.join(name).exists()) && stays.iter().all(|name| src.join(name).exists()));
}

#[test]
fn what_is_right_is_not_touched() {
    let (house, src) = planted(|src| {
        fs::write(src.join("file"), "x").unwrap();
        symlink("file", src.join("link")).unwrap();
        let pipe = Command::new("mkfifo").arg(src.join("pipe")).status();
        assert!(pipe.unwrap().success());
    });
    let names = ["file", "link", "pipe"];
    let looks = || {
        names.map(|name| {
            let meta = fs::symlink_metadata(src.join(name)).unwrap();
            (meta.ino(), meta.ctime(), meta.ctime_nsec())
        })
    };
    let before = looks();
    in_place(&house, &[]).expect(0);
    assert_eq!(looks(), before);
}
