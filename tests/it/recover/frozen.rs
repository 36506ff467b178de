//! The frozen repository of format 1, read by docs/recover.sh and by stock tools alone.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Rescue, document, output};
use crate::house::said;

fn frozen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/repository-1")
}

/// The frozen repository has what the filesystem plugin does not make: lists of extents, extents that begin inside a
/// chunk, names that no file system has, and a link that leads out.
#[test]
fn the_frozen_repository_comes_back() {
    let Some(rescue) = Rescue::new() else { return };
    let (store, key, dir) = (frozen().join("store"), frozen().join("owner.key"), tempfile::tempdir().unwrap());
    let entries = fs::read_to_string(frozen().join("entries.txt")).unwrap();
    for snapshot in entries.split("snapshot ").skip(1) {
        let (id, lines) = snapshot.split_once('\n').unwrap();
        let to = dir.path().join(id).join("out");
        let said = said(rescue.run(&store, &key, &[id, "--all", to.to_str().unwrap()]));
        let strange = lines.contains("trap");
        assert_eq!(said.code, i32::from(strange), "{}", said.err);
        for line in lines.lines() {
            let (digest, line) = line.split_once(' ').unwrap();
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let path = entry["path"].as_str().unwrap();
            let refused = ["%2E", "%2F", "%00"].iter().any(|escape| path.contains(escape)) || path == "trap";
            assert_eq!(refused, said.err.contains(&format!("NOT RESTORED: {path}")), "{path}: {}", said.err);
            if entry["kind"] == "file" && !refused {
                let name = path.replace("%25", "%").replace("%0A", "\n").into_bytes();
                let name = name.strip_suffix(b"%FF%FE").map_or(name.clone(), |rest| [rest, b"\xff\xfe"].concat());
                let file = fs::File::open(to.join(std::ffi::OsStr::from_bytes(&name))).unwrap();
                let sum = output(Command::new("sha256sum").stdin(file));
                assert_eq!(&sum[..64], digest.as_bytes(), "{path}");
            }
        }
        assert_eq!(fs::read_dir(dir.path().join(id)).unwrap().count(), 1, "something was written beside the target");
        if strange {
            assert_eq!(rescue.run(&store, &key, &[id, "dir/%2E%2E"]).stdout, b"dir/%2E%2E");
        }
    }
}

/// FORMAT.md sections 6 and 7: `age -d -i KEY PACK | zstd -dc` prints the chunks of a pack, one after the other.
#[test]
fn stock_tools_open_a_pack() {
    if Rescue::new().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (scratch, identity) = (dir.path().join("scratch"), dir.path().join("data.key"));
    let keys = fs::read_dir(frozen().join("store/keys")).unwrap().next().unwrap().unwrap().path();
    let body = document(&keys, &frozen().join("owner.key"), &scratch);
    fs::write(&identity, body["data_identity"].as_str().unwrap()).unwrap();
    let mut plain = Vec::new();
    for folder in fs::read_dir(frozen().join("store/packs")).unwrap() {
        let pack = fs::read_dir(folder.unwrap().path()).unwrap().next().unwrap().unwrap().path();
        let pipe = "set -e; age -d -i \"$1\" \"$2\" | zstd -dc";
        plain.push(output(Command::new("sh").args(["-c", pipe, "sh"]).arg(&identity).arg(&pack)));
    }
    plain.sort_by_key(Vec::len);
    assert_eq!(String::from_utf8_lossy(&plain[0]), "new beginning, , new end");
    assert_eq!(String::from_utf8_lossy(&plain[1]), "%2E%2E/up%2Eorders%2F2026nul%00plaindir/%2E%2Eescaped");
    let blocks = plain[2].split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"block ")).count();
    assert!(blocks > 4_096 && plain[2].ends_with(b"rich"), "{blocks} lines of {} bytes", plain[2].len());
}
