//! What `--delete` leaves alone: what the snapshot does not have because it was not looked at.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{in_place, says, shown};
use crate::filesystem::{as_nobody, give_to_nobody};
use crate::house::{House, Said, is_root};

const DELETE: [&str; 2] = ["--delete", "--yes"];

/// A house with a job `f` of `src`, and what else its configuration says.
fn configured(more: &str, plant: impl FnOnce(&Path)) -> House {
    let house = House::new();
    let src = house.path("src");
    fs::create_dir(&src).unwrap();
    plant(&src);
    let path = shown(&src);
    house.configure(&format!(
        "[job.f]\nplugin = \"filesystem\"\nconfig = {{ paths = [{path:?}], allow_empty = true, {more} }}\ngrant = {{ read = [{path:?}] }}"
    ));
    house
}

/// Runs a shell in mounts of its own, with dozo as `$0`.
fn with_mounts(house: &House, script: &str) -> Said {
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script]).arg(crate::house::binary()).current_dir(house.path("."));
    shell.env("XDG_CACHE_HOME", crate::house::cache()).env("XDG_STATE_HOME", house.path("state"));
    crate::house::said(shell.output().unwrap())
}

#[test]
fn what_the_backup_leaves_out_is_not_deleted() {
    let house = configured(
        r#"exclude = ["*.tmp", "!keep.tmp", "cache/"], exclude_caches = true, exclude_if_present = [".nobackup"],
           exclude_larger_than = "10B""#
            .replace('\n', " ")
            .as_str(),
        |src| {
            for directory in ["cache", "marked", "none", "plain"] {
                fs::create_dir(src.join(directory)).unwrap();
            }
            fs::write(src.join("marked/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
            fs::write(src.join("none/.nobackup"), "").unwrap();
            for file in ["a.tmp", "keep.tmp", "cache/x", "marked/x", "none/x", "plain/x"] {
                fs::write(src.join(file), "x").unwrap();
            }
            fs::write(src.join("large"), "more than ten bytes").unwrap();
        },
    );
    let src = house.path("src");
    house.dozo(&["run"]).expect(0);
    // Smaller by now, and still not in the snapshot.
    fs::write(src.join("large"), "small").unwrap();
    for new in ["extra", "plain/extra", "marked/since", "deep/b.tmp", "deep/extra"] {
        fs::create_dir_all(src.join(new).parent().unwrap()).unwrap();
        fs::write(src.join(new), "").unwrap();
    }
    let plan = in_place(&house, &["--delete"]).expect(0);
    says(&plan, &["not deleted, because the backup leaves it out"]);
    for spared in ["a.tmp", "src/cache", "marked/", "none/x", "src/large"] {
        assert!(!plan.out.contains(spared), "{spared}: {}", plan.out);
    }
    let said = in_place(&house, &DELETE).expect(0);
    says(&said, &["not deleted, because the backup leaves it out"]);
    for spared in ["a.tmp", "keep.tmp", "cache/x", "marked/x", "marked/since", "none/x", "large", "deep/b.tmp"] {
        assert!(src.join(spared).exists(), "{spared}: {}", said.err);
    }
    for deleted in ["extra", "plain/extra", "deep/extra"] {
        assert!(!src.join(deleted).exists(), "{deleted}: {}", said.err);
    }
}

#[test]
fn what_only_some_patterns_include_is_all_that_is_deleted() {
    let house = configured(r#"include = ["*.db"]"#, |src| fs::write(src.join("a.db"), "x").unwrap());
    let src = house.path("src");
    house.dozo(&["run"]).expect(0);
    for new in ["b.db", "b.txt"] {
        fs::write(src.join(new), "").unwrap();
    }
    in_place(&house, &DELETE).expect(0);
    assert!(!src.join("b.db").exists() && src.join("b.txt").exists());
}

#[test]
fn what_could_not_be_read_and_may_be_missing_is_not_deleted() {
    if !is_root("a directory that cannot be read") {
        return;
    }
    let house = configured(r#"tolerate = ["closed"]"#, |src| {
        fs::create_dir(src.join("closed")).unwrap();
        fs::write(src.join("closed/x"), "x").unwrap();
        fs::write(src.join("a"), "x").unwrap();
    });
    let closed = house.path("src/closed");
    give_to_nobody(&house);
    let mode = |mode| fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o000);
    as_nobody(&house, &["run"]).expect(0);
    mode(0o700);
    fs::write(house.path("src/extra"), "").unwrap();
    let to = ["restore", "f", "--to", "/", "--identity", "owner.key", "--conflict", "replace", "--delete", "--yes"];
    as_nobody(&house, &to).expect(0);
    mode(0o700);
    assert!(closed.join("x").exists() && !house.path("src/extra").exists());
}

#[test]
fn nothing_is_deleted_of_what_is_mounted_in_a_directory_of_the_snapshot() {
    if !is_root("mounting") {
        return;
    }
    for (more, is_mounted_at_backup) in
        [("one_file_system = true", true), ("one_file_system = true", false), ("", false)]
    {
        let house = configured(more, |src| {
            fs::create_dir(src.join("mnt")).unwrap();
            fs::write(src.join("a"), "x").unwrap();
        });
        fs::create_dir(house.path("bound")).unwrap();
        fs::write(house.path("bound/bound"), "").unwrap();
        let mount = "mount -t tmpfs none src/mnt && touch src/mnt/precious";
        let backup = if is_mounted_at_backup { format!("({mount} && \"$0\" run)") } else { "\"$0\" run".into() };
        let restore = "\"$0\" restore f --to / --conflict replace --delete --yes --identity owner.key";
        let script = format!(
            "{backup} && umount src/mnt 2>/dev/null; touch src/extra; {mount}; {restore} && ls src/mnt && umount src/mnt && \
             mount --bind bound src/mnt && {restore} && ls src/mnt"
        );
        let said = with_mounts(&house, &script).expect(0);
        says(
            &said,
            &["not looked into for what `--delete` deletes, because a file system is mounted there", "src/mnt"],
        );
        assert!(said.out.contains("precious\n") && said.out.ends_with("bound\n"), "{}", said.out);
        assert!(!house.path("src/extra").exists());
    }
}

#[test]
fn a_job_on_a_mount_of_its_own_is_made_an_exact_state() {
    if !is_root("mounting") {
        return;
    }
    let house = configured("", |_| {});
    let script = "mount -t tmpfs none src && touch src/a && \"$0\" run && touch src/extra && \
                  \"$0\" restore f --to / --conflict replace --delete --yes --identity owner.key && ls src";
    let said = with_mounts(&house, script).expect(0);
    assert!(said.out.ends_with("\na\n"), "{}", said.out);
}
