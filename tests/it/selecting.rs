//! What of a snapshot is meant by what was typed: names before patterns, the same in `restore`, `cat` and `ls`; the content of a
//! directory; what is offered where nothing is there, and that nothing is left behind then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::house::House;

/// A house with one snapshot of these files below `tree`.
fn house(files: &[(&str, &str)]) -> House {
    let house = House::new();
    for (path, text) in files {
        let path = house.path("tree").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    house
}

/// The path of something in the tree, as a shell shows it.
fn typed(house: &House, path: &str) -> String {
    house.path("tree").join(path).display().to_string()
}

/// The files below a directory, by their paths in it.
fn found(root: &Path) -> Vec<String> {
    let (mut found, mut todo) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(directory) = todo.pop() {
        let Ok(items) = fs::read_dir(root.join(&directory)) else { continue };
        for item in items {
            let path = directory.join(item.unwrap().file_name());
            match root.join(&path).is_dir() {
                true => todo.push(path),
                false => found.push(path.display().to_string()),
            }
        }
    }
    found.sort();
    found
}

/// What a restore of these paths brings, by its paths below the tree.
#[track_caller]
fn restored(house: &House, paths: &[&str]) -> Vec<String> {
    let _ = fs::remove_dir_all(house.path("back"));
    house.restore("files", "back", paths).expect(0);
    found(&house.path("back").join(house.path("tree").strip_prefix("/").unwrap()))
}

#[test]
fn a_name_wins_over_a_pattern_everywhere() {
    let names = ["a[1].txt", "b*", "{c,d}", "e?", r"f\*", "100%", "ü?.md"];
    let decoys = ["a1.txt", "bb", "c", "d", "ee", "f*", "100x", "üa.md"];
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, "right")).collect();
    let wrong: Vec<(&str, &str)> = decoys.iter().map(|name| (*name, "WRONG")).collect();
    let house = house(&[files, wrong].concat());
    for name in names {
        let path = typed(&house, name);
        assert_eq!(restored(&house, &[&path]), [name]);
        assert_eq!(house.dozo(&["cat", "files", &path, "--identity", "owner.key"]).expect(0).out, "right", "{name}");
        let listed = house.dozo(&["ls", "files", &path]).expect(0);
        assert_eq!(listed.out.lines().count(), 1, "{}", listed.out);
        // One that is a pattern too is said to be none.
        let is_special = name.contains(['*', '?', '[', '{']);
        let said = house.restore("files", "said", &[&path]);
        assert_eq!(said.err.contains("not a pattern"), is_special, "{name}: {}", said.err);
        fs::remove_dir_all(house.path("said")).unwrap();
    }
    // Where there is no such name, it is a pattern.
    fs::remove_file(house.path("tree/a[1].txt")).unwrap();
    house.dozo(&["run"]).expect(0);
    assert_eq!(restored(&house, &[&typed(&house, "a[1].txt")]), ["a1.txt"]);
    let single = house.dozo(&["cat", "files", "a[1].txt", "--identity", "owner.key"]).expect(0);
    assert_eq!(single.out, "WRONG");
    let several = house.dozo(&["cat", "files", "*.txt", "--identity", "owner.key"]).expect(0);
    assert_eq!(several.out, "WRONG", "it is the only one");
    let several = house.dozo(&["cat", "files", "?", "--identity", "owner.key"]).expect(2);
    assert!(several.err.contains("more than one file"), "{}", several.err);
}

/// Also of the directory whose content is meant, of paths in it, and of job paths.
#[test]
fn a_name_of_a_directory_wins_over_a_pattern() {
    let house = house(&[
        ("a[1]/x*", "right"),
        ("a[1]/xx", "WRONG"),
        ("a1/x*", "WRONG"),
        ("{b,c}/f", "right"),
        ("b/f", "WRONG"),
        ("c/f", "WRONG"),
    ]);
    let inside = |path: &str| format!("files:{}", typed(&house, path));
    let cat = |snapshot: &str, more: &[&str]| {
        house.dozo(&[&["cat", snapshot], more, &["--identity", "owner.key"]].concat()).expect(0).out
    };
    house.restore(&inside("a[1]"), "content", &["x*"]).expect(0);
    assert_eq!(found(&house.path("content")), ["x*"]);
    house.restore(&inside("{b,c}"), "braces", &[]).expect(0);
    assert_eq!(found(&house.path("braces")), ["f"]);
    assert_eq!([cat(&inside("a[1]"), &["x*"]), cat(&inside("{b,c}/f"), &[])], ["right", "right"]);
    let listed = house.dozo(&["ls", &inside("a[1]"), "x*"]).expect(0).out;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert_eq!(restored(&house, &[&typed(&house, "a[1]"), &typed(&house, "{b,c}")]), ["a[1]/x*", "a[1]/xx", "{b,c}/f"]);
    // What stands in `paths` and `grant` is a path, never a pattern.
    let tree = typed(&house, "{b,c}");
    house.configure(&format!(
        "[job.braces]\nplugin = \"filesystem\"\nconfig = {{ paths = [{tree:?}] }}\ngrant = {{ read = [{tree:?}] }}"
    ));
    house.dozo(&["run", "braces"]).expect(0);
    assert_eq!(cat(&format!("braces:{tree}/f"), &[]), "right");
    assert!(!house.dozo(&["ls", "braces", "-r"]).expect(0).out.contains("tree/b"));
}

#[test]
fn patterns_are_those_of_exclude() {
    let files: Vec<(&str, &str)> =
        ["a.csv", "deep/b.csv", "deep/c.txt", "deep/x/d.csv", "cache/e", "y/cache", "ä1", "[z].md", "100%.log"]
            .iter()
            .map(|path| (*path, "x"))
            .collect();
    let house = house(&files);
    let tree = house.path("tree").display().to_string();
    let all: Vec<String> = found(&house.path("tree"));
    let patterns = [
        "*.csv",
        "**/x/*",
        "cach*/",
        "cach?",
        "?1",
        "[!a-z]1",
        r"\[z\]*",
        "*.{csv,txt}",
        "100%*",
        "%TREE%/*.csv",
        "%TREE%/**/d*",
    ];
    for pattern in patterns {
        let pattern = pattern.replace("%TREE%", &tree);
        let taken = restored(&house, &[&pattern]);
        let config = fs::read_to_string(house.path("dozo.toml")).unwrap();
        let excluding = config.replace("settle_seconds", &format!("exclude = ['{pattern}'], settle_seconds"));
        fs::write(house.path("dozo.toml"), excluding.replace("[job.files]", "[job.others]")).unwrap();
        house.dozo(&["run"]).expect(0);
        fs::write(house.path("dozo.toml"), config).unwrap();
        house.restore("others", "kept", &[]).expect(0);
        let kept = found(&house.path("kept").join(house.path("tree").strip_prefix("/").unwrap()));
        let mut both = [taken.clone(), kept].concat();
        both.sort();
        assert_eq!(both, all, "{pattern} took {taken:?}");
        assert!(!taken.is_empty(), "{pattern}");
        fs::remove_dir_all(house.path("kept")).unwrap();
    }
}

#[test]
fn the_content_of_a_directory_goes_straight_into_the_target() {
    let house = house(&[("app/a", "a"), ("app/deep/b", "b"), ("other/c", "c"), ("app.txt", "no")]);
    // Hard links: to a name inside, and to one outside, of which two names are inside.
    fs::hard_link(house.path("tree/app/a"), house.path("tree/app/deep/a2")).unwrap();
    fs::hard_link(house.path("tree/app/deep/b"), house.path("tree/aa")).unwrap();
    fs::hard_link(house.path("tree/app/deep/b"), house.path("tree/app/z")).unwrap();
    house.dozo(&["run"]).expect(0);
    let inside = |path: &str| format!("files:{}", typed(&house, path));
    let said = house.restore(&inside("app"), "back", &[]).expect(0);
    assert!(!said.err.contains("files of their own"), "{}", said.err);
    assert_eq!(found(&house.path("back")), ["a", "deep/a2", "deep/b", "z"]);
    let inode = |path: &str| fs::metadata(house.path("back").join(path)).unwrap().ino();
    assert_eq!((inode("a"), inode("deep/b")), (inode("deep/a2"), inode("z")));
    assert_ne!(inode("a"), inode("z"));
    assert_eq!(fs::read_to_string(house.path("back/z")).unwrap(), "b");
    // On over it, as over any other.
    fs::write(house.path("back/deep/b"), "broken").unwrap();
    house.restore(&inside("app/"), "back", &["--conflict", "replace"]).expect(0);
    assert_eq!(fs::read_to_string(house.path("back/z")).unwrap(), "b");

    // One file, and paths and patterns in the directory.
    house.restore(&inside("app/deep/b"), "one", &[]).expect(0);
    assert_eq!(found(&house.path("one")), ["b"]);
    house.restore(&inside("app"), "some", &["deep"]).expect(0);
    assert_eq!(found(&house.path("some")), ["deep/a2", "deep/b"]);
    house.restore(&inside("app"), "top", &["/*"]).expect(0);
    assert_eq!(found(&house.path("top")), ["a", "deep/a2", "deep/b", "z"]);
    // A directory that no entry describes: what lies above what was backed up.
    let above = format!("files:{}", house.path("").display());
    house.restore(&above, "above", &["tree/app"]).expect(0);
    assert!(house.path("above/tree/app/deep/b").exists());
    // The root is everything.
    house.restore(&inside("app"), "all", &["/"]).expect(0);
    assert_eq!(found(&house.path("all")), ["a", "deep/a2", "deep/b", "z"]);
    let unset = house.restore("files", "no", &[""]).expect(2);
    assert!(unset.err.contains("nothing under ``"), "{}", unset.err);
    // By a time, and in what only looks.
    let today = house.dozo(&["ls", &format!("files@2099-01-01:{}", typed(&house, "app")), "deep"]).expect(0);
    assert!(today.out.contains("app/deep/b"), "{}", today.out);
    let cat = house.dozo(&["cat", &inside("app/deep/b"), "--identity", "owner.key"]).expect(0);
    assert_eq!(cat.out, "b");
    let within = house.restore(&inside("app/a"), "no", &["x"]).expect(2);
    assert!(within.err.contains("is one file"), "{}", within.err);
}

#[test]
fn where_nothing_is_the_nearest_is_offered_and_nothing_left() {
    let house = house(&[("app/config.yml", "x"), ("old/config.yml", "x"), ("app/data/a.csv", "x")]);
    let tree = house.path("tree").strip_prefix("/").unwrap().display().to_string();
    for (path, hint) in [
        (typed(&house, "app/confg.yml"), format!("did you mean `{tree}/app/config.yml`")),
        ("data/a.csv".into(), format!("did you mean `{tree}/app/data/a.csv`?")),
        ("config.yml".into(), "`**/config.yml` is all 2".into()),
        ("app/*.csv".into(), "`**/app/*.csv`".into()),
        ("*.tsv".into(), " -r` shows what it has".into()),
        ("a[".into(), "".into()),
    ] {
        let missed = house.restore("files", "new/deep/back", &[&path]).expect(2);
        assert!(missed.err.contains(&hint) && missed.err.contains("nothing under"), "{path}: {}", missed.err);
        assert!(!missed.err.contains("not complete"), "{}", missed.err);
        assert!(!house.path("new").exists(), "{path} left a directory");
        let cat = house.dozo(&["cat", "files", &path, "--identity", "owner.key"]).expect(2);
        assert!(cat.err.contains(&hint), "{path}: {}", cat.err);
        let ls = house.dozo(&["ls", "files", &path]).expect(2);
        assert!(ls.err.contains(&hint), "{path}: {}", ls.err);
    }
    let inside = house.restore("files:/nowhere", "new", &[]).expect(2);
    assert!(inside.err.contains("nothing under `/nowhere`") && !house.path("new").exists(), "{}", inside.err);
    // A directory that was there stays, and one that holds something is not touched.
    fs::create_dir_all(house.path("there")).unwrap();
    house.restore("files", "there/deep", &["*.tsv"]).expect(2);
    assert!(house.path("there").exists() && !house.path("there/deep").exists());
    fs::write(house.path("there/mine"), "mine").unwrap();
    let full = house.restore("files", "there", &[]).expect(2);
    assert!(full.err.contains("`--conflict replace`"), "{}", full.err);
    // Of a cluster's data directory, what would be refused next is not offered.
    fs::write(house.path("there/PG_VERSION"), "17\n").unwrap();
    let cluster = house.restore("files", "there", &[]).expect(2);
    assert!(cluster.err.contains("PostgreSQL") && !cluster.err.contains("--conflict skip"), "{}", cluster.err);
    assert_eq!(found(&house.path("there")), ["PG_VERSION", "mine"]);
}

#[test]
fn ids_and_jobs_that_were_half_typed_are_found_or_named() {
    let house = house(&[("a", "x")]);
    for _ in 0..16 {
        house.dozo(&["run"]).expect(0);
    }
    let out = house.dozo(&["snapshots", "--json"]).expect(0).out;
    let ids = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_string());
    let ids: Vec<String> = ids.collect();
    // Seventeen ids have sixteen first digits.
    let first = |digit: &str| ids.iter().filter(|id| id.starts_with(digit)).count();
    let digits: Vec<String> = (0..16).map(|digit| format!("{digit:x}")).collect();
    let several = digits.iter().find(|digit| first(digit) > 1).unwrap();
    let listed = house.dozo(&["ls", several]).expect(2);
    let count = first(several);
    assert!(listed.err.contains(&format!("{count} snapshots have an id that begins with")), "{}", listed.err);
    for id in ids.iter().filter(|id| id.starts_with(several.as_str())).rev().take(8) {
        let line = listed.err.lines().find(|line| line.contains(&id[..8])).unwrap_or_else(|| panic!("{}", listed.err));
        assert!(line.contains("files") && line.contains(':'), "{line}");
    }
    for id in &ids {
        let short = (1..=64).find(|length| first(&id[..*length]) == 1).unwrap();
        house.dozo(&["ls", &id[..short]]).expect(0);
        house.dozo(&["ls", &id[..short].to_uppercase()]).expect(0);
    }
    for command in [
        &["ls", "fiels"][..],
        &["verify", "fiels"],
        &["snapshots", "fiels"],
        &["restore", "fiels", "--to", "x", "--identity", "owner.key"],
        &["ls", "fiels@2026-01-01"],
    ] {
        let missed = house.dozo(command).expect(2);
        assert!(missed.err.contains("did you mean `files`?"), "{command:?}: {}", missed.err);
    }
    assert!(!house.path("x").exists());
}

/// Two machines from one image: both are called `vm`, and both have a job `files`.
#[test]
fn hosts_of_one_name_are_told_apart_by_their_uids() {
    let house = house(&[("a", "of the first")]);
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), text.replace("# host = \"web-1\"", "host = \"vm\"")).unwrap();
    house.dozo(&["run"]).expect(0);
    let (there, url) = (House::bare(), format!("file://{}", house.path("repository").display()));
    fs::copy(house.path("owner.key"), there.path("owner.key")).unwrap();
    let list = |house: &House| house.dozo(&["snapshots"]).expect(0).out;
    let digits = |line: &str| line.split_whitespace().skip_while(|word| *word != "vm").nth(1).unwrap().to_string();
    let is_uid = |word: &str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(list(&house).lines().all(|line| !line.contains(" vm ") || !is_uid(&digits(line))), "a name is enough");
    let joined = there.dozo(&["join", &url, "--identity", "owner.key", "--host", "vm"]).expect(0);
    assert!(joined.err.contains(" is called vm, too"), "{}", joined.err);
    fs::create_dir(there.path("tree")).unwrap();
    fs::write(there.path("tree/b"), "of the second").unwrap();
    there.configure_files("files", "tree");
    there.dozo(&["run"]).expect(0);
    let listed = list(&house);
    let mut uids: Vec<String> = listed.lines().filter(|line| line.contains(" vm ")).map(digits).collect();
    uids.dedup();
    assert!(uids.len() == 2 && uids[0] != uids[1] && uids.iter().all(|uid| is_uid(uid)), "{listed}");
    let status = house.dozo(&["status"]).out;
    assert!(uids.iter().all(|uid| status.contains(&format!("vm {uid}"))), "{status}");

    let which = house.dozo(&["ls", "vm/files"]).expect(2);
    assert!(uids.iter().all(|uid| which.err.contains(&format!("{uid}/files"))), "{}", which.err);
    for (uid, (name, content)) in uids.iter().zip([("a", "of the first"), ("b", "of the second")]) {
        let job = format!("{uid}/files");
        assert!(house.dozo(&["ls", &job, "-r"]).expect(0).out.contains(&format!("tree/{name}\n")));
        house.restore(&job, uid, &[&format!("**/{name}")]).expect(0);
        let back = found(&house.path(uid));
        assert!(back.iter().any(|path| path.ends_with(name)), "{content}: {back:?}");
    }
    let other = house.dozo(&["ls", &format!("{}/files", uids[1])]).expect(0);
    assert!(other.err.contains(&format!("of the host `vm {}`", uids[1])), "{}", other.err);
    let hosts = house.dozo(&["key", "hosts"]).expect(0).out;
    assert!(uids.iter().all(|uid| hosts.contains(uid)), "{hosts}");
}

/// What people said of a snapshot stands behind it, and a list begins where there is something to choose.
#[test]
fn lists_show_what_is_held_and_begin_where_all_of_it_lies() {
    let house = house(&[("d/a", "a"), ("d/b", "b")]);
    house.dozo(&["run", "--tag", "release"]).expect(0);
    let list = || house.dozo(&["snapshots"]).expect(0).out;
    assert!(list().trim_end().ends_with("  #release"), "{}", list());
    house.dozo(&["hold", "files"]).expect(2);
    house.dozo(&["hold", "files", "--why", "an audit"]).expect(0);
    assert!(list().trim_end().ends_with("  held, #release"), "{}", list());
    let json = house.dozo(&["snapshots", "--json"]).expect(0).out;
    let held = |line: &str| line.contains(r#""held":true"#);
    assert_eq!(json.lines().map(held).collect::<Vec<_>>(), [false, true], "{json}");
    house.dozo(&["hold", "files", "--release"]).expect(0);
    assert!(!list().contains("held"), "{}", list());

    let tree = house.path("tree").strip_prefix("/").unwrap().display().to_string();
    assert_eq!(house.dozo(&["ls", "files"]).expect(0).out, format!("{tree}/\n{tree}/d/\n"));
    assert!(house.dozo(&["ls", "files", "/"]).expect(0).out.starts_with(tree.split('/').next().unwrap()));
}
