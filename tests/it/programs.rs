//! Granted programs: what they are given, what they may use, and that nothing of them is left. The launcher is tried by
//! itself and through a plugin.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::house::{House, Said, binary, said};

/// The launcher's call for a program, as the host makes it.
fn launcher(more: &[&str], program: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["exec-sandboxed", "keep", &std::process::id().to_string()]).args(more).arg("--").args(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

fn launched(more: &[&str], program: &[&str]) -> Said {
    said(launcher(more, program).output().unwrap())
}

/// Whether this kernel can confine a program; a test that needs it says loudly that it does not.
fn has_landlock() -> bool {
    use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let has = ruleset.handle_access(AccessFs::from_all(ABI::V6)).and_then(Ruleset::create).is_ok();
    if !has {
        eprintln!("SKIPPED: this kernel has no Landlock, or an old one");
    }
    has
}

/// A job that runs a command line, which is granted as it is unless `grant` says something else.
fn configure(house: &House, act: &str, run: &[&str], grant: &str) {
    let granted = format!("grant = {{ programs = [{grant:?}] }}\nlimits = {{ stall = \"2s\", wall = \"60s\" }}");
    house.configure_guest("runner", "hostile", &format!("{{ act = {act:?}, run = {run:?} }}"), &granted);
}

fn run(act: &str, run: &[&str], grant: &str) -> (House, Said) {
    let house = House::new();
    configure(&house, act, run, grant);
    let said = house.dozo(&["run", "-v"]);
    (house, said)
}

/// Processes whose command line has this text.
fn processes(marker: &str) -> usize {
    let items = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = items.filter_map(|item| std::fs::read(item.path().join("cmdline")).ok());
    lines.filter(|line| line.windows(marker.len()).any(|part| part == marker.as_bytes())).count()
}

/// A length of sleep that no other process on this machine has.
fn marker(test: u32) -> String {
    format!("{test}{}", 1_000_000 + std::process::id())
}

#[track_caller]
fn nothing_is_left(marker: &str) {
    let begun = Instant::now();
    while processes(marker) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "a program still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_ends_as_the_launcher_ends() {
    let said = launched(&[], &["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]).expect(7);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
    launched(&[], &["/bin/sh", "-c", "kill -TERM $$"]).expect(128 + 15);
    let said = launched(&[], &["/no/such/program"]).expect(126);
    assert!(said.err.contains("dozo: cannot start /no/such/program: No such file"), "{}", said.err);
    let said = launched(&["--read", "/no/such/place"], &["/bin/true"]).expect(126);
    assert!(said.err.contains("its grant names /no/such/place"), "{}", said.err);
}

#[test]
fn a_program_has_no_more_than_it_needs() {
    // The shell's own words alone: what it forks has another number in /proc, which is not its to read.
    let script = "umask; ulimit -c; pwd; \
                  while read -r key value; do test $key = NoNewPrivs: && echo $value; done < /proc/self/status; \
                  read -r pid name state parent group session rest < /proc/self/stat; \
                  test $pid = $session && echo own session; \
                  echo /proc/self/fd/*; cat";
    // Descriptors that whoever started the host left open are not the program's: 7 is one, and stays open across `exec`.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec 7</etc/hosts; exec \"$0\" exec-sandboxed keep $PPID -- /bin/sh -c \"$1\""]);
    command.arg(binary()).arg(script);
    let said = said(command.current_dir("/tmp").stdin(Stdio::null()).output().unwrap()).expect(0);
    // The shell has the directory that it lists open too.
    let fds = "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3";
    assert_eq!(said.out, format!("0077\n0\n/\n1\nown session\n{fds}\n"), "{}", said.err);
}

#[test]
fn a_program_uses_only_the_files_that_it_needs() {
    if !has_landlock() {
        return;
    }
    let house = House::bare();
    for directory in ["read", "write", "other"] {
        std::fs::create_dir(house.path(directory)).unwrap();
        std::fs::write(house.path(directory).join("file"), "secret\n").unwrap();
    }
    let path = |path: &str| house.path(path).display().to_string();
    let (read, write) = (path("read"), path("write"));
    let grants = ["--read", read.as_str(), "--write", write.as_str()];
    for (script, may) in [
        (format!("cat {read}/file"), true),
        (format!("ls {read}"), true),
        (format!("echo x > {read}/file"), false),
        (format!("echo x > {read}/new"), false),
        (format!("rm {read}/file"), false),
        (format!("echo x > {write}/new && cat {write}/new && mkdir {write}/d && mv {write}/new {write}/d/new"), true),
        (format!("cp /bin/true {write}/x && chmod +x {write}/x && {write}/x"), false),
        (format!("cat {}", path("other/file")), false),
        (format!("ls {}", path("other")), false),
        (format!("echo x > {}", path("other/new")), false),
        (format!("ln -s {} {write}/link && cat {write}/link", path("other/file")), false),
        ("cat /etc/shadow".into(), false),
        ("ls /root".into(), false),
        ("cat /proc/1/environ".into(), false),
        ("echo x > /tmp/dozo-escaped".into(), false),
        ("cat /etc/hosts > /dev/null && head -c 3 /dev/urandom | wc -c && date && getent hosts localhost".into(), true),
    ] {
        let said = launched(&grants, &["/bin/sh", "-c", &script]);
        assert_eq!(said.code == 0, may, "{script}: {}{}", said.out, said.err);
        assert!(!said.out.contains("secret") || may, "{script}");
    }
}

#[test]
fn without_landlock_programs_run_and_the_report_says_so() {
    let house = House::new();
    let file = house.path("hidden");
    std::fs::write(&file, "seen\n").unwrap();
    let command = format!("/bin/cat {}", file.display());
    configure(&house, "run", &["/bin/cat", &file.display().to_string()], &command);
    let note = "programs ran without Landlock";
    if has_landlock() {
        let said = house.dozo(&["run", "-v"]).expect(1);
        assert!(said.err.contains("Permission denied") && !said.err.contains(note), "{}", said.err);
    }
    // As on a kernel that has none: the call that makes a ruleset answers that there is no such call.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/without_landlock.py");
    let with = house.command();
    let mut without = Command::new("python3");
    without.arg(script).arg(with.get_program()).args(["run", "--json"]).current_dir(with.get_current_dir().unwrap());
    without.envs(with.get_envs().filter_map(|(variable, value)| Some((variable, value?))));
    let report = said(without.output().unwrap()).expect(0).json();
    assert!(report["notes"].to_string().contains(note), "{report}");
    assert_eq!(house.dozo(&["cat", "runner", "output", "--identity", "owner.key"]).expect(0).out, "seen\n");
}

#[test]
fn a_program_sends_no_signal_outside() {
    if !has_landlock() {
        return;
    }
    let mut other = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let said = launched(&[], &["/bin/sh", "-c", &format!("kill -9 {}; kill -9 $PPID; echo on", other.id())]);
    assert_eq!((said.code, said.out.as_str()), (0, "on\n"), "{}", said.err);
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_program_takes_its_daemons_along() {
    let marker = marker(71);
    // Two forks, a session of its own, its streams closed: what a daemon does.
    let script = format!("(setsid sh -c 'sleep {marker} & sleep {marker}' </dev/null >/dev/null 2>&1 &) ; sleep 0.3");
    // Its output is nobody else's, as the host has it: otherwise that would be waited for.
    let mut child = launcher(&[], &["/bin/sh", "-c", &script]).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while processes(&marker) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the daemon does not run: this test would show nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(processes(&marker), 0);
}

#[test]
fn a_program_is_gone_when_the_host_is() {
    let marker = marker(72);
    let house = House::new();
    let script = format!("echo on; sleep {marker}");
    configure(&house, "run-and-loop", &["/bin/sh", "-c", &script], "/bin/sh -c *");
    let config = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
    std::fs::write(house.path("dozo.toml"), config.replace("stall = \"2s\"", "stall = \"1h\"")).unwrap();
    let mut host = house.command().arg("run").stderr(Stdio::null()).process_group(0).spawn().unwrap();
    let begun = Instant::now();
    while processes(&format!("sleep\0{marker}")) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the program does not run");
        std::thread::sleep(Duration::from_millis(20));
    }
    host.kill().unwrap();
    host.wait().unwrap();
    nothing_is_left(&marker);
}

#[test]
fn a_granted_program_is_given_what_the_call_gave_and_no_more() {
    let house = House::new();
    let config = "{ act = \"run\", run = [\"/usr/bin/env\"], secret = { env = \"SECRET\" } }";
    house.configure_guest("runner", "hostile", config, "grant = { programs = [\"/usr/bin/env\"] }");
    let run = house.command().args(["run", "--json"]).env("SECRET", "hunter2hunter2").output().unwrap();
    let report = said(run).expect(0).json();
    assert_eq!(report["usage"]["programs"], 1, "{report}");
    let printed = house.dozo(&["cat", "runner", "output", "--identity", "owner.key"]).expect(0).out;
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["LANG=C.UTF-8", "PATH=/usr/bin:/bin", "SECRET=hunter2hunter2"]);
    assert_eq!(report["usage"]["received_bytes"], printed.len(), "{report}");
}

#[test]
fn what_a_program_prints_is_backed_up_whole() {
    for act in ["run", "run-streaming"] {
        let script = "for n in 1 2 3; do head -c 7000000 /dev/zero | tr '\\0' x; sleep 0.1; done";
        let (house, said) = run(act, &["/bin/sh", "-c", script], "/bin/sh -c *");
        assert_eq!(said.code, 0, "{act}: {}", said.err);
        let printed = house.dozo(&["cat", "runner", "output", "--identity", "owner.key"]).expect(0).out;
        assert_eq!(printed.len(), 21_000_000);
    }
}

#[test]
fn what_a_program_left_in_the_background_prints_is_not_cut_off() {
    for script in [
        "echo one; (sleep 0.5; echo two) & exit 0",
        "echo one; setsid sh -c 'sleep 0.5; echo two' & exit 0",
        "exec 3>&1; (sleep 0.5; echo one; echo two) >&3 3>&- & exec >&- 3>&-; exit 0",
    ] {
        let (house, said) = run("run", &["/bin/sh", "-c", script], "/bin/sh -c *");
        assert_eq!(said.code, 0, "{script}: {}", said.err);
        let printed = house.dozo(&["cat", "runner", "output", "--identity", "owner.key"]).expect(0).out;
        assert_eq!(printed, "one\ntwo\n", "{script}");
    }
    // But not for ever: `stall` is two seconds here.
    let marker = marker(73);
    let script = format!("echo one; sleep {marker} & exit 0");
    let (house, said) = run("run", &["/bin/sh", "-c", &script], "/bin/sh -c *");
    assert!(said.code == 1 && said.err.contains("`sh` printed nothing"), "{}", said.err);
    assert_eq!((house.snapshots(), processes(&marker)), (0, 0));
}

#[test]
fn a_program_that_breaks_leaves_no_snapshot() {
    // Whatever the plugin makes of it (nfrastack/db-backup#366 kept dumps that had broken off).
    for act in ["run", "run-streaming", "run-ignoring"] {
        let script = "head -c 5000000 /dev/zero; echo 'server closed the connection' >&2; exit 1";
        let (house, said) = run(act, &["/bin/sh", "-c", script], "/bin/sh -c *");
        assert!(said.code != 0 && said.err.contains("`runner` failed"), "{act}: {}", said.err);
        if act != "run-ignoring" {
            assert!(said.err.contains("`sh` ended with exit status 1"), "{act}: {}", said.err);
            assert!(said.err.contains("server closed the connection"), "{act}: {}", said.err);
        }
        assert_eq!(house.snapshots(), 0, "{act}");
    }
}

#[test]
fn a_program_is_seen_to_its_end_or_nothing_is_kept() {
    // Whether what it printed is whole is told at its end alone; what is done before that must not look complete.
    let much = "head -c 5000000 /dev/zero";
    for (act, script, what) in [
        ("run-unseen", "sleep 1; exit 1", "`sh`"),
        ("run-and-return", "echo on; exit 1", "`sh`"),
        ("run-in-part", much, "the output of `sh`"),
        ("run-in-part-and-wait", "head -c 2000 /dev/zero", "the output of `sh`"),
        ("run-stream-in-part", much, "the output of `sh`"),
        ("run-stream", "head -c 5000000 /dev/zero; exit 1", "the output of `sh`"),
        ("run-stream", much, "the output of `sh`"),
    ] {
        let (house, said) = run(act, &["/bin/sh", "-c", script], "/bin/sh -c *");
        let words = format!("it ended well without having seen {what} to its end");
        assert!(said.code == 1 && said.err.contains(&words), "{act}: {}", said.err);
        assert_eq!(house.snapshots(), 0, "{act}");
    }
}

#[test]
fn a_program_that_the_plugin_ends_itself_needs_no_end() {
    let (house, said) = run("run-in-part-and-kill", &["/bin/sh", "-c", "while echo on; do :; done"], "/bin/sh -c *");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(house.snapshots(), 1);
}

#[test]
fn neither_program_nor_argument_runs_that_was_not_granted() {
    let house = House::new();
    let file = house.path("ran").display().to_string();
    for (command, granted, what, line) in [
        (vec!["/usr/bin/touch", &file], "/bin/true **", "the program `/usr/bin/touch` is not granted", "touch"),
        (vec!["/usr/bin/touch", &file], "/usr/bin/touch /other", "the argument `/", "touch"),
        (vec!["/usr/bin/touch", "/other", &file], "/usr/bin/touch /other", "the argument `/", "touch"),
        (vec!["touch", &file], "/usr/bin/touch **", "the program `touch` is not granted", "touch"),
        (vec!["/usr/bin/../bin/touch", &file], "/usr/bin/touch **", "is not granted", "touch"),
    ] {
        let (run, said) = run("run", &command, granted);
        assert!(said.code != 0 && said.err.contains(what), "{}", said.err);
        assert!(said.err.contains("grant = { programs = [\"") && said.err.contains(line), "{}", said.err);
        assert!(!Path::new(&file).exists() && run.snapshots() == 0);
    }
}

#[test]
fn no_program_outlives_its_run() {
    for (n, act) in ["run-and-return", "run-and-loop", "run-and-trap"].into_iter().enumerate() {
        let marker = marker(80 + n as u32);
        let script = format!("echo on; setsid sleep {marker} & sleep {marker}");
        let (_, said) = run(act, &["/bin/sh", "-c", &script], "/bin/sh -c *");
        assert_eq!(said.code, 1, "{act}: {}", said.err);
        assert_eq!(processes(&marker), 0, "{act}");
    }
}

#[test]
fn a_program_that_takes_nothing_is_given_up() {
    let begun = Instant::now();
    let (house, said) = run("run-and-write", &["/bin/sleep", "3600"], "/bin/sleep *");
    assert!(said.err.contains("`sleep` took no input") && said.err.contains("for 2 s"), "{}", said.err);
    assert!(begun.elapsed() < Duration::from_secs(30) && house.snapshots() == 0);
}

#[test]
fn programs_have_a_bound() {
    let (_, said) = run("run-many", &["/bin/sleep", "3600"], "/bin/sleep *");
    assert!(said.code != 0 && said.err.contains("16 programs of this plugin run already"), "{}", said.err);
}

#[test]
fn a_program_tells_no_secret() {
    let house = House::new();
    let run = "[\"/bin/sh\", \"-c\", \"echo the password is $SECRET >&2; exit 1\"]";
    let config = format!("{{ act = \"run\", run = {run}, secret = {{ env = \"SECRET\" }} }}");
    house.configure_guest("leaky", "hostile", &config, "grant = { programs = [\"/bin/sh -c *\"] }");
    let run = house.command().args(["run", "-vv"]).env("SECRET", "hunter2hunter2").output().unwrap();
    let said = said(run);
    assert!(said.code != 0 && !said.err.contains("hunter2") && !said.out.contains("hunter2"), "{}", said.err);
    // In the log, and in the error.
    assert!(said.err.matches("the password is [secret]").count() >= 2, "{}", said.err);
}
