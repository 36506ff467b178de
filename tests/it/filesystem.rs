//! Directories through the filesystem plugin and back.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::house::{House, is_root};

/// A tree with what plain trees have, and a few things that are easy to get wrong.
pub(crate) fn plant(root: &Path) {
    fs::create_dir_all(root.join("dir/deep/er")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("empty.txt"), "").unwrap();
    fs::write(root.join("small.txt"), "small").unwrap();
    fs::write(root.join("dir/100%.txt"), "percent").unwrap();
    fs::write(root.join("dir/new\nline"), "newline").unwrap();
    fs::write(root.join("dir-file"), "sorts between dir and dir/deep").unwrap();
    let noise: Vec<u8> = (0..9_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(root.join("dir/large"), noise).unwrap();
    symlink("../small.txt", root.join("dir/link")).unwrap();
    symlink("/nowhere/at all", root.join("dangling")).unwrap();
    symlink(".", root.join("dir/self")).unwrap();
    let bytes = std::ffi::OsStr::from_bytes(b"not-utf8-\xff\xfe");
    fs::write(root.join(bytes), "bytes").unwrap();
    fs::set_permissions(root.join("small.txt"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(root.join("dir/deep"), fs::Permissions::from_mode(0o500)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::new(86_400, 1);
    fs::File::open(root.join("dir-file")).unwrap().set_modified(old).unwrap();
    fs::File::open(root.join("empty")).unwrap().set_modified(old).unwrap();
}

/// Everything that a tree is, in lines.
pub(crate) fn describe(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() {
            let bytes = fs::read(&path).unwrap();
            format!(
                "{} bytes, sum {}",
                bytes.len(),
                bytes.iter().fold(0u64, |sum, b| sum.wrapping_mul(31) + u64::from(*b))
            )
        } else if meta.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            todo.extend(fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
            String::new()
        };
        let name = path.strip_prefix(root).unwrap().to_path_buf();
        let (mode, time) = (meta.mode(), (meta.mtime(), meta.mtime_nsec()));
        lines.push(format!("{name:?} {mode:o} {}:{} {time:?} {content}", meta.uid(), meta.gid()));
    }
    lines.sort();
    lines
}

/// Where a directory of the house comes back to in a restored one.
pub(crate) fn restored(house: &House, to: &str, directory: &str) -> std::path::PathBuf {
    let absolute = house.path(directory);
    house.path(to).join(absolute.strip_prefix("/").unwrap())
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let house = House::new();
    plant(&house.path("tree"));
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(describe(&restored(&house, "out", "tree")), describe(&house.path("tree")));
}

#[test]
fn unchanged_files_are_kept_unread_and_changed_ones_are_not() {
    let house = House::new();
    plant(&house.path("tree"));
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    // Files younger than the file system's clock can tell are read once more.
    std::thread::sleep(std::time::Duration::from_millis(3_100));
    house.dozo(&["run"]).expect(0);
    let kept = house.dozo(&["run", "--json"]).expect(0).json();
    assert_eq!((&kept["entries_kept"], &kept["bytes_read"]), (&7.into(), &0.into()), "{kept}");

    // The same size and the same time, as `cp -p` and some editors leave them: the change time tells.
    let (file, time) =
        (house.path("tree/small.txt"), fs::metadata(house.path("tree/small.txt")).unwrap().modified().unwrap());
    fs::write(&file, "SMALL").unwrap();
    fs::File::open(&file).unwrap().set_modified(time).unwrap();
    fs::remove_file(house.path("tree/dangling")).unwrap();
    let changed = house.dozo(&["run", "--json"]).expect(0).json();
    assert_eq!((&changed["entries_kept"], &changed["bytes_read"]), (&6.into(), &5.into()), "{changed}");
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(describe(&restored(&house, "out", "tree")), describe(&house.path("tree")));

    let full = house.dozo(&["run", "--full", "--json"]).expect(0).json();
    assert_eq!((&full["entries_kept"], &full["bytes_new"]), (&0.into(), &0.into()), "{full}");
}

#[test]
fn a_previous_snapshot_that_cannot_be_read_is_none() {
    fn change(pack: &Path) {
        let mut bytes = fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(pack, bytes).unwrap();
    }
    let damages: [fn(&Path); 2] = [|pack| fs::remove_file(pack).unwrap(), change];
    for damage in damages {
        let house = House::new();
        plant(&house.path("tree"));
        house.configure_files("files", "tree");
        // Files younger than the file system's clock can tell are read anyway.
        std::thread::sleep(std::time::Duration::from_millis(3_100));
        house.dozo(&["run"]).expect(0);
        crate::recover::objects(&house, "catalog").iter().for_each(|pack| damage(pack));
        // What the new snapshot says of its entries is not, to the byte, what the damaged one says.
        fs::write(house.path("tree/new"), "new").unwrap();
        let run = house.dozo(&["run", "--json"]).expect(0).json();
        assert_eq!((&run["entries_kept"], &run["outcome"]), (&0.into(), &"complete".into()), "{run}");
        house.restore("files", "out", &[]).expect(0);
        assert_eq!(describe(&restored(&house, "out", "tree")), describe(&house.path("tree")));
    }
}

#[test]
fn patterns_choose_what_is_backed_up() {
    let house = House::new();
    plant(&house.path("tree"));
    let tree = house.path("tree").display().to_string();
    house.configure(&format!(
        "[job.files]\nplugin = \"filesystem\"\ngrant = {{ read = [\"{tree}\"] }}\n\
         config = {{ paths = [\"{tree}\"], exclude = [\"*.txt\", \"{tree}/dir/deep\", \"not-utf8*\"] }}"
    ));
    house.dozo(&["run"]).expect(0);
    let listed = house.dozo(&["ls", "-r", "files"]).expect(0).out;
    assert!(listed.contains("dir/large") && listed.contains("/empty/"), "{listed}");
    for gone in [".txt", "deep", "not-utf8"] {
        assert!(!listed.contains(gone), "{gone} in {listed}");
    }
}

#[test]
fn single_entries_come_back_alone() {
    let house = House::new();
    plant(&house.path("tree"));
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let inside = |path: &str| format!("{}/{path}", house.path("tree").display());
    house.restore("files", "one", &[&inside("dir/deep"), &inside("*.txt")]).expect(0);
    let found: Vec<String> = describe(&restored(&house, "one", "tree"));
    assert!(found.iter().any(|line| line.contains("small.txt")) && found.iter().any(|line| line.contains("deep/er")));
    assert!(!found.iter().any(|line| line.contains("large")), "{found:?}");
    let said = house.restore("files", "none", &["no/such/path"]).expect(2);
    assert!(said.err.contains("nothing under `no/such/path`"), "{}", said.err);
    let cat = inside("dir/100%25.txt");
    assert_eq!(house.dozo(&["cat", "files", &cat, "--identity", "owner.key"]).expect(0).out, "percent");
}

/// Makes another user the owner of all that is in the house.
pub(crate) fn give_to_nobody(house: &House) {
    let chown = Command::new("chown").args(["-R", "--no-dereference", "65534:65534"]).arg(house.path(".")).status();
    assert!(chown.unwrap().success());
}

/// Runs dozo as that user.
pub(crate) fn as_nobody(house: &House, arguments: &[&str]) -> crate::house::Said {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(crate::house::binary()).args(arguments);
    command.current_dir(house.path(".")).env("XDG_CACHE_HOME", house.path("cache")).env("TZ", "UTC");
    command.env("XDG_STATE_HOME", house.path("state")).env_remove("DOZO_LOG");
    crate::house::said(command.output().unwrap())
}

#[test]
fn what_cannot_be_read_is_omitted_by_name() {
    let house = House::new();
    plant(&house.path("tree"));
    house.configure_files("files", "tree");
    // Root reads everything; another user does not.
    let locked = [house.path("tree/dir/large"), house.path("tree/dir/deep")];
    if !is_root("reading as another user") {
        return;
    }
    for path in &locked {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
    }
    give_to_nobody(&house);
    for path in &locked {
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
    }
    let run = |arguments: &[&str]| as_nobody(&house, arguments);
    let said = run(&["run"]).expect(3);
    assert!(said.err.contains("not backed up: 2 entries"), "{}", said.err);
    for path in &locked {
        assert!(
            said.err.contains(&path.display().to_string()) && said.err.contains("Permission denied"),
            "{}",
            said.err
        );
    }
    let listed = run(&["snapshots"]).expect(0);
    assert!(listed.out.contains("partial"), "{}", listed.out);
}

#[test]
fn a_source_that_is_not_there_is_an_error() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    house.configure_files("files", "tree");
    fs::remove_dir(house.path("tree")).unwrap();
    let said = house.dozo(&["run"]).expect(1);
    assert!(said.err.contains("tree is not there: is its file system mounted?"), "{}", said.err);
    // Granted, but the path below it is gone: an unmounted disk looks like this.
    let parent = house.path("");
    house.configure(&format!(
        "[job.gone]\nplugin = \"filesystem\"\nconfig = {{ paths = [\"{0}tree\"] }}\ngrant = {{ read = [\"{0}\"] }}",
        parent.display()
    ));
    let said = house.dozo(&["run", "gone"]).expect(1);
    assert!(said.err.contains("tree is not there: is its file system mounted?"), "{}", said.err);
    assert_eq!(house.snapshots(), 0);
}

#[test]
fn a_target_that_holds_something_is_refused_unless_told() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/a"), "from backup").unwrap();
    fs::write(house.path("tree/b"), "from backup").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let target = restored(&house, "out", "tree");
    fs::create_dir_all(&target).unwrap();
    fs::write(target.join("a"), "precious").unwrap();
    let said = house.restore("files", "out", &[]).expect(2);
    assert!(said.err.contains("is not empty") && said.err.contains("--conflict"), "{}", said.err);
    let said = house.restore("files", "out", &["--conflict", "skip"]).expect(3);
    assert!(said.err.contains("the snapshot has something else") && said.err.contains("tree/a"), "{}", said.err);
    assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "precious");
    assert_eq!(fs::read_to_string(target.join("b")).unwrap(), "from backup");
    house.restore("files", "out", &["--conflict", "replace"]).expect(0);
    assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "from backup");
}

#[test]
fn a_snapshot_restores_where_the_job_is_unknown() {
    let house = House::new();
    plant(&house.path("tree"));
    let bare = fs::read_to_string(house.path("dozo.toml")).unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    fs::write(house.path("dozo.toml"), bare).unwrap();
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(describe(&restored(&house, "out", "tree")), describe(&house.path("tree")));
}

#[test]
fn a_store_that_is_full_fails_the_run_and_recovers() {
    if !is_root("mounting a small file system") {
        return;
    }
    let house = House::new();
    let small = house.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&small).status().unwrap();
    assert!(mounted.success());
    let result = std::panic::catch_unwind(|| {
        let config = house.path("full.toml").display().to_string();
        let url = format!("file://{}", small.join("repository").display());
        fs::create_dir(house.path("full")).unwrap();
        let config_arg = house.path("full/dozo.toml").display().to_string();
        house.dozo(&["init", &url, "--single-owner", "--config", &config_arg]).expect(0);
        let tree = house.path("noise");
        fs::create_dir(&tree).unwrap();
        let mut noise = vec![0u8; 24 << 20];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
        fs::write(tree.join("noise"), noise).unwrap();
        let job = format!(
            "\n[job.files]\nplugin = \"filesystem\"\nconfig = {{ paths = [{0:?}] }}\ngrant = {{ read = [{0:?}] }}\n",
            tree.display().to_string()
        );
        let text = fs::read_to_string(&config_arg).unwrap() + &job;
        fs::write(&config_arg, text).unwrap();
        let said = house.dozo(&["run", "--config", &config_arg]).expect(1);
        assert!(said.err.contains("No space left on device") && said.err.contains("free space"), "{}", said.err);
        assert!(said.err.contains(&small.display().to_string()), "{}", said.err);
        house.dozo(&["verify", "--config", &config_arg]).expect(0);
        fs::write(tree.join("noise"), vec![7; 1 << 20]).unwrap();
        house.dozo(&["run", "--config", &config_arg]).expect(0);
        drop(config);
    });
    Command::new("umount").arg(&small).status().unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn an_interrupted_run_leaves_no_snapshot_and_the_next_one_uses_what_it_stored() {
    let house = House::new();
    let tree = house.path("tree");
    fs::create_dir(&tree).unwrap();
    for n in 0..40u32 {
        let noise: Vec<u8> =
            (0..1_000_000u32).flat_map(|i| (i ^ (n << 20)).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        fs::write(tree.join(format!("f{n}")), noise).unwrap();
    }
    house.configure_files("files", "tree");
    let mut child = house.command().args(["run"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let packs = house.path("repository/packs");
    let begun = std::time::Instant::now();
    while fs::read_dir(&packs).map_or(0, Iterator::count) == 0 && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let code = child.wait().unwrap().code();
    assert!(code == Some(130) || code == Some(0), "{code:?}");
    if code == Some(130) {
        assert_eq!(house.snapshots(), 0);
    }
    house.dozo(&["verify"]).expect(0);
    house.dozo(&["run"]).expect(0);
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(describe(&restored(&house, "out", "tree")), describe(&tree));
}
