//! File systems that hold less than there was: times to the second, up to the year 2038. What they make of it is noted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::shown;
use crate::house::{House, is_root};

/// A file system of ext2's inodes, which have no room for more than seconds in 32 bits; unmounted at the end.
struct Narrow(PathBuf);

impl Narrow {
    fn mount(house: &House) -> Option<Self> {
        let (image, point) = (house.path("image"), house.path("narrow"));
        fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        fs::create_dir(&point).unwrap();
        let mut mkfs = Command::new("mkfs.ext4");
        let made = mkfs.args(["-q", "-F", "-I", "128", "-b", "4096", "-O", "^has_journal"]).arg(&image).output();
        let mounted = made.is_ok_and(|made| made.status.success())
            && Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&point).status().unwrap().success();
        if !mounted {
            eprintln!("SKIPPED: a file system of seconds needs mkfs.ext4 and a loop device");
        }
        mounted.then_some(Narrow(point))
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn times_that_become_others_are_noted_by_how_much() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = House::new();
    let Some(narrow) = Narrow::mount(&house) else { return };
    // A file system in memory holds all of them.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let job = |name: &str, times: &[(&str, SystemTime)]| {
        let src = memory.path().join(name);
        fs::create_dir(&src).unwrap();
        for (file, time) in times {
            fs::write(src.join(file), file).unwrap();
            fs::File::open(src.join(file)).unwrap().set_modified(*time).unwrap();
        }
        fs::File::open(&src).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        let src = shown(&src);
        house.configure(&format!(
            "[job.{name}]\nplugin = \"filesystem\"\nconfig = {{ paths = [{src:?}] }}\ngrant = {{ read = [{src:?}] }}"
        ));
        house.dozo(&["run", name]).expect(0);
        src
    };
    let seconds = |at: u64| UNIX_EPOCH + Duration::from_secs(at);
    let cases = [
        ("whole", vec![("on-time", seconds(1_700_000_000))], ""),
        ("fine", vec![("a-quarter", UNIX_EPOCH + Duration::new(1_700_000_000, 250_000_000))], "rounded to what"),
        ("late", vec![("too-late", seconds(60_000_000_000))], "that this file system cannot hold"),
        (
            "early",
            vec![("too-early", UNIX_EPOCH - Duration::from_secs(4_000_000_000))],
            "that this file system cannot hold",
        ),
    ];
    for (name, times, note) in cases {
        let src = job(name, &times);
        let to = format!("narrow/{name}");
        let said = house.restore(name, &to, &[]).expect(0);
        let notes: Vec<&str> = said.err.lines().filter(|line| line.contains("note: times")).collect();
        assert_eq!(notes.len(), usize::from(!note.is_empty()), "{name}: {}", said.err);
        assert!(notes.iter().all(|line| line.contains(note) && line.contains(times[0].0)), "{name}: {notes:?}");
        let back = house.path(&to).join(src.trim_start_matches('/')).join(times[0].0);
        assert_eq!(fs::read_to_string(&back).unwrap(), times[0].0, "its content is there all the same");
        // Over what is there, it is the same again, and nothing is written for the sake of a time that cannot be had.
        let inode = fs::metadata(&back).unwrap().ino();
        let again = house.restore(name, &to, &["--conflict", "replace"]).expect(0);
        assert_eq!(again.err.contains("note: times"), !note.is_empty(), "{name}: {}", again.err);
        assert_eq!(fs::metadata(&back).unwrap().ino(), inode, "{name}");
    }
    drop(narrow);
    // Where it came from, it fits.
    let said = house.dozo(&["restore", "late", "--to", "/", "--conflict", "replace", "--identity", "owner.key"]);
    assert!(!said.expect(0).err.contains("note: times"));
}
