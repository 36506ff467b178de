//! Clusters that are laid out otherwise: WAL on a disk of its own, files that a group may read, configuration beside the data, settings
//! of an older recovery, tablespaces that came later.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use super::job::{Home, notes, says};
use super::load::{moment, now};
use super::server::Pg;

/// Mode and owner.
fn posix(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.permissions().mode(), metadata.uid(), metadata.gid())
}

/// What was restored belongs to whom it belonged to, if the restore may say so, and lets in whom the server let in.
fn has_the_modes_of(copy: &Path, pg: &Pg) {
    let root = rustix::process::geteuid().is_root();
    for file in
        ["", "PG_VERSION", "base", "base/1", "global/pg_control", "pg_hba.conf", "pg_wal", "pg_wal/archive_status"]
    {
        let (ours, theirs) = (posix(&copy.join(file)), posix(&pg.data().join(file)));
        // Where a link leads elsewhere, the copy has a directory.
        if theirs.0 & 0o170_000 == 0o120_000 {
            assert_eq!(ours.0 & 0o170_000, 0o040_000, "{file}");
        } else {
            assert_eq!(ours.0, theirs.0, "mode of {file}: {:o}, {:o}", ours.0, theirs.0);
        }
        assert!(!root || (ours.1, ours.2) == (theirs.1, theirs.2), "owner of {file}: {ours:?} {theirs:?}");
    }
    for file in ["recovery.signal", "postgresql.auto.conf", "backup_manifest"] {
        let (ours, theirs) = (posix(&copy.join(file)), posix(&pg.data().join("PG_VERSION")));
        assert_eq!(ours.0, theirs.0, "mode of {file}");
        assert!(!root || (ours.1, ours.2) == (theirs.1, theirs.2), "owner of {file}: {ours:?} {theirs:?}");
    }
}

#[test]
fn wal_on_a_disk_of_its_own() {
    let Some(pg) = Pg::plan(15).initdb("--waldir={home}/wal").start() else { return };
    assert!(fs::symlink_metadata(pg.data().join("pg_wal")).unwrap().is_symlink());
    pg.psql("create table t as select generate_series(1, 1000)");
    let home = Home::of(&pg);
    home.run();
    pg.psql("insert into t values (0)");
    home.run();
    let directory = home.restored(&pg, "db", "back", &[]);
    has_the_modes_of(&directory, &pg);
    pg.equals(&Pg::on_directory(15, &directory, &[]));
}

#[test]
fn files_that_a_group_may_read() {
    let Some(pg) = Pg::plan(18).initdb("--allow-group-access").start() else { return };
    let home = Home::of(&pg);
    home.run();
    let directory = home.restored(&pg, "db", "back", &[]);
    has_the_modes_of(&directory, &pg);
    pg.equals(&Pg::on_directory(18, &directory, &[]));
}

/// As Debian has it.
#[test]
fn configuration_beside_the_data() {
    let Some(mut pg) = Pg::start(16) else { return };
    pg.stop();
    let etc = pg.socket().join("etc");
    fs::create_dir(&etc).unwrap();
    pg.hand_over(&etc);
    let mut settings = Vec::new();
    for (setting, file) in
        [("config_file", "postgresql.conf"), ("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")]
    {
        fs::rename(pg.data().join(file), etc.join(file)).unwrap();
        settings.push(format!("{setting}={}", etc.join(file).display()));
    }
    pg.start_with(&settings);
    pg.start_again();
    let home = Home::of(&pg);
    let check = home.dozo(&["check", "db"]).expect(0);
    says(&check.out, &["configuration", &etc.display().to_string(), "not in this backup"]);
    home.run();
    pg.psql("create table later as select 1");
    let position = pg.psql("select pg_current_wal_insert_lsn()");
    pg.psql("create table too_late as select 1");
    home.run();
    let directory = home.restored(&pg, "db", "back", &["--at", &position]);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let copy = Pg::on_directory(16, &directory, &settings);
    assert_eq!(copy.psql("select to_regclass('later') is null, to_regclass('too_late') is null"), "f|t");
}

/// Whoever recovered a server once may have left what it was told in its configuration.
#[test]
fn settings_of_another_recovery() {
    let Some(pg) = Pg::plan(17).conf("recovery_target_xid = '4711'\nrecovery_target_action = 'shutdown'").start()
    else {
        return;
    };
    pg.psql(
        "alter system set recovery_target_name = 'nowhere'; alter system set restore_command = 'cp /nowhere/%f %p'",
    );
    pg.psql("create table early as select 1");
    let home = Home::of(&pg);
    home.run();
    let position = pg.psql("select pg_current_wal_insert_lsn()");
    pg.psql("create table later as select 1");
    home.run();
    for (to, at, expected) in [("position", position.as_str(), "t"), ("latest", "latest", "f")] {
        let copy = home.copy(&pg, "db", to, &["--at", at]);
        assert_eq!(copy.psql("select to_regclass('later') is null"), expected, "{to}");
    }
}

/// A tablespace that came after the base backup is made again while WAL is replayed, where it was: on the machine of the source
/// that is where the source has it. The copy must not touch that.
#[test]
fn a_tablespace_that_came_later() {
    let Some(pg) = Pg::start(16) else { return };
    let home = Home::of(&pg);
    home.full();
    let space = pg.space("late");
    pg.psql(&format!("create tablespace late location '{}'", space.display()));
    pg.psql("create table there tablespace late as select n, md5(n::text) as t from generate_series(1, 5000) n");
    let between = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(50));
    says(&notes(&home.run()), &["tablespace", "late", "base backup"]);
    let map = format!("late={}", home.path("late").display());
    let refused = home.restore_refused("db", &["--map", &map, "--at", &between]);
    says(&refused, &["tablespace", &space.display().to_string()]);
    let directory = home.restored(&pg, "db", "back", &["--map", &map]);
    let copy = Pg::on_directory(16, &directory, &[]);
    pg.equals(&copy);
    let links = fs::read_dir(copy.data().join("pg_tblspc")).unwrap();
    let targets: Vec<_> = links.map(|link| fs::read_link(link.unwrap().path()).unwrap()).collect();
    assert_eq!(targets, [home.path("late")], "the copy works on the source's own tablespace");
    copy.psql("drop table there");
    assert_eq!(pg.psql("select count(*) from there"), "5000");
    home.run();
    assert_eq!(home.bases("db").len(), 2, "it is known now");
}
