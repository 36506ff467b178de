//! One clock: which time is meant, in which zone, and what becomes of clocks that are wrong.

mod past;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::house::{House, Said, said};

/// A clock that is wrong by so many seconds.
fn wrong_clock() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (source, built) = (
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/clock.c"),
            std::env::temp_dir().join(format!("dozo-clock-{}.so", std::process::id())),
        );
        // What links Rust compiles C.
        let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&built).arg(source).status().unwrap();
        assert!(status.success(), "cc: {status}");
        built
    })
}

/// A house, and how the machine is set on which a command is typed.
struct Machine<'a>(&'a House, &'a str, i64);

impl Machine<'_> {
    fn dozo(&self, arguments: &[&str]) -> Said {
        let Machine(house, zone, offset) = self;
        let mut command = house.command();
        command.env("TZ", zone).args(arguments);
        if *offset != 0 {
            command.env("LD_PRELOAD", wrong_clock()).env("CLOCK_OFFSET", offset.to_string());
        }
        said(command.output().unwrap())
    }

    fn restore(&self, snapshot: &str, to: &str, more: &[&str]) -> Said {
        self.dozo(&[&["restore", snapshot, "--to", to, "--identity", "owner.key"], more].concat())
    }

    fn snapshots(&self) -> Vec<serde_json::Value> {
        let out = self.dozo(&["snapshots", "--json"]).expect(0).out;
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A house with a job `files` over a directory with one file.
fn files() -> House {
    let house = House::new();
    fs::create_dir(house.path("src")).unwrap();
    fs::write(house.path("src/f"), "first").unwrap();
    house.configure_files("files", "src");
    house
}

/// Whether a text has times that are not as they are shown: RFC 3339, or with a fraction of a second.
fn has_other_times(text: &str) -> bool {
    let is_time = |word: &str| word.len() >= 8 && word.as_bytes()[2] == b':' && word.as_bytes()[5] == b':';
    text.split_whitespace().any(|word| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_rfc = word.len() >= 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
        is_rfc || is_time(word) && word.contains('.')
    })
}

/// Where a file of `src` is restored.
fn restored(house: &House, to: &str) -> PathBuf {
    house.path(to).join(house.path("src").strip_prefix("/").unwrap())
}

fn short(snapshot: &serde_json::Value) -> &str {
    &snapshot["id"].as_str().unwrap()[..8]
}

/// The time of a snapshot as `dozo snapshots` shows it.
fn shown(machine: &Machine<'_>, id: &str) -> String {
    let out = machine.dozo(&["snapshots"]).expect(0).out;
    let line = out.lines().find(|line| line.starts_with(id)).unwrap();
    line[10..36].trim().to_string()
}

/// A job of the tests' guest whose snapshot recovers to anything in a window of time.
fn window(from: &str, until: &str, more: &str) -> House {
    let house = House::new();
    set_act(&house, &format!("window {from} {until}"), more);
    house
}

fn set_act(house: &House, act: &str, more: &str) {
    let file = house.path("dozo.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.split("\n[job.").next().unwrap()).unwrap();
    house.write_secret("password", "hunter2hunter2");
    fs::write(house.path("file"), "x").unwrap();
    let granted = house.path(".").canonicalize().unwrap();
    let config =
        format!("{{ act = {act:?}, file = \"{}/file\", password = {{ file = \"password\" }} }}", granted.display());
    let more = format!("grant = {{ read = [\"{}\"] }}\nlimits = {{ stall = \"2s\" }}\n{more}", granted.display());
    house.configure_guest("job", "contract", &config, &more);
}

#[test]
fn a_time_is_shown_in_the_zone_of_its_job_on_every_machine() {
    let house = files();
    let (tokyo, utc) = (Machine(&house, "Asia/Tokyo", 0), Machine(&house, "UTC", 0));
    tokyo.dozo(&["run"]).expect(0);
    let snapshot = &utc.snapshots()[0];
    assert_eq!(snapshot["snapshot"]["timezone"], "Asia/Tokyo");
    assert!(snapshot["snapshot"]["started"].as_str().unwrap().ends_with('Z'), "{snapshot}");
    let time = shown(&utc, short(snapshot));
    assert!(time.len() == 26 && time.ends_with(" +09:00"), "{time}");
    for machine in [&tokyo, &utc] {
        for command in [
            &["snapshots"][..],
            &["status"],
            &["ls", "files", "-l", "-r"],
            &["hold", "files", "--why", "a reason"],
            &["prune", "--all"],
        ] {
            let out = machine.dozo(command).out;
            assert!(out.contains(" +09:00") && !out.contains("+00:00"), "{command:?} in {}: {out}", machine.1);
            assert!(!has_other_times(&out), "{command:?} in {}: {out}", machine.1);
        }
        let to = format!("back-{}", machine.1.len());
        let out = machine.restore("files", &to, &[]).expect(0).out;
        assert!(out.contains(&format!("of {time} restored into")), "{out}");
    }
    // What the configuration says counts more, for this host's jobs.
    house.configure("timezone = \"America/St_Johns\"");
    let time = shown(&utc, short(snapshot));
    assert!(time.ends_with(" -03:30") || time.ends_with(" -02:30"), "{time}");
    tokyo.dozo(&["run"]).expect(0);
    assert_eq!(utc.snapshots()[1]["snapshot"]["timezone"], "America/St_Johns");
    // A zone that has no name is kept as an offset.
    house.dozo(&["config", "check"]).expect(0);
    let unnamed = files();
    Machine(&unnamed, "XYZ-5:45", 0).dozo(&["run"]).expect(0);
    let utc = Machine(&unnamed, "UTC", 0);
    assert_eq!(utc.snapshots()[0]["snapshot"]["timezone"], "+05:45");
    assert!(shown(&utc, short(&utc.snapshots()[0])).ends_with(" +05:45"));
}

#[test]
fn what_a_list_shows_finds_the_snapshot_everywhere_and_without_its_zone_at_home() {
    let house = files();
    let (tokyo, utc) = (Machine(&house, "Asia/Tokyo", 0), Machine(&house, "UTC", 0));
    tokyo.dozo(&["run"]).expect(0);
    std::thread::sleep(Duration::from_millis(1_100));
    fs::write(house.path("src/g"), "second").unwrap();
    tokyo.dozo(&["run"]).expect(0);
    let ids: Vec<String> = utc.snapshots().iter().map(|snapshot| short(snapshot).to_string()).collect();
    for (id, entries) in ids.iter().zip([1, 2]) {
        let time = shown(&utc, id);
        let bare = time.strip_suffix(" +09:00").unwrap();
        for (machine, typed) in [
            (&utc, time.clone()),
            (&tokyo, time.clone()),
            (&tokyo, bare.to_string()),
            (&utc, format!("{bare} Asia/Tokyo")),
        ] {
            let named = format!("files@{typed}");
            let found = machine.dozo(&["ls", &named, "-r", "--json"]).expect(0);
            let files = found.out.lines().filter(|line| line.contains("\"file\"")).count();
            assert_eq!(files, entries, "{typed}: {}", found.out);
            assert!(found.err.contains(&format!("{id} of {time} is the newest up to {time}")), "{}", found.err);
            assert!(found.err.contains("(Asia/Tokyo), which is ") && found.err.contains(" UTC"), "{}", found.err);
        }
    }
    // On a machine of another zone the first of both is another snapshot in each reading.
    let time = shown(&utc, &ids[0]);
    let bare = time.strip_suffix(" +09:00").unwrap();
    let refused = utc.restore(&format!("files@{bare}"), "refused", &[]).expect(2);
    assert!(
        refused.err.contains("one time in Asia/Tokyo, the job's, and another in UTC, this machine's"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains(&format!("hint: write the one that is meant: `{bare} Asia/Tokyo` is")),
        "{}",
        refused.err
    );
    assert!(refused.err.contains(&format!("`{bare} UTC` is {bare} +00:00")), "{}", refused.err);
    assert!(!house.path("refused").exists());
    utc.restore(&format!("files@{bare} Asia/Tokyo"), "tokyo", &[]).expect(0);
    assert!(!restored(&house, "tokyo").join("g").exists());
    // What finds the same in both readings is no question: nobody means a time before 1970.
    utc.dozo(&["ls", "files@2999-01-01"]).expect(0);
    let none = utc.dozo(&["ls", "files@1969-12-31 23:59"]).expect(2);
    assert!(none.err.contains("no snapshot of the job `files` up to 1969-12-31 23:59:59 +09:00"), "{}", none.err);
    for (typed, why) in
        [("2026-11-31", "is not a time"), ("2026-11-30 JST", "`JST` is not a time zone"), ("", "is not a time")]
    {
        let refused = utc.dozo(&["ls", &format!("files@{typed}")]).expect(2);
        assert!(refused.err.contains(why) && refused.err.contains("hint: "), "{typed}: {}", refused.err);
    }
    let refused = utc.dozo(&["ls", "fils@yesterday"]).expect(2);
    assert!(refused.err.contains("there is no snapshot of a job `fils`"), "{}", refused.err);
}

/// P5: a history of eight hours in New York, no `timezone`; the time that was typed was read as UTC.
#[test]
fn a_moment_without_a_zone_is_of_the_job_or_it_is_asked_for() {
    let house = window("2026-11-30T17:00:00Z", "2026-12-01T01:00:00Z", "");
    let (york, utc) = (Machine(&house, "America/New_York", 0), Machine(&house, "UTC", 0));
    york.dozo(&["run"]).expect(0);
    set_act(&house, "moment", "");
    let moment = |to: &str| fs::read_to_string(house.path(to).join("moment")).unwrap();
    let bare = ["--option", "act=moment", "--at", "2026-11-30 19:47:52"];
    let done = york.restore("job", "york", &bare).expect(0);
    assert_eq!(moment("york"), "Moment::Time(\"2026-12-01T00:47:52Z\")");
    let said = "recovering to 2026-11-30 19:47:52 -05:00 (America/New_York), which is 2026-12-01 00:47:52 UTC";
    assert!(done.err.contains(said), "{}", done.err);
    assert!(done.out.contains(", for recovery to 2026-11-30 19:47:52 -05:00"), "{}", done.out);
    // The same line of the runbook on a machine that runs in UTC, as most servers do: both readings lie in the window.
    let refused = utc.restore("job", "utc", &bare).expect(2);
    for reading in [
        "`2026-11-30 19:47:52 America/New_York` is 2026-11-30 19:47:52 -05:00 (America/New_York), which is 2026-12-01 00:47:52 UTC",
        "`2026-11-30 19:47:52 UTC` is 2026-11-30 19:47:52 +00:00 (UTC)",
    ] {
        assert!(refused.err.contains(reading), "{}", refused.err);
    }
    assert!(!house.path("utc").exists());
    for (number, (at, expected)) in [
        ("2026-11-30 19:47:52 America/New_York", "2026-12-01T00:47:52Z"),
        ("2026-11-30 19:47:52 UTC", "2026-11-30T19:47:52Z"),
        ("2026-11-30 19:47:52.25 -05:00", "2026-12-01T00:47:52.25Z"),
        ("2026-12-01 09:47 +09:00", "2026-12-01T00:47:00Z"),
        ("2026-12-01T00:47:52Z", "2026-12-01T00:47:52Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("utc-{number}");
        utc.restore("job", &to, &["--option", "act=moment", "--at", at]).expect(0);
        assert_eq!(moment(&to), format!("Moment::Time({expected:?})"), "{at}");
    }
    // A zone of another name with the same clocks is no other reading.
    Machine(&house, "America/Toronto", 0).restore("job", "toronto", &bare).expect(0);
    assert_eq!(moment("toronto"), "Moment::Time(\"2026-12-01T00:47:52Z\")");
}

/// P11: taken for the name of a restore point, or refused as one.
#[test]
fn times_as_people_write_them_are_never_names() {
    let clock = |ago: u64| {
        let at = SystemTime::now() - Duration::from_secs(ago);
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let date =
            Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
        String::from_utf8(date.stdout).unwrap().trim().to_string()
    };
    let house = window(&clock(3 * 86_400), "2999-01-01T00:00:00Z", "");
    let utc = Machine(&house, "UTC", 0);
    utc.dozo(&["run"]).expect(0);
    set_act(&house, "moment", "");
    for (number, at) in
        ["now", "5 minutes ago", "2 hours 30 minutes ago", "yesterday 14:00", "today", "yesterday"].iter().enumerate()
    {
        let to = format!("out-{number}");
        utc.restore("job", &to, &["--option", "act=moment", "--at", at]).expect(0);
        let moment = fs::read_to_string(house.path(&to).join("moment")).unwrap();
        assert!(moment.starts_with("Moment::Time(\"20"), "{at}: {moment}");
    }
    let minutes = fs::read_to_string(house.path("out-1/moment")).unwrap();
    let (from, until) = (clock(600), clock(240));
    assert!((from.as_str()..until.as_str()).contains(&&minutes[14..34]), "{minutes} is not between {from} and {until}");
    for (at, why) in [
        ("2026-11-30 19:47:52 EST", "`EST` is not a time zone: letters such as EST or JST stand for several"),
        ("2026-11-30 19:47:52 JST", "`2026-11-30 19:47:52 +09:00`"),
        ("2026-11-30 19:47:52 America/New_Yrok", "`America/New_Yrok` is not a time zone"),
        ("tomorrow", "`tomorrow` is not a time"),
        ("25:00", "`25:00` is not a time"),
        ("five minutes ago", "is not a time"),
        ("last monday", "is not a time"),
        ("20261130", "is not a time"),
    ] {
        let refused = utc.restore("job", "refused", &["--at", at]).expect(2).err;
        assert!(refused.contains(why) && refused.contains(&format!("`name:{at}`")), "{at}: {refused}");
        assert!(!refused.contains("the name `"), "{at}: {refused}");
    }
    // Who wants the name can have it.
    let refused = utc.restore("job", "refused", &["--at", "name:now"]).expect(2).err;
    assert!(refused.contains("cannot be recovered to the name `now`"), "{refused}");
    assert!(!house.path("refused").exists());
}

/// A runbook says `--at 09:50`, and so does whoever is in a hurry.
#[test]
fn a_time_of_day_alone_is_today_and_not_to_come() {
    let house = window("2000-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "");
    Machine(&house, "UTC", 0).dozo(&["run"]).expect(0);
    set_act(&house, "moment", "");
    // A machine on which it is noon, whenever this runs.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let noon = Machine(&house, "UTC", ((36 * 3_600 - now % 86_400) % 86_400) as i64);
    for (at, expected) in [("09:50", "T09:50:00Z"), ("11:59:30", "T11:59:30Z"), ("00:00 UTC", "T00:00:00Z")] {
        let to = format!("out-{}", at.len());
        let done = noon.restore("job", &to, &["--option", "act=moment", "--at", at]).expect(0);
        let moment = fs::read_to_string(house.path(&to).join("moment")).unwrap();
        assert!(moment.contains(expected), "{at}: {moment}");
        assert!(done.err.contains(&format!("recovering to {}", &moment[14..24])), "{}", done.err);
    }
    let refused = noon.restore("job", "refused", &["--at", "22:01"]).expect(2).err;
    assert!(refused.contains("`22:01` is today, and yet to come: in UTC it is 12:0"), "{refused}");
    assert!(refused.contains("hint: with its day: `yesterday 22:01`"), "{refused}");
    assert!(!house.path("refused").exists());
}

#[test]
fn a_source_without_a_log_goes_back_to_its_snapshots_alone() {
    let house = files();
    let utc = Machine(&house, "UTC", 0);
    utc.dozo(&["run"]).expect(0);
    let refused = utc.restore("files", "back", &["--at", "yesterday 09:50"]);
    assert_ne!(refused.code, 0);
    let words = ["the job `files` recovers only to its snapshots", "`files@TIME` instead of `--at TIME`"];
    assert!(words.iter().all(|word| refused.err.contains(word)), "{}", refused.err);
    assert!(!house.path("back").exists());
}

/// At a terminal, the operator is asked.
#[test]
fn who_sits_at_a_terminal_is_asked_which_time_is_meant() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("SKIPPED: who_sits_at_a_terminal_is_asked_which_time_is_meant needs the program `script`");
        return;
    }
    let house = window("2026-11-30T17:00:00Z", "2026-12-01T01:00:00Z", "");
    Machine(&house, "America/New_York", 0).dozo(&["run"]).expect(0);
    set_act(&house, "moment", "");
    for (answer, expected) in
        [("1", Some("2026-12-01T00:47:52Z")), ("2", Some("2026-11-30T19:47:52Z")), ("3", None), ("", None)]
    {
        let to = format!("out-{answer}");
        let line = format!(
            "{} restore job --to {to} --identity owner.key --option act=moment --at '2026-11-30 19:47:52'",
            crate::house::binary().display()
        );
        let mut command = Command::new("script");
        let house_of = house.command();
        let environment = house_of.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.args(["-q", "-e", "-c", &line, "/dev/null"]).envs(environment).current_dir(house.path("."));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{answer}\n").as_bytes()).unwrap();
        let said = said(child.wait_with_output().unwrap());
        assert!(said.out.contains("`2026-11-30 19:47:52` has no zone, and is two times:"), "{}", said.out);
        let moment = fs::read_to_string(house.path(&to).join("moment")).ok();
        assert_eq!(moment, expected.map(|time| format!("Moment::Time({time:?})")), "{}", said.out);
        assert_eq!(said.code, if expected.is_some() { 0 } else { 2 }, "{}", said.out);
    }
}

/// F14: after a run with a clock that is two years ahead, that snapshot was the newest for ever.
#[test]
fn a_snapshot_of_the_future_is_said_to_be_one_and_is_nobodys_newest() {
    let house = files();
    house.dozo(&["key", "test", "--identity", "owner.key"]).expect(0);
    let utc = Machine(&house, "UTC", 0);
    utc.dozo(&["run"]).expect(0);
    let status = utc.dozo(&["status"]).expect(0).out;
    assert!(status.contains("under 1 min") && !status.contains(" ms"), "{status}");

    fs::write(house.path("src/f"), "from the future").unwrap();
    let run = Machine(&house, "UTC", 2 * 365 * 86_400).dozo(&["run"]).expect(0);
    assert!(
        run.err.contains("note: this machine's clock is 175") && run.err.contains("ahead of the store's: set it (NTP)"),
        "{}",
        run.err
    );
    let ids: Vec<String> = utc.snapshots().iter().map(|snapshot| short(snapshot).to_string()).collect();
    let futures: Vec<_> = utc.snapshots().iter().map(|snapshot| snapshot["future"].clone()).collect();
    assert_eq!(futures, [false, true]);
    let list = utc.dozo(&["snapshots"]).expect(0).out;
    assert_eq!(list.matches("in the future (clock?)").count(), 1, "{list}");
    let status = utc.dozo(&["status"]).expect(3).out;
    assert!(status.contains("1 in the future (clock?)") && status.contains("under 1 min"), "{status}");
    assert!(status.contains(&format!("alert: files: the last snapshot, {} of ", ids[1])), "{status}");
    let findings = utc.dozo(&["status", "--json"]).expect(3).json()["findings"].clone();
    assert_eq!((findings.as_array().unwrap().len(), &findings[0]["kind"]), (1, &"future".into()), "{findings}");
    let row: serde_json::Value = utc.dozo(&["status", "--json"]).out.lines().next().unwrap().parse().unwrap();
    assert_eq!((&row["last"], &row["future"]), (&utc.snapshots()[0]["snapshot"]["started"], &1.into()));
    assert!(utc.dozo(&["prune", "--all"]).expect(0).out.contains("its time is in the future (clock?)"));

    for (named, content) in
        [("files", "first"), ("files@2999-01-01", "first"), ("files@now", "first"), (&ids[1], "from the future")]
    {
        let to = format!("back-{}", named.len());
        let done = utc.restore(named, &to, &[]).expect(0);
        assert_eq!(fs::read_to_string(restored(&house, &to).join("f")).unwrap(), content, "{named}");
        let note = format!("note: {} of ", ids[1]);
        assert_eq!(done.err.contains(&note), content == "first", "{named}: {}", done.err);
    }
    // The store's clock was ahead as well: then it is still later than now.
    let object = format!("-{}", utc.snapshots()[1]["id"].as_str().unwrap());
    let find =
        Command::new("find").arg(house.path("repository/snapshots")).arg("-name").arg(format!("*{object}")).output();
    let object = PathBuf::from(String::from_utf8(find.unwrap().stdout).unwrap().trim());
    let ahead = SystemTime::now() + Duration::from_secs(2 * 365 * 86_400);
    fs::File::open(&object).unwrap().set_modified(ahead).unwrap();
    assert_eq!(utc.dozo(&["snapshots"]).expect(0).out.matches("in the future (clock?)").count(), 1);
    assert!(utc.dozo(&["prune", "--all"]).expect(0).out.contains("its time is in the future (clock?)"));

    // The next run builds on it, says what it saw, and is the newest.
    fs::write(house.path("src/f"), "third").unwrap();
    let run = utc.dozo(&["run", "--json"]).expect(0);
    assert_eq!(run.json()["previous"], utc.snapshots().iter().find(|s| s["future"] == true).unwrap()["id"]);
    assert!(run.err.contains("note: the snapshot before this one is of 202"), "{}", run.err);
    utc.dozo(&["status"]).expect(0);
    utc.restore("files", "third", &[]).expect(0);
    assert_eq!(fs::read_to_string(restored(&house, "third").join("f")).unwrap(), "third");
    assert!(!utc.dozo(&["run"]).expect(0).err.contains("note: "));
}

#[test]
fn clocks_that_are_behind_are_noted_and_a_job_of_the_future_alone_says_what_to_do() {
    let house = files();
    let behind = Machine(&house, "UTC", -2 * 86_400 - 30);
    let run = behind.dozo(&["run"]).expect(0);
    assert!(
        run.err.contains("note: this machine's clock is 48 h 0 min behind the store's: set it (NTP)"),
        "{}",
        run.err
    );
    // This machine's clock is wrong, and all that is in the repository is later.
    let early = Machine(&house, "UTC", -40 * 365 * 86_400);
    let id = short(&early.snapshots()[0]).to_string();
    let refused = early.restore("files", "refused", &[]).expect(2).err;
    assert!(refused.contains(&format!("every snapshot of `files` is in the future (clock?): {id} of ")), "{refused}");
    assert!(
        refused.contains(&format!("hint: set this machine's clock if it is wrong; `{id}` instead of `files`")),
        "{refused}"
    );
    early.restore(&id, "back", &[]).expect(0);
    assert_eq!(early.dozo(&["status", "--json"]).expect(3).json()["findings"][0]["kind"], "future");
}

/// A moment that only a snapshot of the future covers is had from it, and said.
#[test]
fn a_snapshot_of_the_future_is_asked_last_for_a_moment() {
    let house = window("2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z", "");
    let utc = Machine(&house, "UTC", 0);
    utc.dozo(&["run"]).expect(0);
    set_act(&house, "window 2026-11-21T00:00:00Z 2026-11-23T00:00:00Z", "");
    Machine(&house, "UTC", 7_200).dozo(&["run"]).expect(0);
    set_act(&house, "moment", "");
    for (at, window, is_noted) in
        [("2026-11-21 12:00", "window 2026-11-20", false), ("2026-11-22 12:00", "window 2026-11-21", true)]
    {
        let to = format!("out-{is_noted}");
        let done = utc.restore("job", &to, &["--option", "act=moment", "--at", at]).expect(0);
        let found = fs::read_to_string(house.path(&to).join("window")).unwrap();
        assert!(found.starts_with(window), "{at}: {found}");
        assert_eq!(done.err.contains("is in the future (clock?)"), is_noted, "{}", done.err);
    }
}

/// F22: a second and a half before 1970 was written `-2.500000000`.
#[test]
fn times_before_1970_are_shown_as_they_are_and_come_back() {
    let house = files();
    let before = [
        (1_500_000_000u64, "-1.500000000", "1969-12-31 23:59:58"),
        (1, "-0.000000001", "1969-12-31 23:59:59"),
        (250_000_000, "-0.250000000", "1969-12-31 23:59:59"),
        (86_400_000_000_000, "-86400.000000000", "1969-12-31 00:00:00"),
    ];
    for (nanoseconds, name, _) in before {
        fs::write(house.path("src").join(name), name).unwrap();
        let time = SystemTime::UNIX_EPOCH - Duration::from_nanos(nanoseconds);
        fs::File::open(house.path("src").join(name)).unwrap().set_modified(time).unwrap();
    }
    house.dozo(&["run"]).expect(0);
    let json = house.dozo(&["ls", "files", "-r", "--json"]).expect(0).out;
    let long = house.dozo(&["ls", "files", "-r", "-l"]).expect(0).out;
    house.restore("files", "back", &[]).expect(0);
    for (_, name, shown) in before {
        let entry = json.lines().map(|line| line.parse::<serde_json::Value>().unwrap());
        let entry = entry.into_iter().find(|entry| entry["path"].as_str().unwrap().ends_with(name)).unwrap();
        assert_eq!(entry["modified"], name);
        let line = long.lines().find(|line| line.ends_with(name)).unwrap();
        assert!(line.contains(&format!(" {shown} +00:00 ")), "{line}");
        let time = |path: PathBuf| fs::metadata(path).map(|meta| (meta.mtime(), meta.mtime_nsec())).unwrap();
        assert_eq!(time(restored(&house, "back").join(name)), time(house.path("src").join(name)), "{name}");
    }
}
