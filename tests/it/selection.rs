//! Which files are taken by other rules than patterns, and what may be missing; and programs around a run.

use std::fs;
use std::process::Command;

use crate::filesystem::restored;
use crate::house::{House, is_root};

/// A job for the directory `tree` of a house, with these keys in its configuration and in its table.
fn configure(house: &House, config: &str, more: &str) {
    let tree = house.path("tree").display().to_string();
    house.configure(&format!(
        "[job.files]\nplugin = \"filesystem\"\ngrant = {{ read = [\"{tree}\"] }}\n{more}\n[job.files.config]\npaths = [\"{tree}\"]\n{config}"
    ));
}

fn write(house: &House, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = house.path("tree").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// The paths below the tree that the newest snapshot has.
fn listed(house: &House) -> Vec<String> {
    let prefix = format!("{}/", house.path("tree").display()).trim_start_matches('/').to_string();
    let out = house.dozo(&["ls", "-r", "--json", "files"]).expect(0).out;
    let paths = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let paths = paths.filter_map(|entry| entry["path"].as_str().map(str::to_string));
    paths.filter_map(|path| path.strip_prefix(&prefix).map(str::to_string)).collect()
}

#[test]
fn markers_sizes_and_caches_leave_out_what_they_say() {
    let house = House::new();
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n";
    write(
        &house,
        &[
            ("marked/.nobackup", ""),
            ("marked/deep/file", "x"),
            ("cache/CACHEDIR.TAG", tag),
            ("cache/file", "x"),
            ("no-cache/CACHEDIR.TAG", "Signature: none"),
            ("no-cache/file", "x"),
            ("large", &"x".repeat(3_000)),
            ("small", "x"),
            (".nobackup", "does not mark what stands in `paths`"),
            ("100%.log", "x"),
            ("keep.log", "x"),
        ],
    );
    configure(
        &house,
        "exclude_if_present = [\".nobackup\"]\nexclude_caches = true\nexclude_larger_than = \"2KiB\"\n\
         exclude = [\"*.log\", \"!keep.log\"]",
        "",
    );
    house.dozo(&["run"]).expect(0);
    let expected = [
        ".nobackup",
        "cache",
        "cache/CACHEDIR.TAG",
        "keep.log",
        "marked",
        "marked/.nobackup",
        "no-cache",
        "no-cache/CACHEDIR.TAG",
        "no-cache/file",
        "small",
    ];
    assert_eq!(listed(&house), expected);
}

#[test]
fn another_file_system_is_not_gone_into() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = House::new();
    write(&house, &[("here", "x"), ("mounted/under", "x")]);
    let point = house.path("tree/mounted");
    let mount = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&point).status().unwrap();
    assert!(mount.success());
    fs::write(point.join("there"), "x").unwrap();
    configure(&house, "one_file_system = true", "");
    let ran = house.dozo(&["run"]);
    let listed = listed(&house);
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
    ran.expect(0);
    assert_eq!(listed, ["here", "mounted"]);
}

#[test]
fn what_may_be_missing_does_not_make_a_snapshot_partial() {
    if !is_root("reading as another user") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let house = House::new();
    write(&house, &[("open", "x"), ("cache/closed", "x"), ("closed", "x")]);
    crate::filesystem::give_to_nobody(&house);
    for path in ["tree/cache/closed", "tree/closed"] {
        std::os::unix::fs::chown(house.path(path), Some(0), Some(0)).unwrap();
        fs::set_permissions(house.path(path), fs::Permissions::from_mode(0o0)).unwrap();
    }
    configure(&house, "tolerate = [\"cache/\"]", "");
    let run = |house: &House| crate::filesystem::as_nobody(house, &["run", "--json"]);
    let partial = run(&house).expect(3).json();
    assert_eq!((&partial["omitted_count"], &partial["outcome"]), (&1.into(), &"partial".into()), "{partial}");
    fs::remove_file(house.path("tree/closed")).unwrap();
    let complete = run(&house).expect(0).json();
    let notes = complete["notes"].to_string();
    assert!(notes.contains("could not be read, which the job tolerates") && notes.contains("cache/closed"), "{notes}");
}

#[test]
fn programs_run_around_a_job_and_it_reads_what_they_put_elsewhere() {
    let house = House::new();
    write(&house, &[("file", "as it is now")]);
    let (tree, copy, log) = (house.path("tree"), house.path("copy"), house.path("log"));
    let (tree, copy, log) = (tree.display(), copy.display(), log.display());
    configure(
        &house,
        "",
        &format!(
            "before = [\"/bin/cp -a {tree} {copy}\", \"/bin/sh -c 'echo as it was > {copy}/file'\"]\n\
             after = [\"/bin/rm -r {copy}\", \"/bin/sh -c 'echo $DOZO_JOB >> {log}'\"]\n\
             read_at = {{ \"{tree}\" = \"{copy}\" }}"
        ),
    );
    house.dozo(&["run"]).expect(0);
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(fs::read_to_string(restored(&house, "out", "tree").join("file")).unwrap(), "as it was\n");
    assert_eq!(fs::read_to_string(house.path("log")).unwrap(), "files\n");

    // Where what comes before fails, nothing is read, and what comes after runs.
    fs::create_dir(house.path("copy")).unwrap();
    fs::write(house.path("copy/tree"), "in the way").unwrap();
    let said = house.dozo(&["run"]).expect(1);
    assert!(said.err.contains("`before` of the job `files`") && said.err.contains("`/bin/cp …`"), "{}", said.err);
    assert_eq!((house.snapshots(), fs::read_to_string(house.path("log")).unwrap()), (1, "files\nfiles\n".into()));

    // One that fails after is told, and the snapshot is there.
    let toml = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), toml.replace("/bin/rm -r", "/bin/rmdir")).unwrap();
    let said = house.dozo(&["run"]).expect(1);
    assert!(said.err.contains("`after` of the job `files`"), "{}", said.err);
    assert_eq!(house.snapshots(), 2);
}

#[test]
fn a_restore_looks_for_room_first() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = House::new();
    write(&house, &[("one", &"x".repeat(3 << 20)), ("two", &"y".repeat(3 << 20))]);
    configure(&house, "", "");
    house.dozo(&["run"]).expect(0);
    let point = house.path("out");
    fs::create_dir(&point).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=5m", "none"]).arg(&point).status().unwrap();
    assert!(mount.success());
    let said = house.restore("files", "out", &[]);
    let left = fs::read_dir(&point).unwrap().count();
    let forced = house.restore("files", "out", &["--no-space-check"]);
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
    assert_eq!((said.code, left), (2, 0), "{}", said.err);
    assert!(said.err.contains("there is no room for the restore: it takes 6.0 MiB"), "{}", said.err);
    assert!(forced.code == 3 && forced.err.contains("No space left"), "{}", forced.err);
}
