//! Clusters that are laid out otherwise: WAL on a disk of its own, files that a group may read, configuration beside the data, settings
//! of an older recovery, tablespaces that came later.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use super::job::{Home, notes, says};
use super::load::{moment, now};
use super::server::Pg;
use crate::house::is_root;

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

/// A tablespace in the data directory itself is a part of it: it needs no place of its own, before the base backup or after.
#[test]
fn tablespaces_made_in_place() {
    for version in [14, 17] {
        let Some(pg) = Pg::start(version) else { return };
        let make = |name: &str| {
            pg.psql(&format!("set allow_in_place_tablespaces = on; create tablespace {name} location ''"));
            pg.psql(&format!("create table in_{name} tablespace {name} as select generate_series(1, 5000) as n"));
        };
        make("early");
        let home = Home::of(&pg);
        home.full();
        let copy = home.copy(&pg, "db", "early", &[]);
        pg.equals(&copy);
        make("late");
        pg.psql("create database inside tablespace early");
        let notes = notes(&home.run());
        assert!(!notes.contains("tablespace"), "{notes}");
        pg.equals(&home.copy(&pg, "db", "late", &[]));
        // Both in a base backup, and one dropped in the WAL behind it.
        home.full();
        pg.psql("drop table in_late; drop tablespace late");
        home.run();
        pg.equals(&home.copy(&pg, "db", "dropped", &[]));
    }
}

/// What the command line says, no copy reads; and recovery needs it as high as it was.
#[test]
fn settings_of_the_command_line() {
    let Some(mut pg) = Pg::start(17) else { return };
    pg.stop();
    let raise =
        |connections: u32| ["max_connections", "max_prepared_transactions"].map(|name| format!("{name}={connections}"));
    pg.start_with(&raise(150));
    pg.start_again();
    let home = Home::of(&pg);
    home.full();
    let auto_conf =
        |to: &str| fs::read_to_string(home.restored(&pg, "db", to, &[]).join("postgresql.auto.conf")).unwrap();
    let first = auto_conf("first");
    says(&first, &["max_connections = '150'", "max_prepared_transactions = '150'"]);
    assert!(!first.contains("max_worker_processes"), "a default needs no saying: {first}");
    Pg::on_directory(17, &home.path("first"), &[]);
    // Raised and lowered again, in the WAL behind the base backup.
    for connections in [170, 120] {
        pg.stop();
        pg.start_with(&raise(connections));
        pg.start_again();
        pg.psql(&format!("create table t{connections} as select 1"));
    }
    home.run();
    let copy = home.copy(&pg, "db", "back", &[]);
    assert_eq!(copy.psql("show max_connections"), "170");
    pg.equals(&copy);
}

/// A machine that takes the server's place may give its user another number: the files are the user's, not whoever's has the old one.
#[test]
fn files_belong_to_whom_the_name_says() {
    if !is_root("files of another owner") {
        return;
    }
    let Some(pg) = Pg::start(17) else { return };
    let space = pg.space("fast");
    pg.psql(&format!("create tablespace fast location '{}'", space.display()));
    pg.psql("create table there tablespace fast as select 1");
    let home = Home::of(&pg);
    home.run();
    pg.psql("create table later as select 1");
    home.run();
    for (file, line) in [("passwd", "postgres:x:4321:4322::/nonexistent:/bin/false"), ("group", "postgres:x:4322:")] {
        let there = fs::read_to_string(format!("/etc/{file}")).unwrap();
        let others = there.lines().filter(|line| !line.starts_with("postgres:"));
        fs::write(home.path(file), others.chain([line]).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    }
    let script = "mount --bind passwd /etc/passwd && mount --bind group /etc/group && exec \"$0\" \"$@\"";
    let restore = |to: &str, more: &[&str]| {
        let like = home.command(&[]);
        let mut shell = std::process::Command::new("unshare");
        shell.args(["-m", "sh", "-c", script]).arg(crate::house::binary());
        let map = format!("fast={}", home.path(format!("{to}-fast")).display());
        shell.args(["restore", "db", "--to", to, "--map", &map, "--identity", "owner.key"]).args(more);
        shell.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(like.get_current_dir().unwrap());
        super::tools::within(Duration::from_secs(120), &mut shell).expect(0)
    };
    says(&restore("named", &[]).err, &["owners have other numbers on this machine: they were set by name"]);
    restore("numbered", &["--numeric-ids"]);
    let theirs = posix(&pg.data().join("PG_VERSION"));
    for (to, owner) in [("named", (4321, 4322)), ("numbered", (theirs.1, theirs.2))] {
        let mut todo = vec![home.path(to), home.path(format!("{to}-fast"))];
        while let Some(path) = todo.pop() {
            let (_, user, group) = posix(&path);
            assert_eq!((user, group), owner, "{}", path.display());
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
            }
        }
    }
}

/// The root of a file system has something of its own; directories that are made on the way let the server's user pass; and what to
/// do next is said.
#[test]
fn targets_that_are_prepared_for_the_server() {
    let Some(pg) = Pg::start(16) else { return };
    let home = Home::of(&pg);
    home.full();
    let root = home.path("root");
    fs::create_dir_all(root.join("lost+found")).unwrap();
    fs::set_permissions(root.join("lost+found"), Permissions::from_mode(0o700)).unwrap();
    let said = home.restore("db", "root", &[]).expect(0);
    says(
        &said.err,
        &["note: PostgreSQL recovers to", "pg_ctl -D", "when it is started", "lost+found", "directory below it"],
    );
    assert!(said.out.contains("restored into") && !said.out.contains("recovered"), "{}", said.out);
    pg.equals(&Pg::on_directory(16, &root, &[]));
    // With anything in it, it is somebody's.
    fs::create_dir_all(home.path("used/lost+found")).unwrap();
    fs::write(home.path("used/lost+found/#1"), "").unwrap();
    says(&home.restore("db", "used", &[]).expect(2).err, &["not empty", "move it away"]);

    let to = home.path("new/way/data").display().to_string();
    let arguments = ["restore", "db", "--to", &to, "--identity", "owner.key"].map(|word| format!("'{word}'")).join(" ");
    let mut shell = std::process::Command::new("sh");
    let binary = crate::house::binary().display().to_string();
    shell.args(["-c", &format!("umask 077; exec '{binary}' {arguments}")]);
    let like = home.command(&[]);
    like.get_envs().for_each(|(name, value)| match value {
        Some(value) => drop(shell.env(name, value)),
        None => drop(shell.env_remove(name)),
    });
    shell.current_dir(like.get_current_dir().unwrap());
    super::tools::within(Duration::from_secs(120), &mut shell).expect(0);
    let modes = ["new", "new/way", "new/way/data"].map(|path| posix(&home.path(path)).0 & 0o777);
    assert_eq!(modes, [0o755, 0o755, 0o700]);
    pg.equals(&Pg::on_directory(16, Path::new(&to), &[]));
}
