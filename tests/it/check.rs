//! `dozo check` finds what `dozo run` would, with the same exit code; `dozo config check` finds all that can be found in the file,
//! at once; and what other tools call otherwise is known.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::house::{House, is_root};

/// A house with a job of files, and one in whose configuration something is wrong.
fn house(more: &str) -> House {
    let house = House::new();
    fs::create_dir(house.path("data")).unwrap();
    fs::write(house.path("data/file"), "x").unwrap();
    let data = house.path("data").display().to_string();
    house.configure(&format!(
        "[job.files]\nplugin = \"filesystem\"\nconfig = {{ paths = [\"{data}\"] }}\ngrant = {{ read = [\"{data}\"] }}\n{}",
        more.replace("HERE", &house.path("").display().to_string())
    ));
    house
}

/// `check` and `run` end alike, and say the same words.
#[track_caller]
fn alike(house: &House, code: i32, words: &str) {
    for command in [["check", "files"], ["run", "files"]] {
        let said = house.dozo(&command);
        assert_eq!(said.code, code, "{command:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(words), "{command:?}: {}", said.err);
    }
}

#[test]
fn check_finds_what_a_run_would() {
    alike(&house(""), 0, "");
    // A path that is a link, below a grant that is none.
    let tree = house("");
    let text = fs::read_to_string(tree.path("dozo.toml")).unwrap();
    symlink("data", tree.path("link")).unwrap();
    let (data, here) = (tree.path("data").display().to_string(), tree.path("").display().to_string());
    let here = here.trim_end_matches('/');
    let linked = text.replace(&format!("paths = [\"{data}\"]"), &format!("paths = [\"{here}/link\"]"));
    fs::write(tree.path("dozo.toml"), linked.replace(&format!("read = [\"{data}\"]"), &format!("read = [\"{here}\"]")))
        .unwrap();
    alike(&tree, 2, "is a symlink to data: write the path that it points to");
    // And one through a link.
    fs::create_dir(tree.path("data/deep")).unwrap();
    fs::write(tree.path("data/deep/file"), "x").unwrap();
    let linked = text.replace(&format!("paths = [\"{data}\"]"), &format!("paths = [\"{here}/link/deep\"]"));
    fs::write(tree.path("dozo.toml"), linked.replace(&format!("read = [\"{data}\"]"), &format!("read = [\"{here}\"]")))
        .unwrap();
    let (check, run) = (tree.dozo(&["check", "files"]), tree.dozo(&["run", "files"]));
    assert_eq!(check.code, run.code, "{}\n{}", check.err, run.err);
    assert_ne!(run.code, 0);
    // Nothing where something is expected.
    let empty = house("");
    fs::remove_file(empty.path("data/file")).unwrap();
    alike(&empty, 1, "is empty: is its file system mounted?");
    fs::remove_dir(empty.path("data")).unwrap();
    let (check, run) = (empty.dozo(&["check", "files"]), empty.dozo(&["run", "files"]));
    assert_eq!((check.code, run.code), (1, 1), "{}\n{}", check.err, run.err);
}

#[test]
fn programs_around_a_run_are_looked_at() {
    alike(&house("before = [\"/nonexistent/program x\"]"), 2, "/nonexistent/program");
    alike(&house("before = [\"curl http://x\"]"), 2, "does not begin with the absolute path of a program");
    alike(&house("before = [\"HERE\"]"), 2, "is a directory, not a program");
    let script = house("before = [\"HERE/script\"]");
    fs::write(script.path("script"), "#!/bin/sh\n").unwrap();
    alike(&script, 2, "chmod +x");
    fs::set_permissions(script.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    alike(&script, 0, "");
    // One that comes after is missed before anything is stopped.
    let said = house("after = [\"/nonexistent/program\"]").dozo(&["check", "files"]).expect(2);
    assert!(said.err.contains("/nonexistent/program"), "{}", said.err);
}

#[test]
fn places_that_are_read_instead_are_looked_at() {
    alike(&house("read_at = { \"HEREdata\" = \"HEREnowhere\" }"), 1, "nowhere");
    alike(&house("read_at = { \"/srv\" = \"HEREdata\" }"), 2, "which is not in `grant.read`");
    // What a program makes first is not there yet.
    let made = house("before = [\"/bin/cp -r HEREdata HEREcopy\"]\nread_at = { \"HEREdata\" = \"HEREcopy\" }");
    let said = made.dozo(&["check", "files"]).expect(0);
    assert!(said.out.contains("`before` may make it"), "{}", said.out);
    made.dozo(&["run", "files"]).expect(0);
}

#[test]
fn what_a_run_keeps_on_this_machine_is_looked_at() {
    // A file where a directory is to be: nobody can write there, root neither.
    for (key, fails) in [("cache_dir", true), ("state_dir", false)] {
        let house = house("");
        fs::write(house.path("file"), "").unwrap();
        let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
        fs::write(house.path("dozo.toml"), format!("{key} = \"file/below\"\n{text}")).unwrap();
        let (check, run) = (house.dozo(&["check", "files"]), house.dozo(&["run"]));
        assert_eq!((check.code != 0, run.code), (fails, check.code), "{key}: {}\n{}", check.err, run.err);
        assert!(check.err.contains(&format!("set `{key}`")), "{key}: {}", check.err);
        assert!(run.err.contains(if fails { "set `cache_dir`" } else { "could not remember it" }), "{}", run.err);
    }
}

#[test]
fn mirrors_and_the_owners_key_are_looked_at() {
    let house = house("");
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let here = house.path("").display().to_string();
    let with = |mirror: &str, more: &str| {
        let line =
            format!("key = \"host.key\"\nmirrors = [{{ name = \"nas\", url = \"file://{here}{mirror}\" }}]\n{more}");
        let new = text.replace("key = \"host.key\"", &line);
        assert_ne!(new, text);
        fs::write(house.path("dozo.toml"), new).unwrap();
    };
    fs::create_dir(house.path("nas")).unwrap();
    with("nas", "");
    let said = house.dozo(&["check"]);
    assert_ne!(said.code, 0, "{}", said.out);
    assert!(said.err.contains("the mirror `nas` cannot be used"), "{}", said.err);
    house.dozo(&["check", "files"]).expect(0);
    house.dozo(&["run"]).expect(0);
    house.dozo(&["mirror", "--create"]).expect(0);
    let said = house.dozo(&["check"]).expect(0);
    assert!(said.out.contains("mirror nas: ") && said.out.contains("is one of this repository"), "{}", said.out);
    // Another repository is no mirror.
    let other = House::new();
    fs::rename(house.path("nas"), house.path("old")).unwrap();
    fs::rename(other.path("repository"), house.path("nas")).unwrap();
    let said = house.dozo(&["check"]);
    assert!(said.code != 0 && said.err.contains("the mirror `nas` cannot be used"), "{}", said.err);
    fs::rename(house.path("nas"), house.path("other")).unwrap();
    fs::rename(house.path("old"), house.path("nas")).unwrap();
    with("nas", "identity = \"gone.key\"\n");
    let said = house.dozo(&["check"]).expect(2);
    assert!(said.err.contains("this host could not restore") && said.err.contains("gone.key"), "{}", said.err);
    house.dozo(&["check", "files"]).expect(0);
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once() {
    let house = House::new();
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let repository = "mirrors = [{ name = \"a\", url = \"file:///m\" }, { name = \"a\", url = \"file:///n\" }]\nlimit_upload = \"1MiB\"";
    let text = text.replace("key = \"host.key\"", &format!("key = \"host.key\"\n{repository}"));
    let jobs = "\n[defaults]\nretention = { daily = 7 }\n\
        [job.one]\nplugin = \"filesytem\"\n\
        [job.two]\nplugin = \"filesystem\"\nconfig = { pats = [] }\nbefore = [\"curl x\"]\nretention = { within = \"6m\" }\n\
        [job.three]\nplugin = \"filesystem\"\nconfig = { paths = [\"/srv\"] }\n\
        [notify.ops]\nplugin = \"slack-notify\"\njobs = [\"four\"]\n";
    fs::write(house.path("dozo.toml"), text.clone() + jobs).unwrap();
    let said = house.dozo(&["config", "check"]).expect(2);
    for words in [
        "two mirrors have the name `a`",
        "`limit_upload` does not apply to a `file://` store",
        "there is no plugin `filesytem`",
        "did you mean `filesystem`?",
        "`pats` is not a key that the plugin knows",
        "`curl …` does not begin with the absolute path of a program",
        "has a part below the hour",
        "needs more than it is granted",
        "there is no job `four`",
    ] {
        assert!(said.err.contains(words), "no {words:?} in\n{}", said.err);
    }
    assert!(said.err.matches("error: ").count() >= 8 && said.err.contains(" mistakes\n"), "{}", said.err);
    // The line of the unknown plugin is shown.
    assert!(said.err.contains("| plugin = \"filesytem\""), "{}", said.err);

    // The same of the shape of the file.
    let shape = "\n[job.one]\nplugn = \"filesystem\"\nplugin = \"filesystem\"\ntags = 7\nbefroe = []\n\
        [job.two]\nplugin = \"filesystem\"\nretention = { dayly = 7 }\n";
    fs::write(house.path("dozo.toml"), text + shape).unwrap();
    let said = house.dozo(&["config", "check"]).expect(2);
    for words in [
        "`plugn` is not a key",
        "did you mean `plugin`?",
        "this is the number `7`",
        "`befroe` is not",
        "`dayly` is not",
    ] {
        assert!(said.err.contains(words), "no {words:?} in\n{}", said.err);
    }
    assert!(said.err.contains("4 mistakes"), "{}", said.err);
    // Each as JSON, for programs.
    let said = house.dozo(&["config", "check", "--json"]).expect(2);
    assert_eq!(said.out.lines().filter(|line| line.contains("dozo/error/1")).count(), 4, "{}", said.out);
}

#[test]
fn one_slot_is_one_jobs() {
    let house = House::new();
    house.write_secret("password", "s3cr3t-word");
    let job = |name: &str, slot: &str, port: u16| {
        house.configure(&format!(
            "[job.{name}]\nplugin = \"postgres\"\nconfig = {{ mode = \"physical\", url = \"postgres://dozo@127.0.0.1:{port}/postgres\", \
             password = {{ file = \"password\" }}{slot} }}\ngrant = {{ network = [\"127.0.0.1:{port}\"] }}"
        ));
    };
    job("a", "", 5432);
    job("b", "", 5433);
    job("c", ", slot = \"other\"", 5432);
    house.dozo(&["config", "check"]).expect(0);
    job("d", ", slot = \"other\"", 5432);
    let said = house.dozo(&["config", "check"]).expect(2);
    let words = "only one job can use the replication slot `other` of 127.0.0.1:5432, and the job `c` does";
    assert!(said.err.contains(words), "{}", said.err);
    assert!(said.err.contains("hint: let one of them use another: `dozo plugin info postgres`"), "{}", said.err);
    // Neither runs, however it is asked: each would take from the other what the server keeps for it.
    for (job, other) in [("c", "d"), ("d", "c")] {
        for command in ["run", "check"] {
            let said = house.dozo(&[command, job]).expect(2);
            let words = format!("of 127.0.0.1:5432, and the job `{other}` does");
            assert!(said.err.contains(&words), "{command} {job}: {}", said.err);
        }
    }
}

#[test]
fn copies_that_lie_together_are_said_to() {
    let house = House::new();
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::create_dir(house.path("nas")).unwrap();
    let here = house.path("").display().to_string();
    let with = |place: &str| {
        let line = format!("key = \"host.key\"\nmirrors = [{{ name = \"nas\", url = \"file://{here}{place}\" }}]");
        fs::write(house.path("dozo.toml"), text.replace("key = \"host.key\"", &line)).unwrap();
        house.dozo(&["config", "check"])
    };
    let said = with("nas").expect(0);
    assert!(said.err.contains("note: the repository and the mirror `nas` lie on one file system"), "{}", said.err);
    for place in ["repository", "repository/", "repository/nas"] {
        let said = with(place).expect(2);
        assert!(said.err.contains("lies where the repository or another mirror does"), "{place}: {}", said.err);
    }
}

#[test]
fn other_tools_words_lead_to_dozos() {
    let house = House::bare();
    for (line, words) in [
        (&["backup"][..], "`dozo run`"),
        (&["forget"], "`dozo prune`"),
        (&["restore", "files", "--target", "x"], "`--to DIR`"),
        (&["prune", "--dry-run"], "without `--yes`"),
        (&["key", "list"], "`dozo key owners`"),
        (&["run", "--all"], "every job"),
    ] {
        let said = house.dozo(line).expect(2);
        let hint = said.err.lines().last().unwrap_or_default();
        assert!(hint.starts_with("hint: ") && hint.contains(words), "{line:?}: {}", said.err);
        assert!(!said.err.contains("tip:"), "{}", said.err);
    }
}

/// Root in a directory of somebody else's runs nothing that a configuration there names.
#[test]
fn a_configuration_of_another_user_is_not_obeyed_where_it_lies() {
    if !is_root("configurations of other users") {
        return;
    }
    let house = House::new();
    house.configure("[repository.s3]\naccess_key = { command = [\"/bin/touch\", \"owned\"] }");
    let file = house.path("dozo.toml");
    let refused = |words: &str| {
        for command in [&["snapshots"][..], &["run"], &["config", "check"], &["check"], &["plugin", "list"]] {
            let said = house.dozo(command).expect(2);
            assert!(said.err.contains(words), "{command:?}: {}", said.err);
            assert!(said.err.contains("hint: if you trust it, name it: `--config dozo.toml`"), "{}", said.err);
        }
    };
    std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
    refused("belongs to another user (uid 65534");
    std::os::unix::fs::chown(&file, Some(0), None).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    refused("can be written by every user");
    assert!(!house.path("owned").exists());
    let named = house.dozo(&["--config", "dozo.toml", "config", "check"]).expect(2);
    assert!(!named.err.contains("if you trust it"), "{}", named.err);
}

/// A secret that other users can read is one no more, whatever it is for; what to do about it harms no file of another kind.
#[test]
fn a_secret_that_others_can_read_is_refused() {
    let house = House::new();
    house.configure_guest("job", "contract", "{ act = \"note\", password = { file = \"password\" } }", "");
    house.write_secret("password", "hunter2hunter2");
    house.dozo(&["run", "job"]).expect(0);
    let open = |name: &str| {
        fs::set_permissions(house.path(name), PermissionsExt::from_mode(0o644)).unwrap();
    };
    let refused = |arguments: &[&str], file: &str| {
        let said = house.dozo(arguments).expect(2);
        assert!(said.err.contains("is open to other users") && said.err.contains(file), "{}", said.err);
        let hint = said.err.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(hint.starts_with("hint: if the file holds this secret and nothing else: `chmod "), "{}", said.err);
        assert!(!said.err.contains("hunter2"), "{}", said.err);
        hint.split('`').nth(1).unwrap().to_string()
    };
    open("password");
    let chmod = refused(&["check", "job"], "password");
    refused(&["run", "job"], "password");
    assert!(Command::new("sh").args(["-c", &chmod]).current_dir(house.path("")).status().unwrap().success());
    house.dozo(&["run", "job"]).expect(0);
    // Of a store, which is not reached first.
    house.write_secret("key", "hunter2");
    open("key");
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let url = text.lines().find(|line| line.starts_with("url = ")).unwrap();
    let store = "[repository.s3]\naccess_key = { file = \"password\" }\nsecret_key = { file = \"key\" }\n";
    fs::write(house.path("dozo.toml"), text.replace(url, "url = \"s3://b/p\"") + store).unwrap();
    refused(&["run", "job"], "key");
}

/// What a hint says to type, a shell takes for what was meant: of a program, a mirror, a plugin with spaces in their names.
#[test]
fn commands_in_hints_can_be_typed() {
    let house = house("before = [\"'HEREmy program'\"]");
    fs::write(house.path("my program"), "#!/bin/sh\n").unwrap();
    let typed = |line: &str| {
        let path = format!("{}:/usr/bin:/bin", crate::house::binary().parent().unwrap().display());
        let (like, mut shell) = (house.command(), std::process::Command::new("sh"));
        shell.args(["-c", line]).current_dir(house.path(""));
        shell.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", path);
        crate::house::said(shell.output().unwrap())
    };
    let in_ticks = |text: &str, begin: &str| {
        let at = text.find(&format!("`{begin}")).unwrap_or_else(|| panic!("no {begin} in {text}"));
        text[at + 1..].split('`').next().unwrap().to_string()
    };
    let said = house.dozo(&["check", "files"]).expect(2);
    let hint = said.err.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    assert!(hint.starts_with("chmod +x "), "{hint}");
    typed(hint).expect(0);
    house.dozo(&["check", "files"]).expect(0);

    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let mirrors = format!(
        "[repository]\nmirrors = [{{ name = \"my nas\", url = \"file://{}\", expect_every = \"1s\" }}]",
        house.path("nas").display()
    );
    fs::write(house.path("dozo.toml"), text.replacen("[repository]", &mirrors, 1)).unwrap();
    house.dozo(&["run"]).expect(0);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let mirror = in_ticks(&house.dozo(&["status"]).expect(3).out, "dozo mirror");
    typed(&format!("{mirror} --create")).expect(0);
    assert!(house.path("nas/dozo.json").exists());

    fs::copy(crate::house::guests().join("contract.wasm"), house.path("my plugin.wasm")).unwrap();
    house.configure(
        "[job.other]\nplugin = \"./my plugin.wasm\"\nconfig = { act = \"note\", password = { file = \"password\" } }",
    );
    house.write_secret("password", "hunter2hunter2");
    let said = house.dozo(&["run", "other"]).expect(2);
    typed(&in_ticks(&said.err, "dozo plugin add")).expect(0);
    house.dozo(&["run", "other"]).expect(0);
}

/// What somebody else wrote is shown: names of hosts and jobs, notes of plugins, reasons, answers.
#[test]
fn a_terminal_obeys_nobody() {
    let house = House::new();
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let host = "host = \"a\\u001b]0;owned\\u0007\\u009b31m\\u202eb\"\nkey = \"host.key\"";
    fs::write(house.path("dozo.toml"), text.replace("key = \"host.key\"", host)).unwrap();
    house.configure_guest("job", "contract", "{ act = \"note\", password = { file = \"password\" } }", "");
    house.write_secret("password", "hunter2hunter2");
    house.configure_guest("facts", "hostile", "{ act = \"needs-escape\" }", "");
    for command in [
        &["run", "job"][..],
        &["run", "job", "--json"],
        &["snapshots"],
        &["snapshots", "--json"],
        &["status"],
        &["status", "--json"],
        &["check", "facts"],
        &["config", "check"],
        &["key", "hosts"],
    ] {
        let said = house.dozo(command);
        for text in [&said.out, &said.err] {
            let obeyed = text.chars().find(|c| (c.is_control() && *c != '\n' && *c != '\t') || *c == '\u{202e}');
            assert_eq!(obeyed, None, "{command:?}: {text:?}");
        }
    }
    let said = house.dozo(&["run", "job"]).expect(0);
    assert!(said.err.contains("the password is [secret]\\u{1b}[2J"), "{}", said.err);
    // A program reads what was written.
    let snapshot = house.dozo(&["snapshots", "--json"]).expect(0).json();
    assert_eq!(snapshot["snapshot"]["host"]["name"], "a\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}b", "{snapshot}");
}

/// Directories are granted. For a file in `paths`, the one that it is in.
#[test]
fn a_file_is_read_by_the_grant_of_its_directory() {
    let house = house("");
    let (file, data) = (house.path("data/file").display().to_string(), house.path("data").display().to_string());
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let grant = |grant: &str| {
        let job = format!("[job.one]\nplugin = \"filesystem\"\nconfig = {{ paths = [{file:?}] }}\n{grant}\n");
        fs::write(house.path("dozo.toml"), format!("{text}\n{job}")).unwrap();
    };
    let line = format!("grant = {{ read = [{data:?}] }}");
    for command in [&["config", "check"][..], &["run", "one"]] {
        grant("");
        let missing = house.dozo(command).expect(2);
        assert!(missing.err.contains(&line), "{command:?}: {}", missing.err);
        grant(&format!("grant = {{ read = [{file:?}] }}"));
        let wrong = house.dozo(command).expect(2);
        let words = [
            format!("{file} is not a directory, and directories are granted"),
            format!("hint: the one that it is in: {data:?}"),
            "dozo.toml:".into(),
        ];
        assert!(words.iter().all(|word| wrong.err.contains(word)), "{command:?}: {}", wrong.err);
        grant(&line);
        house.dozo(command).expect(0);
    }
}
