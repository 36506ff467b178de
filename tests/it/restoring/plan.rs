//! `--dry-run` and `--delete`: what would be done is shown, and what is shown is done.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{in_place, planted, says, shown};
use crate::filesystem::describe;
use crate::house::{House, Said, is_root};

/// A tree, backed up, and then rearranged in every way that is shown.
fn rearranged() -> (House, PathBuf) {
    let (house, src) = planted(|src| {
        fs::create_dir_all(src.join("dir/sub")).unwrap();
        for name in ["same", "changed", "gone", "chmod", "dir/sub/deep"] {
            fs::write(src.join(name), name).unwrap();
        }
        symlink("same", src.join("link")).unwrap();
        fs::hard_link(src.join("same"), src.join("name")).unwrap();
    });
    fs::write(src.join("changed"), "other").unwrap();
    fs::remove_file(src.join("gone")).unwrap();
    fs::set_permissions(src.join("chmod"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(src.join("link")).unwrap();
    symlink("elsewhere", src.join("link")).unwrap();
    fs::write(src.join("extra"), "").unwrap();
    fs::create_dir_all(src.join("dir/more/below")).unwrap();
    fs::write(src.join("dir/more/below/file"), "").unwrap();
    (house, src)
}

/// What was shown, without the time-stamps that depend on the machine: directories' own metadata.
fn lines(said: &Said, src: &Path) -> BTreeSet<String> {
    let src = format!("{}/", src.display());
    let lines = said.out.lines().filter(|line| line.contains(&src) && !line.contains(" into "));
    lines.map(|line| line.replace(&src, "")).collect()
}

#[test]
fn a_dry_run_shows_what_would_be_done_and_does_nothing() {
    let (house, src) = rearranged();
    let before = describe(&src);
    let said = in_place(&house, &["--dry-run"]).expect(0);
    let expected = ["replace  changed", "create   gone", "metadata chmod", "replace  link"];
    let shown_lines = lines(&said, &src);
    for line in expected {
        assert!(shown_lines.contains(line), "{line}: {}", said.out);
    }
    assert!(
        !said.out.contains("same\n") && !said.out.contains("extra") && !said.out.contains("src/name"),
        "{}",
        said.out
    );
    assert!(said.out.contains("1 to create, 2 to replace"), "{}", said.out);
    says(&said, &["nothing was written"]);
    assert_eq!(describe(&src), before);

    // What is there is left, or nothing is there at all.
    let skip = house.restore("f", "/", &["--conflict", "skip", "--dry-run"]).expect(0);
    assert!(
        lines(&skip, &src).contains("leave    changed") && lines(&skip, &src).contains("create   gone"),
        "{}",
        skip.out
    );
    let new = house.restore("f", "new", &["--dry-run"]).expect(0);
    assert!(new.out.contains("create   ") && !new.out.contains("replace"), "{}", new.out);
    assert!(!house.path("new").exists());
    let json = in_place(&house, &["--dry-run", "--json"]).expect(0);
    assert!(json.out.contains("\"action\":\"create\""), "{}", json.out);
    assert_eq!(describe(&src), before);
}

#[test]
fn delete_shows_its_plan_and_makes_an_exact_state() {
    let (house, src) = rearranged();
    let (kept, before) = (house.path("kept"), describe(&src));
    house.restore("f", "kept", &[]).expect(0);
    says(&house.restore("f", "/", &["--delete", "--conflict", "skip"]).expect(2), &["--conflict replace"]);
    let plan = in_place(&house, &["--delete"]).expect(0);
    assert!(
        lines(&plan, &src).is_superset(&["delete   extra".to_string(), "delete   dir/more".into()].into()),
        "{}",
        plan.out
    );
    assert!(plan.out.contains("2 to delete"), "{}", plan.out);
    assert_eq!(describe(&src), before);

    let said = in_place(&house, &["--delete", "--yes"]).expect(0);
    assert!(said.out.contains("2 entries deleted"), "{}", said.out);
    assert_eq!(describe(&src), describe(&kept.join(shown(&src).trim_start_matches('/'))));
    assert!(house.path("dozo.toml").exists(), "nothing is deleted beside what was restored");
    let again = in_place(&house, &["--delete"]).expect(0);
    assert!(again.out.contains("nothing to do"), "{}", again.out);
}

#[test]
fn delete_stays_in_what_was_chosen_and_behind_no_link() {
    let (house, src) = rearranged();
    fs::create_dir(house.path("precious")).unwrap();
    fs::write(house.path("precious/file"), "").unwrap();
    symlink(house.path("precious"), src.join("dir/link-out")).unwrap();
    in_place(&house, &[&shown(&src.join("dir")), "--delete", "--yes"]).expect(0);
    assert!(src.join("extra").exists(), "it lies beside what was chosen");
    assert!(!src.join("dir/more").exists() && !src.join("dir/link-out").is_symlink());
    assert!(house.path("precious/file").exists());
}

#[test]
fn delete_spares_what_was_not_restored_whole() {
    let (house, src) = rearranged();
    // A file of the snapshot cannot be put back: nothing is deleted.
    fs::create_dir_all(src.join("gone/full")).unwrap();
    let said = in_place(&house, &["--delete", "--yes"]).expect(3);
    says(&said, &["not restored: 1 entry"]);
    assert!(src.join("extra").exists() && src.join("dir/more").exists());
    fs::remove_dir_all(src.join("gone")).unwrap();
    if !is_root("mounting") {
        return;
    }
    let script = "mount -t tmpfs none src/dir/more && touch src/dir/more/mounted && \
                  \"$0\" restore f --to / --conflict replace --delete --yes --identity owner.key; code=$?; \
                  ls src/dir/more; exit $code";
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script]).arg(crate::house::binary()).current_dir(house.path("."));
    shell.env("XDG_CACHE_HOME", crate::house::cache()).env("XDG_STATE_HOME", house.path("state"));
    let said = crate::house::said(shell.output().unwrap()).expect(3);
    says(&said, &["a file system is mounted there"]);
    assert!(said.out.contains("mounted\n"), "{}", said.out);
}
