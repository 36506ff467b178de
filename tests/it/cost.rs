//! What the benchmarks rely on: that the plugin and the native source that it is measured against do the same, and that
//! a component that was compiled once is not compiled again. Nothing here is timed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::house::{House, Said, binary, bundle, said};

/// The measuring program lies beside the binary.
fn bench(house: &House, task: &str) -> Command {
    let program = binary().with_file_name("dozo-bench");
    assert!(program.exists(), "{} is not built: run the tests with `cargo xtask test`", program.display());
    let mut command = Command::new(program);
    command.arg(task).arg("--cache").arg(house.path("cache"));
    command.arg("--plugin").arg(bundle().join("filesystem.wasm"));
    command
}

/// A number in what the measuring program said.
#[track_caller]
fn figure(said: &Said, name: &str) -> u64 {
    let mut words = said.out.split_whitespace().filter_map(|word| word.split_once('='));
    let found = words.find_map(|(word, number)| (word == name).then(|| number.parse().ok())?);
    found.unwrap_or_else(|| panic!("no {name} in {:?}\n{}", said.out, said.err))
}

/// One of everything: small and large, names that must be escaped, more than a batch.
fn make_tree(tree: &Path) -> (u64, u64) {
    fs::create_dir_all(tree.join("many")).unwrap();
    fs::create_dir_all(tree.join("empty")).unwrap();
    for number in 0..600 {
        fs::write(tree.join(format!("many/{number}")), format!("file {number}\n").repeat(number)).unwrap();
    }
    let large: Vec<u8> = (0..9_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(tree.join("large"), &large).unwrap();
    fs::write(tree.join("100% odd\nname"), "x").unwrap();
    fs::write(tree.join("many.txt"), "sorts behind what is in many/").unwrap();
    fs::set_permissions(tree.join("many/1"), fs::Permissions::from_mode(0o4711)).unwrap();
    symlink("../many/100%", tree.join("link")).unwrap();
    let files: u64 = fs::read_dir(tree.join("many")).unwrap().map(|item| item.unwrap().metadata().unwrap().len()).sum();
    // The tree itself, two directories, 600 files, three more, a link.
    (1 + 2 + 600 + 3 + 1, files + large.len() as u64 + 1 + 29)
}

#[test]
fn the_plugin_and_the_native_source_do_the_same() {
    let house = House::new();
    let tree = house.path("tree");
    let (entries, bytes) = make_tree(&tree);
    let mut command = bench(&house, "same");
    command.arg("--tree").arg(&tree).arg("--home").arg(house.path("measured"));
    let said = said(command.output().unwrap()).expect(0);
    assert_eq!(figure(&said, "differences"), 0, "{}", said.out);
    assert_eq!((figure(&said, "entries"), figure(&said, "bytes")), (entries, bytes));
    assert_eq!(figure(&said, "native_new"), 0, "the second run found every chunk of the first");
}

#[test]
fn an_unchanged_tree_is_kept_by_both() {
    let house = House::new();
    let tree = house.path("tree");
    let (entries, _) = make_tree(&tree);
    // What changed less than two seconds before a run is read again by the next.
    std::thread::sleep(std::time::Duration::from_millis(3_100));
    for source in ["plugin", "native"] {
        let run = || {
            let mut command = bench(&house, "backup");
            command.args(["--source", source]).arg("--tree").arg(&tree).arg("--home").arg(house.path(source));
            said(command.output().unwrap()).expect(0)
        };
        let (first, second) = (run(), run());
        assert_eq!((figure(&first, "entries"), figure(&first, "kept")), (entries, 0), "{source}");
        // Three directories and a link are put anew.
        assert_eq!((figure(&second, "entries"), figure(&second, "kept")), (entries, entries - 4), "{source}");
    }
}

#[test]
fn a_component_is_compiled_once() {
    let house = House::new();
    let load = || said(bench(&house, "load").output().unwrap()).expect(0);
    let compiled = || {
        let files: Vec<_> = fs::read_dir(house.path("cache")).unwrap().map(|item| item.unwrap()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let metadata = files[0].metadata().unwrap();
        (files[0].file_name(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
    };
    load();
    let first = compiled();
    load();
    assert_eq!(compiled(), first, "the second load used what the first compiled");
    // A file that does not load is replaced: so the first assertion can fail.
    fs::write(house.path("cache").join(&first.0), "not machine code").unwrap();
    load();
    assert_ne!(compiled().1, first.1, "a damaged file is compiled anew");
}
