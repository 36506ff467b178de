//! What was private stays private: directories that are made on the way, and one that takes the content of another, become what
//! the snapshot says they were.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};

use super::{mode, planted, shown};
use crate::house::{House, is_root};

/// A directory that only its owner may look into, with one below it; a time of their own.
fn plant(src: &Path) {
    fs::create_dir_all(src.join("p/q")).unwrap();
    fs::write(src.join("p/token"), "secret").unwrap();
    fs::write(src.join("p/q/file"), "x").unwrap();
    for (path, mode) in [("p/q", 0o555), ("p", 0o700)] {
        fs::set_permissions(src.join(path), fs::Permissions::from_mode(mode)).unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::open(src.join(path)).unwrap().set_modified(long_ago).unwrap();
    }
}

/// Mode, owner and time.
fn looks(path: &Path) -> (u32, u32, u32, i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.mode(), meta.uid(), meta.gid(), meta.mtime())
}

fn restore(house: &House, what: &Path, to: &str, more: &[&str]) {
    house.restore(&format!("f:{}", shown(what)), to, more).expect(0);
}

#[test]
fn a_new_directory_for_the_content_of_another_becomes_what_that_was() {
    let (house, src) = planted(plant);
    let out = |path: &str| house.path(path);
    restore(&house, &src.join("p"), "deep/whole", &[]);
    assert_eq!(looks(&out("deep/whole")), looks(&src.join("p")));
    assert_eq!(looks(&out("deep/whole/q")), looks(&src.join("p/q")));
    assert_eq!(mode(&out("deep")), 0o755, "what was made above it lets others pass");
    // One that its owner may not write to, and a file alone.
    restore(&house, &src.join("p/q"), "closed", &[]);
    assert_eq!(looks(&out("closed")), looks(&src.join("p/q")));
    restore(&house, &src.join("p/token"), "one", &[]);
    assert_eq!(mode(&out("one")), 0o700, "the file was for nobody else's eyes");
    // A directory that was there is the operator's.
    fs::create_dir(out("there")).unwrap();
    fs::set_permissions(out("there"), fs::Permissions::from_mode(0o711)).unwrap();
    restore(&house, &src.join("p"), "there", &[]);
    assert_eq!(mode(&out("there")), 0o711);
    // Nothing is left of one into which nothing was restored, and a plan makes none.
    house.restore(&format!("f:{}", shown(&src.join("p"))), "none", &["*.nothing"]).expect(2);
    restore(&house, &src.join("p"), "none", &["--dry-run"]);
    assert!(!out("none").exists());
}

#[test]
fn owners_and_attributes_of_directories_on_the_way_come_back() {
    if !is_root("directories of another owner") {
        return;
    }
    let (house, src) = planted(|src| {
        plant(src);
        for path in ["p", "p/q"] {
            chown(src.join(path), Some(1234), Some(5678)).unwrap();
            lsetxattr(src.join(path), "user.whose", path.as_bytes(), XattrFlags::empty()).unwrap();
        }
    });
    let attribute = |path: &Path| {
        let mut value = [0; 64];
        let length = lgetxattr(path, "user.whose", &mut value).unwrap();
        String::from_utf8(value[..length].to_vec()).unwrap()
    };
    house.restore("f", "way", &[&shown(&src.join("p/q/file"))]).expect(0);
    let way = house.path("way").join(shown(&src).trim_start_matches('/'));
    restore(&house, &src.join("p"), "content", &[]);
    for (copy, path) in [(way.join("p"), "p"), (way.join("p/q"), "p/q"), (house.path("content"), "p")] {
        assert_eq!((looks(&copy), attribute(&copy).as_str()), (looks(&src.join(path)), path), "{}", copy.display());
    }
}
