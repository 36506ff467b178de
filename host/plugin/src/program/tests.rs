use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dozo_job::port::Plain;
use dozo_job::{Error, Kind};

use super::*;
use crate::limits::Limits;
use crate::redact::Secrets;
use crate::state::{Life, Names};
use crate::stderr::Tail;
use crate::unfinished::Unfinished;

const STALL: Duration = Duration::from_millis(700);

fn lines() -> Lines {
    Lines {
        names: Arc::new(Names { job: "job".into(), plugin: "plugin".into() }),
        life: Arc::new(Life::default()),
        limits: Limits { stall: STALL, ..Limits::default() },
        secrets: Secrets::new(["hunter2hunter2".into()]),
        tail: Tail::default(),
    }
}

/// A shell in the program's place, without the launcher: that is tried in tests/it/programs.rs.
fn sh(script: &str) -> Child {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Child::start("/bin/sh", command, lines(), Unfinished::default()).unwrap()
}

/// All that it prints, or how that ended.
fn printed(child: &mut Child) -> Result<String> {
    let mut text = String::new();
    match child.output()?.0.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Error::io("read the content", error)),
    }
}

fn allowed(commands: &[&str]) -> Programs {
    let grants = commands.iter().map(|command| ProgramGrant { command: (*command).into(), ..ProgramGrant::default() });
    Programs::new(grants.collect()).unwrap().through("/proc/self/exe")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).into()).collect()
}

#[test]
fn what_is_not_granted_is_refused_with_the_line_to_add() {
    let programs = allowed(&["/bin/cat /etc/hosts", "/bin/cat --number *"]);
    for (name, arguments, what) in [
        ("/bin/ls", &["-l"][..], "the program `/bin/ls` is not granted"),
        ("/bin/cat", &["--number", "-x y"], "the argument `-x y` of `/bin/cat` is not granted"),
        ("/bin/cat", &["/etc/passwd"], "the argument `/etc/passwd` of `/bin/cat` is not granted"),
        ("/bin/cat", &["--number"], "`/bin/cat` is granted with more arguments only"),
        ("cat", &["/etc/hosts"], "the program `cat` is not granted"),
    ] {
        let error = programs.command(name, words(arguments), vec![]).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotGranted, what));
        let line = shlex::Quoter::new().join([&[name], arguments].concat()).unwrap();
        assert_eq!(error.hint(), Some(format!("grant = {{ programs = [{line:?}] }}").as_str()));
        // The hint is true.
        assert!(name == "cat" || Pattern::parse(&line).unwrap().fits(Path::new(name), &words(arguments)) == Fit::Whole);
    }
    programs.command("/bin/cat", words(&["/etc/hosts"]), vec![]).unwrap();
}

#[test]
fn the_environment_brings_no_code_along() {
    let programs = allowed(&["/bin/cat"]);
    for variable in ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "BASH_ENV", "ENV", "GCONV_PATH"] {
        let error = programs.command("/bin/cat", vec![], vec![(variable.into(), "/tmp".into())]).unwrap_err();
        assert_eq!(error.kind(), Kind::NotGranted, "{error}");
        assert!(error.to_string().contains(variable), "{error}");
    }
    for variable in ["", "A=B"] {
        let error = programs.command("/bin/cat", vec![], vec![(variable.into(), "x".into())]).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
    let command = programs.command("/bin/cat", vec![], vec![("PGPASSWORD".into(), "x".into())]).unwrap();
    let names: Vec<_> = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["LANG", "PATH", "PGPASSWORD"]);
}

#[test]
fn nothing_runs_without_a_launcher() {
    let programs = Programs { launcher: None, ..allowed(&["/bin/cat"]) };
    assert_eq!(programs.command("/bin/cat", vec![], vec![]).unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn a_command_line_without_end_is_refused() {
    let programs = allowed(&["/bin/cat **"]);
    for arguments in [vec!["x".repeat(ARGUMENT_BYTES + 1)], vec!["x".repeat(ARGUMENT_BYTES - 1); 5], words(&["a\0b"])] {
        let error = programs.command("/bin/cat", arguments, vec![]).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
}

#[test]
fn what_goes_in_comes_out_whole() {
    let mut child = sh("cat");
    let sent: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut output, _) = child.output().unwrap();
    let expected = sent.clone();
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        output.read_to_end(&mut read).unwrap();
        assert!(read == expected);
    });
    let input = child.take_input().unwrap();
    let (input, given) = give_content(input, Box::new(Plain(std::io::Cursor::new(sent))));
    assert_eq!(given.unwrap(), 8_000_000);
    drop(input);
    reader.join().unwrap();
    assert_eq!(child.waiting()().unwrap(), 0);
}

#[test]
fn a_dump_that_breaks_is_never_a_whole_one() {
    let mut child = sh("echo half a dump; echo 'login with hunter2hunter2 failed' >&2; exit 3");
    let (mut output, _) = child.output().unwrap();
    let mut read = [0; 100];
    assert_eq!(output.read(&mut read).unwrap(), "half a dump\n".len());
    let error = Error::io("read", output.read(&mut read).unwrap_err());
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(
        error.chain(),
        "`sh` ended with exit status 3: its standard error ends with:\nlogin with [secret] failed"
    );
    assert_eq!(child.running.errors(), "login with [secret] failed");
    assert_eq!(child.waiting()().unwrap(), 3);
}

#[test]
fn a_program_that_is_killed_is_told_as_that() {
    let error = printed(&mut sh("echo half; kill -9 $$")).unwrap_err();
    assert!(error.chain().starts_with("`sh` was ended by signal 9"), "{}", error.chain());
}

#[test]
fn full_pipes_on_both_sides_are_no_deadlock() {
    // Prints more than any pipe holds before it reads a byte.
    let mut child = sh("head -c 9000000 /dev/zero; cat");
    let begun = Instant::now();
    let (input, given) = give_content(child.take_input().unwrap(), Box::new(Plain(std::io::repeat(b'x'))));
    let error = given.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("took no input, and nobody read more of its output, for 700 ms"), "{error}");
    assert!(error.hint().unwrap().contains("stall = "));
    assert!(input.is_none() && begun.elapsed() < STALL * 10);
}

#[test]
fn waits_end_when_nothing_moves() {
    for (script, what) in [
        ("exec sleep 60", "printed nothing, and took no input, for 700 ms"),
        ("exec sleep 60 >&-", "closed its output and did not end for 700 ms"),
    ] {
        let begun = Instant::now();
        let error = printed(&mut sh(script)).unwrap_err();
        assert!(error.kind() == Kind::Unavailable && error.to_string().contains(what), "{error}");
        assert!(begun.elapsed() >= STALL && begun.elapsed() < STALL * 10);
    }
    let error = sh("cat").waiting()().unwrap_err();
    assert!(error.to_string().contains("did not end, and its input is open, for 700 ms"), "{error}");
}

#[test]
fn whatever_moves_is_a_sign_of_life() {
    // Longer than the limit in all, and never silent for so long.
    let begun = Instant::now();
    let mut child = sh("for n in 1 2 3 4 5 6 7; do sleep 0.2; echo $n >&2; done; echo done");
    assert_eq!(printed(&mut child).unwrap(), "done\n");
    assert!(begun.elapsed() > STALL * 3 / 2);
}

#[test]
fn a_program_that_ends_early_is_why_its_input_was_refused() {
    let child = &mut sh("echo no such database >&2; exit 1");
    let (_, given) = give_content(child.take_input().unwrap(), Box::new(Plain(std::io::repeat(b'x'))));
    let error = given.unwrap_err().chain();
    assert!(error.contains("`sh` did not take all of its input") && error.contains("no such database"), "{error}");
}

#[test]
fn who_is_let_go_of_is_ended() {
    let child = sh("exec sleep 60");
    let process = child.running.process();
    assert!(process.ended_within(Duration::from_millis(100)).is_none());
    drop(child);
    assert_eq!(process.ended_within(Duration::from_secs(5)), Some(128 + 15));
    // What is still read is not let go of.
    let mut child = sh("sleep 0.3; echo read");
    let (mut output, _) = child.output().unwrap();
    drop(child);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "read\n");
}

#[test]
fn a_program_that_leaves_input_unread_has_not_taken_it() {
    let fed = |script: &str| {
        let mut child = sh(script);
        let (input, given) = give(child.take_input().unwrap(), &[b'x'; 1_000]);
        given.unwrap();
        (child, input)
    };
    for script in ["head -c 5", "exec sleep 0.2"] {
        let (mut child, input) = fed(script);
        drop(input);
        let error = printed(&mut child).unwrap_err().chain();
        assert!(error.contains("ended before it had taken all of its input"), "{script}: {error}");
        // Also where the input was never closed.
        let (child, _input) = fed(script);
        assert!(child.waiting()().is_err(), "{script}");
    }
    let (mut child, input) = fed("sleep 0.1; cat");
    drop(input);
    assert_eq!(printed(&mut child).unwrap().len(), 1_000);
    // One that the plugin wanted to end owes nothing.
    let (child, _input) = fed("exec sleep 60");
    child.running.dismiss();
    assert!(child.waiting()().is_ok());
}

#[test]
fn input_that_breaks_off_is_never_taken_for_all() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(Error::corrupt("the pack is damaged").into())
        }
    }
    let mut child = sh("exec cat");
    let content = b"half of it".as_slice().chain(Broken);
    let (input, given) = give_content(child.take_input().unwrap(), Box::new(Plain(content)));
    assert!(given.is_err());
    drop(input);
    let error = printed(&mut child).unwrap_err().chain();
    assert!(error.contains("the input of `sh` was cut short") && error.contains("the pack is damaged"), "{error}");
}

#[test]
fn no_program_outlives_its_call() {
    let children = Children::default();
    let child = children.start(|| Ok(sh("exec sleep 60"))).unwrap();
    let process = child.running.process();
    // A thread of the host still reads.
    let reader = std::thread::spawn({
        let mut child = child;
        move || printed(&mut child)
    });
    let notes = children.end();
    assert!(process.has_ended());
    assert!(notes.iter().any(|note| note.contains("`sh` still ran when the plugin was done")), "{notes:?}");
    assert_eq!(children.ended_early().as_deref(), Some("sh"), "nobody saw how it ended");
    assert!(reader.join().unwrap().is_err());
    assert!(children.start(|| Ok(sh("exec sleep 60"))).is_err(), "the call is over");
}

#[test]
fn programs_of_one_call_have_a_bound() {
    let children = Children::default();
    let held: Vec<Child> =
        (0..crate::limits::PROGRAMS).map(|_| children.start(|| Ok(sh("exec sleep 60"))).unwrap()).collect();
    assert_eq!(children.start(|| Ok(sh("true"))).err().map(|error| error.kind()), Some(Kind::Invalid));
    held[0].running.dismiss();
    held[0].running.process().ended_within(Duration::from_secs(5)).unwrap();
    children.start(|| Ok(sh("true"))).unwrap();
    children.end();
}

#[test]
fn lines_without_end_are_read_on() {
    let mut child = sh("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2; echo printed");
    assert_eq!(printed(&mut child).unwrap(), "printed\n");
    let errors = child.running.errors();
    assert!(errors.ends_with("last") && errors.len() <= crate::limits::STDERR_BYTES, "{}", errors.len());
}
