//! docs/recover.sh: an operator who has the repository, the owner's key, `age`, `zstd`, `jq` and coreutils, and no dozo.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::house::{House, Said, said};

mod frozen;
mod owners;

/// All that the script may use, beside `age`, `zstd` and `jq`: the shell and coreutils.
const COREUTILS: &str = "sh cat chmod chown dd du head id join ln ls mkdir mktemp mv realpath rm sha256sum sort stat tac \
                         tail touch wc";

/// Where the script runs: a folder with its tools and no others, and one for its temporary files.
struct Rescue {
    dir: tempfile::TempDir,
}

impl Rescue {
    /// None, and loudly so, where the tools cannot be found.
    fn new() -> Option<Self> {
        let rescue = Rescue { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(rescue.dir.path().join("bin")).unwrap();
        fs::create_dir(rescue.dir.path().join("tmp")).unwrap();
        for tool in ["age", "zstd", "jq"].into_iter().chain(COREUTILS.split(' ')) {
            let Some(found) = find(tool) else {
                assert!(!COREUTILS.contains(tool), "{tool} is not installed");
                eprintln!("SKIPPED: {tool} is not installed; docs/recover.sh was not tried");
                return None;
            };
            symlink(found, rescue.dir.path().join("bin").join(tool)).unwrap();
        }
        Some(rescue)
    }

    fn run(&self, repository: &Path, key: &Path, more: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recover.sh");
        let mut command = Command::new(self.dir.path().join("bin/sh"));
        command.arg(script).arg(repository).arg(key).args(more);
        command.env("PATH", self.dir.path().join("bin")).env("TMPDIR", self.dir.path().join("tmp"));
        let output = command.output().unwrap();
        assert_eq!(fs::read_dir(self.dir.path().join("tmp")).unwrap().count(), 0, "it leaves keys and packs behind");
        output
    }

    /// The same for a house, whose output is text.
    fn text(&self, house: &House, more: &[&str]) -> Said {
        said(self.run(&house.path("repository"), &house.path("owner.key"), more))
    }

    /// The ids of the snapshots, oldest first.
    #[track_caller]
    fn snapshots(&self, house: &House) -> Vec<String> {
        let said = self.text(house, &[]).expect(0);
        said.out.lines().map(|line| line.split('\t').nth(1).unwrap().to_string()).collect()
    }

    /// Restores the newest snapshot into a new directory of the house; returns where its `tree` went.
    fn restore(&self, house: &House, to: &str) -> (Said, PathBuf) {
        let newest = self.snapshots(house).pop().unwrap();
        let said = self.text(house, &[&newest, "--all", house.path(to).to_str().unwrap()]);
        (said, house.path(to).join(house.path("tree").strip_prefix("/").unwrap()))
    }
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file())
}

/// What a program prints.
#[track_caller]
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Bytes that look like chance and are the same each time.
fn noise(length: u32, seed: u32) -> Vec<u8> {
    (0..length / 4)
        .flat_map(|n| (n ^ (seed << 24)).wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes())
        .collect()
}

fn plant(root: &Path) {
    fs::create_dir_all(root.join("dir/deep/er")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("empty.txt"), "").unwrap();
    fs::write(root.join("small.txt"), "small").unwrap();
    fs::write(root.join("dir-file"), "sorts between dir and dir/deep").unwrap();
    fs::write(root.join("dir/large"), noise(20 << 20, 1)).unwrap();
    let every_byte: Vec<u8> = (1..=255u8).filter(|byte| *byte != b'/').collect();
    let names: [&[u8]; 8] = [
        b"100%.txt",
        b"new\nline",
        b"ends\n",
        b"tab\there ",
        b"-rf *",
        b"\\033[2J $(x) `y`",
        b"%0A \"quoted\" 'x'",
        &every_byte,
    ];
    for name in names {
        fs::write(root.join("dir").join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    for n in 0..40u32 {
        fs::write(root.join(format!("dir/deep/f{n}")), noise(n * 1_000, n)).unwrap();
    }
    symlink("../small.txt", root.join("dir/link")).unwrap();
    symlink("/nowhere/at all\n100%/", root.join("dangling")).unwrap();
    symlink(".", root.join("dir/self")).unwrap();
    fs::set_permissions(root.join("small.txt"), fs::Permissions::from_mode(0o4751)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::new(86_400, 1);
    fs::File::open(root.join("dir-file")).unwrap().set_modified(old).unwrap();
    fs::File::open(root.join("empty")).unwrap().set_modified(old).unwrap();
    fs::set_permissions(root.join("dir/deep"), fs::Permissions::from_mode(0o500)).unwrap();
}

/// Kind and mode, time, content or target.
type What = (u32, (i64, i64), Vec<u8>);

/// What a tree holds, by path.
fn describe(root: &Path) -> BTreeMap<PathBuf, What> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let content = if meta.is_file() {
            fs::read(&path).unwrap()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            todo.extend(fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
            Vec::new()
        };
        let name = path.strip_prefix(root).unwrap().to_path_buf();
        found.insert(name, (meta.mode(), (meta.mtime(), meta.mtime_nsec()), content));
    }
    found
}

/// All that was restored is as it was; returns how much of it there is.
#[track_caller]
fn subset(restored: &Path, original: &Path) -> usize {
    let (found, right) = (describe(restored), describe(original));
    for (path, (mode, time, content)) in &found {
        let Some((right_mode, right_time, right_content)) = right.get(path) else {
            panic!("{path:?} was not backed up")
        };
        assert!(content == right_content, "{path:?} has wrong content");
        // The directories of what could not be restored keep the mode that they were made with.
        if found.len() == right.len() {
            assert_eq!((mode, time), (right_mode, right_time), "{path:?}");
        }
    }
    found.len()
}

/// The files below a folder of the repository.
pub(crate) fn objects(house: &House, folder: &str) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![house.path("repository").join(folder)]);
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(path).unwrap().map(|item| item.unwrap().path()))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

#[test]
fn a_tree_comes_back_without_dozo() {
    let (Some(rescue), house) = (Rescue::new(), House::new()) else { return };
    plant(&house.path("tree"));
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let before = describe(&house.path("tree"));
    fs::write(house.path("tree/new.txt"), "new").unwrap();
    fs::remove_file(house.path("tree/dir/new\nline")).unwrap();
    house.dozo(&["run"]).expect(0);

    let (said, restored) = rescue.restore(&house, "out");
    assert_eq!(said.expect(0).err, "");
    assert_eq!(subset(&restored, &house.path("tree")), before.len());
    let [first, second] = &rescue.snapshots(&house)[..] else { panic!("two snapshots") };
    rescue.text(&house, &[first, "--all", house.path("first").to_str().unwrap()]).expect(0);
    assert!(describe(&house.path("first").join(house.path("tree").strip_prefix("/").unwrap())) == before);

    let inside = |path: &str| format!("{}/{path}", house.path("tree").strip_prefix("/").unwrap().display());
    let listed = rescue.text(&house, &[&second[..8]]).expect(0).out;
    assert_eq!(listed.lines().count(), before.len());
    assert!(listed.contains(&format!("file\t5\t{}\n", inside("dir/ends%0A"))), "{listed}");
    let large = rescue.run(&house.path("repository"), &house.path("owner.key"), &[second, &inside("dir/large")]);
    assert!(large.stdout == noise(20 << 20, 1));
    assert_eq!(rescue.text(&house, &[first, &inside("dir/new%0Aline")]).expect(0).out, "new\nline");
}

#[test]
fn what_is_not_there_is_said() {
    let (Some(rescue), house) = (Rescue::new(), House::new()) else { return };
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/a"), "a").unwrap();
    house.configure_files("files", "tree");
    rescue.text(&house, &[]).expect(1);
    house.dozo(&["run"]).expect(0);
    let snapshot = rescue.snapshots(&house).pop().unwrap();
    let full = house.path("tree").display().to_string();
    let path = house.path("tree").strip_prefix("/").unwrap().display().to_string();
    for (arguments, words) in [
        (&["0".repeat(64).as_str()][..], "there is no snapshot"),
        (&["../x"], "no snapshot's id"),
        (&[&snapshot, "no/such/path"], "has no file"),
        (&[&snapshot, &path], "has no file"),
        (&[&snapshot, "--all", &full], "is not empty"),
        (&[&snapshot, "a", "b"], "usage"),
        (&[&snapshot, "a", "b", "c"], "usage"),
    ] {
        let said = rescue.text(&house, arguments).expect(1);
        assert!(said.err.contains(words) && said.out.is_empty(), "{arguments:?}: {}", said.err);
    }
    let other = House::new();
    let said = said(rescue.run(&house.path("repository"), &other.path("owner.key"), &[]));
    assert!(said.code == 1 && said.err.contains("opens none of"), "{}", said.err);
}

/// Each kind of object, damaged in each way: the script says so, and what it writes is right.
#[test]
fn damage_is_said_and_nothing_wrong_is_written() {
    let (Some(rescue), house) = (Rescue::new(), House::new()) else { return };
    fs::create_dir_all(house.path("tree/dir")).unwrap();
    fs::write(house.path("tree/small.txt"), "small").unwrap();
    fs::write(house.path("tree/dir/large"), noise(3 << 20, 1)).unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let snapshot = rescue.snapshots(&house).pop().unwrap();
    let inside = house.path("tree").strip_prefix("/").unwrap().to_path_buf();
    for folder in ["packs", "catalog", "index", "snapshots", "keys"] {
        for object in objects(&house, folder) {
            let bytes = fs::read(&object).unwrap();
            for how in ["flip", "truncate", "delete"] {
                match how {
                    "flip" => {
                        let mut changed = bytes.clone();
                        changed[bytes.len() / 2] ^= 1;
                        fs::write(&object, changed).unwrap();
                    }
                    "truncate" => fs::write(&object, &bytes[..bytes.len() - 1]).unwrap(),
                    _ => fs::remove_file(&object).unwrap(),
                }
                let to = house.path(format!("{folder}-{how}"));
                fs::remove_dir_all(&to).ok();
                let said = rescue.text(&house, &[&snapshot, "--all", to.to_str().unwrap()]);
                assert!(said.code == 1 && !said.err.is_empty(), "{folder} {how}: {} {}", said.code, said.err);
                subset(&to.join(&inside), &house.path("tree"));
                let path = inside.join("small.txt");
                let said = rescue.text(&house, &[&snapshot, path.to_str().unwrap()]);
                assert!(said.code == 1, "{folder} {how}");
                // A damaged index may be one that this file does not need.
                assert!(said.out.is_empty() || said.out == "small", "{folder} {how}: {}", said.out);
                fs::write(&object, &bytes).unwrap();
            }
        }
    }
    rescue.text(&house, &[&snapshot, "--all", house.path("whole").to_str().unwrap()]).expect(0);
}

#[test]
fn what_is_whole_comes_back_beside_what_is_not() {
    let (Some(rescue), house) = (Rescue::new(), House::new()) else { return };
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/lost"), "lost").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let pack = objects(&house, "packs").pop().unwrap();
    fs::write(house.path("tree/kept"), "kept").unwrap();
    house.dozo(&["run"]).expect(0);
    fs::remove_file(&pack).unwrap();
    let (said, restored) = rescue.restore(&house, "out");
    assert!(said.expect(1).err.contains("NOT RESTORED: "));
    assert_eq!(fs::read_to_string(restored.join("kept")).unwrap(), "kept");
    assert!(!restored.join("lost").exists());

    // The next full run stores again what was lost; the old index, which names the lost pack, is still there.
    house.dozo(&["run", "--full"]).expect(0);
    let (said, restored) = rescue.restore(&house, "healed");
    assert_eq!(said.expect(0).err, "");
    assert_eq!(fs::read_to_string(restored.join("lost")).unwrap(), "lost");
}

#[test]
fn a_manifest_of_several_segments_is_listed_whole() {
    let (Some(rescue), house) = (Rescue::new(), House::new()) else { return };
    fs::create_dir(house.path("tree")).unwrap();
    // More than 3 MiB of lines.
    for n in 0..900 {
        symlink("x".repeat(4_000), house.path(format!("tree/link-{n}"))).unwrap();
    }
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let snapshot = rescue.snapshots(&house).pop().unwrap();
    let listed = rescue.text(&house, &[&snapshot]).expect(0).out;
    assert_eq!(listed.lines().filter(|line| line.starts_with("symlink\t-\t")).count(), 900);
}

/// The body of an encrypted document.
fn document(object: &Path, key: &Path, scratch: &Path) -> serde_json::Value {
    fs::write(scratch, output(Command::new("age").arg("-d").arg("-i").arg(key).arg(object))).unwrap();
    serde_json::from_slice(&output(Command::new("zstd").arg("-dcq").arg(scratch))).unwrap()
}

#[test]
fn packs_of_two_epochs_are_read() {
    let (Some(rescue), house) = (Rescue::new(), House::new()) else { return };
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/first"), "first epoch").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);

    // What ends an epoch: a new data identity, in a key document for the owner, and its recipient in the host's key.
    let (scratch, key) = (house.path("scratch"), house.path("owner.key"));
    let object = objects(&house, "keys").pop().unwrap();
    let mut body = document(&object, &key, &scratch);
    let identity = String::from_utf8(output(&mut Command::new("age-keygen"))).unwrap();
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    body["epoch"] = 2.into();
    body["data_identity"] = identity.lines().last().unwrap().into();
    fs::write(&scratch, body.to_string()).unwrap();
    fs::write(&scratch, output(Command::new("zstd").arg("-cq").arg(&scratch))).unwrap();
    let sealed = output(Command::new("age").arg("-r").arg(body["owner"].as_str().unwrap()).arg(&scratch));
    fs::write(object.to_str().unwrap().replace("/1-", "/2-"), sealed).unwrap();
    let mut host: serde_json::Value = serde_json::from_slice(&fs::read(house.path("host.key")).unwrap()).unwrap();
    host["epoch"] = 2.into();
    host["data_recipient"] = recipient.into();
    fs::write(house.path("host.key"), host.to_string()).unwrap();

    fs::write(house.path("tree/second"), "second epoch").unwrap();
    house.dozo(&["run"]).expect(0);
    let (said, restored) = rescue.restore(&house, "out");
    assert_eq!(said.expect(0).err, "");
    assert_eq!(subset(&restored, &house.path("tree")), 3);
}
