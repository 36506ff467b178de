//! Root restores where another user may write: what that user can do there beforehand is done here, and gains them nothing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

use super::{in_place, mode, planted, says, shown};
use crate::house::is_root;

/// Another user.
const THEY: Option<u32> = Some(1234);

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_link_of_roots_that_a_user_can_move_leads_nowhere() {
    if !is_root("links of root in a user's directory") {
        return;
    }
    let (house, src) = planted(|src| {
        fs::create_dir_all(src.join("home/a")).unwrap();
        fs::write(src.join("home/a/x.sh"), "of the user").unwrap();
        fs::create_dir_all(src.join("etc/profile.d")).unwrap();
        for path in ["home", "home/a", "home/a/x.sh"] {
            chown(src.join(path), THEY, THEY).unwrap();
        }
    });
    fs::rename(src.join("home/a"), src.join("home/was")).unwrap();
    symlink("../etc/profile.d", src.join("home/a")).unwrap();
    for chosen in [shown(&src.join("home/a/x.sh")), "**/*.sh".into()] {
        let said = in_place(&house, &[&chosen]).expect(3);
        says(&said, &["a symlink is in the way that lies where others may write", "not restored: 1 entry"]);
        assert_eq!(fs::read_dir(src.join("etc/profile.d")).unwrap().count(), 0, "{chosen}");
    }
    // Where only root can have put it, it is followed.
    chown(src.join("home"), Some(0), None).unwrap();
    in_place(&house, &[&shown(&src.join("home/a/x.sh"))]).expect(0);
    assert!(src.join("etc/profile.d/x.sh").exists());
}

#[test]
fn a_file_that_a_user_holds_open_does_not_become_roots() {
    if !is_root("a file that becomes root's") {
        return;
    }
    let (house, src) = planted(|src| {
        fs::create_dir(src.join("home")).unwrap();
        fs::write(src.join("home/helper"), "of root").unwrap();
        set_mode(&src.join("home/helper"), 0o4755);
        chown(src.join("home"), THEY, THEY).unwrap();
    });
    let helper = src.join("home/helper");
    fs::remove_file(&helper).unwrap();
    fs::write(&helper, "of root").unwrap();
    chown(&helper, THEY, THEY).unwrap();
    let mut held = fs::File::options().write(true).open(&helper).unwrap();
    in_place(&house, &[]).expect(0);
    held.write_all(b"evil").unwrap();
    assert_eq!(fs::read_to_string(&helper).unwrap(), "of root");
    assert_eq!((fs::metadata(&helper).unwrap().uid(), mode(&helper)), (0, 0o4755));
}

#[test]
fn a_target_behind_another_users_link_is_refused() {
    if !is_root("links of another user") {
        return;
    }
    let (house, src) = planted(|src| fs::write(src.join("f"), "x").unwrap());
    fs::create_dir_all(house.path("home")).unwrap();
    fs::create_dir_all(house.path("precious")).unwrap();
    chown(house.path("home"), THEY, THEY).unwrap();
    symlink("../precious", house.path("home/back")).unwrap();
    for owner in [THEY, Some(0)] {
        lchown(house.path("home/back"), owner, owner).unwrap();
        for (to, conflict) in [("home/back", "refuse"), ("home/back/deeper", "refuse"), ("home/back", "replace")] {
            let said = house.restore("f", to, &["--conflict", conflict]);
            assert_ne!(said.code, 0, "{to} {conflict}");
            says(&said, &["a symlink", "is in the way", "restore to the directory that it leads to"]);
            assert_eq!(fs::read_dir(house.path("precious")).unwrap().count(), 0, "{to} {conflict}");
        }
    }
    assert!(src.exists());
}

#[test]
fn a_name_outside_of_a_file_with_two_names_is_left_alone() {
    let (house, src) = planted(|src| {
        fs::write(src.join("a"), "x").unwrap();
        set_mode(&src.join("a"), 0o644);
        fs::hard_link(src.join("a"), src.join("b")).unwrap();
    });
    fs::write(house.path("private"), "x").unwrap();
    set_mode(&house.path("private"), 0o600);
    fs::remove_file(src.join("a")).unwrap();
    fs::hard_link(house.path("private"), src.join("a")).unwrap();
    in_place(&house, &[]).expect(0);
    assert_eq!(mode(&house.path("private")), 0o600);
    let inode = |path: &str| fs::metadata(src.join(path)).unwrap().ino();
    assert!(inode("a") == inode("b") && mode(&src.join("a")) == 0o644);
}
