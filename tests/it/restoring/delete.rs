//! What `--delete` removes where only some of a snapshot is restored: what the plan shows, and never what the snapshot has.

use std::fs;
use std::path::{Path, PathBuf};

use super::{in_place, planted, says, shown};
use crate::filesystem::describe;
use crate::house::{House, Said};

/// A tree with things in it that came after the backup: beside it, in it and below.
fn with_extras() -> (House, PathBuf) {
    let (house, src) = planted(|src| {
        fs::create_dir_all(src.join("docs/old")).unwrap();
        for name in ["a.pdf", "b.txt", "docs/c.pdf", "docs/d.txt", "docs/old/e.pdf"] {
            fs::write(src.join(name), name).unwrap();
        }
    });
    for name in ["extra", "docs/extra", "docs/old/extra.pdf"] {
        fs::write(src.join(name), "").unwrap();
    }
    (house, src)
}

fn deletes(said: &Said) -> Vec<&str> {
    said.out.lines().filter_map(|line| line.strip_prefix("delete   ")).collect()
}

#[test]
fn what_was_not_chosen_is_not_deleted_and_no_plan_says_so() {
    let (house, src) = with_extras();
    fs::write(src.join("docs/c.pdf"), "other").unwrap();
    let before = describe(&src);
    let plan = in_place(&house, &["**/*.pdf", "--delete"]).expect(0);
    assert_eq!(deletes(&plan), Vec::<&str>::new(), "{}", plan.out);
    assert!(plan.out.contains("1 to replace"), "{}", plan.out);
    assert_eq!(describe(&src), before);
    in_place(&house, &["**/*.pdf", "--delete", "--yes"]).expect(0);
    for name in ["b.txt", "docs/d.txt", "extra", "docs/extra", "docs/old/extra.pdf"] {
        assert!(src.join(name).exists(), "{name}");
    }
    assert_eq!(fs::read_to_string(src.join("docs/c.pdf")).unwrap(), "docs/c.pdf");
    // A directory that was chosen is restored, and what is below it.
    let docs = shown(&src.join("docs"));
    let plan = in_place(&house, &[&docs, "--delete"]).expect(0);
    assert_eq!(deletes(&plan), [format!("{docs}/old/extra.pdf"), format!("{docs}/extra")], "{}", plan.out);
    in_place(&house, &[&docs, "--delete", "--yes"]).expect(0);
    assert!(!src.join("docs/extra").exists() && !src.join("docs/old/extra.pdf").exists() && src.join("extra").exists());
}

fn content_of(house: &House, directory: &Path, to: &Path, more: &[&str]) -> Said {
    let (snapshot, to) = (format!("f:{}", directory.display()), shown(to));
    let always = ["restore", &snapshot, "--to", &to, "--conflict", "replace", "--identity", "owner.key", "--delete"];
    house.dozo(&[&always, more].concat())
}

#[test]
fn the_target_of_one_directory_is_a_restored_directory() {
    let (house, src) = with_extras();
    let docs = src.join("docs");
    let plan = content_of(&house, &docs, &docs, &[]).expect(0);
    let (old, extra) = (shown(&docs.join("old/extra.pdf")), shown(&docs.join("extra")));
    assert_eq!(deletes(&plan), [old, extra], "{}", plan.out);
    let said = content_of(&house, &docs, &docs, &["--yes"]).expect(0);
    assert!(said.out.contains("2 entries deleted"), "{}", said.out);
    assert!(!docs.join("extra").exists() && src.join("extra").exists() && docs.join("d.txt").exists());
    // Some of its content is not the directory.
    fs::write(docs.join("extra"), "").unwrap();
    assert_eq!(deletes(&content_of(&house, &docs, &docs, &["*.pdf"]).expect(0)), Vec::<&str>::new());
    // A directory of which the snapshot has only what lies below is not restored whole.
    let above = src.parent().unwrap();
    let plan = content_of(&house, above, above, &[]).expect(0);
    assert!(!plan.out.contains("dozo.toml") && plan.out.contains(&shown(&house.path("src/extra"))), "{}", plan.out);
    // Nor is the target of a whole snapshot, whose paths begin there.
    let other = house.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), "").unwrap();
    house.restore("f", "other", &["--conflict", "replace", "--delete", "--yes"]).expect(0);
    assert!(other.join("mine").exists());
}

#[test]
fn one_directory_is_not_all_that_a_machine_has() {
    let (house, src) = with_extras();
    let said = content_of(&house, &src, Path::new("/"), &[]).expect(2);
    says(&said, &["would delete everything on this machine", "puts it back where it was"]);
    let back = house.path("elsewhere/lost+found");
    fs::create_dir_all(&back).unwrap();
    let plan = content_of(&house, &src, &house.path("elsewhere"), &[]).expect(0);
    assert_eq!(deletes(&plan), Vec::<&str>::new(), "{}", plan.out);
}

#[test]
fn a_plan_ends_with_what_does_it() {
    let (house, src) = with_extras();
    says(&in_place(&house, &["--delete"]).expect(0), &["nothing was written: the same command with `--yes` does it"]);
    fs::write(src.join("a.pdf"), "other").unwrap();
    says(&in_place(&house, &["--dry-run"]).expect(0), &["without `--dry-run` does it"]);
    says(&in_place(&house, &["--dry-run", "--delete"]).expect(0), &["with `--yes`, and without `--dry-run`, does it"]);
    in_place(&house, &["--delete", "--yes"]).expect(0);
    for plan in ["--dry-run", "--delete"] {
        let said = in_place(&house, &[plan]).expect(0);
        assert!(said.out.contains("nothing differs") && !said.err.contains("does it"), "{}{}", said.out, said.err);
    }
}
