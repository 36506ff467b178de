//! The process between the host and a program: this binary once more, under another name. It exists because nothing that
//! confines a process can be done from outside of it, and what runs between `fork` and `exec` can do it only in unsafe code.
//!
//! It is two processes. The *keeper* is no program's business: it stays as long as the program runs, is where everything
//! ends up that the program leaves behind (a subreaper), and ends all of that when the program has ended and nothing of it can
//! print any more, when the host says so (SIGTERM) and when the host is gone. The other becomes the program: a session of its
//! own, no new privileges, confined ([`confine`](super::confine)), no descriptor but the three, and dead when the keeper is.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Awaited};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::{self, Pid, Resource, Rlimit, Signal, WaitOptions};

use super::confine;
use crate::limits::DYING;

/// The argument that makes this binary the launcher.
const COMMAND: &str = "exec-sandboxed";
const KEEP: &str = "keep";
const BECOME: &str = "become";
/// Exit status of a program that could not be started, as `env` and shells have it.
const NOT_STARTED: u8 = 126;
/// Exit status of a program that was ended: 128 and SIGKILL.
const ENDED: u8 = 128 + 9;
/// How long the keeper waits before it looks again whether anybody can print.
const LISTEN_AGAIN_MILLISECONDS: u8 = 10;
/// How long the keeper waits before it looks again whether everything is dead.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What is to be run, and what of the file system it may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// Does what a call of this binary as the launcher asks for; none if it is no such call. To be asked first in `main`, while
/// the process has one thread.
pub fn launched(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != COMMAND {
        return None;
    }
    let stage = arguments.next().unwrap_or_default();
    let done = read_call(arguments).and_then(|(parent, launch)| {
        let named = |why| format!("cannot start {}: {why}", launch.program.display());
        match stage.to_str() {
            Some(KEEP) => keep(parent, &launch).map_err(named),
            Some(BECOME) => Err(named(turn_into(parent, &launch))),
            _ => Err("the host itself uses this command, to run programs that were granted".into()),
        }
    });
    Some(done.unwrap_or_else(|why| {
        #[allow(clippy::print_stderr, reason = "standard error is the program's, and goes to the host")]
        {
            eprintln!("dozo: {why}");
        }
        ExitCode::from(NOT_STARTED)
    }))
}

impl Launch {
    /// The arguments of this binary that run it.
    pub(super) fn to_keeper(&self) -> Vec<OsString> {
        self.to_arguments(KEEP)
    }

    fn to_arguments(&self, stage: &str) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![COMMAND.into(), stage.into(), std::process::id().to_string().into()];
        for (key, paths) in [("--read", &self.read), ("--write", &self.write)] {
            arguments.extend(paths.iter().flat_map(|path| [key.into(), path.clone().into_os_string()]));
        }
        arguments.extend(["--".into(), self.program.clone().into_os_string()]);
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }
}

/// Reads what [`Launch::to_arguments`] wrote: who calls, and what to run.
fn read_call(mut arguments: impl Iterator<Item = OsString>) -> Result<(Option<Pid>, Launch), String> {
    let parent = arguments.next().and_then(|parent| Pid::from_raw(parent.to_str()?.parse().ok()?));
    let mut launch = Launch::default();
    loop {
        let key = arguments.next().unwrap_or_default();
        let paths = match key.to_str() {
            Some("--read") => &mut launch.read,
            Some("--write") => &mut launch.write,
            Some("--") => break,
            _ => return Err(format!("`{}` is none of the launcher's arguments", OsStr::display(&key))),
        };
        paths.extend(arguments.next().map(PathBuf::from));
    }
    launch.program = arguments.next().unwrap_or_default().into();
    launch.arguments = arguments.collect();
    Ok((parent, launch))
}

/// Runs the program and waits until it has ended, or is to end; then nothing of it is left.
fn keep(parent: Option<Pid>, launch: &Launch) -> Result<ExitCode, String> {
    // Before anything can send one: what waits is asked for below.
    let awaited: SigSet = [Awaited::SIGTERM, Awaited::SIGCHLD].into_iter().collect();
    awaited.thread_block().map_err(|e| format!("block signals: {e}"))?;
    die_with(parent, Signal::TERM)?;
    process::set_child_subreaper(Some(process::getpid())).map_err(|e| format!("become a subreaper: {e}"))?;
    let mut program = Command::new("/proc/self/exe");
    let program = program.args(launch.to_arguments(BECOME)).spawn().map_err(|e| format!("{e}"))?;
    let program = Pid::from_child(&program);
    let output = Output::of_this_process();
    let released = release_streams();
    let status = loop {
        match awaited.wait() {
            Ok(Awaited::SIGCHLD) => {
                if let Some(status) = reap(program) {
                    break if status == 0 && !output.wait(&awaited) { ENDED } else { status };
                }
            }
            _ => break ENDED,
        }
    };
    end_all();
    released.map(|()| ExitCode::from(status)).map_err(|e| format!("let go of its streams: {e}"))
}

/// The pipe that the program prints into, and may have handed to others: held so that it counts neither as read from nor as
/// written to.
struct Output(Option<File>);

impl Output {
    fn of_this_process() -> Self {
        let path = open_as("/proc/self/fd/1", OFlags::PATH).ok();
        Output(path.filter(|file| file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())))
    }

    /// Waits until nobody holds it to write: what the program began in the background prints as it would in a shell, and is
    /// not cut off in the middle. False if everything is to end before. How long nothing may come, the host knows.
    fn wait(&self, awaited: &SigSet) -> bool {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let Ok(signals) = SignalFd::with_flags(awaited, flags) else { return false };
        while self.is_written_to() {
            while let Ok(Some(signal)) = signals.read_signal() {
                if i32::try_from(signal.ssi_signo) == Ok(Awaited::SIGTERM as i32) {
                    return false;
                }
            }
            let _ = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], LISTEN_AGAIN_MILLISECONDS);
        }
        true
    }

    /// Whether anybody could still print. For the moment of the question this process could read it.
    fn is_written_to(&self) -> bool {
        let Some(pipe) = &self.0 else { return false };
        let Ok(reading) = open_as(&format!("/proc/self/fd/{}", pipe.as_raw_fd()), OFlags::NONBLOCK) else {
            return false;
        };
        let mut asked = [PollFd::new(reading.as_fd(), PollFlags::empty())];
        let answered = poll(&mut asked, PollTimeout::ZERO);
        answered.is_ok() && !asked[0].revents().is_some_and(|found| found.contains(PollFlags::POLLHUP))
    }
}

fn open_as(path: &str, flags: OFlags) -> std::io::Result<File> {
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// The program's input and output are its own: whoever holds them here too would keep its end from being seen.
fn release_streams() -> Result<(), std::io::Error> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&nothing)?;
    nix::unistd::dup2_stdout(&nothing)?;
    Ok(())
}

/// Takes note of every process that has died; the program's exit status if it is among them.
fn reap(program: Pid) -> Option<u8> {
    let mut found = None;
    while let Ok(Some((pid, status))) = process::wait(WaitOptions::NOHANG) {
        let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
        if pid == program {
            found = code.map(|code| u8::try_from(code).unwrap_or(u8::MAX));
        }
    }
    found
}

/// Ends every process that descends from this one. Whoever loses its parent becomes this one's child, so killing children
/// until there are none reaches all, daemons too.
fn end_all() {
    let begun = Instant::now();
    while begun.elapsed() < DYING {
        for child in children() {
            let _ = process::kill_process(child, Signal::KILL);
        }
        loop {
            match process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // There are no children any more.
                Err(_) => return,
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The processes whose parent is this one.
fn children() -> Vec<Pid> {
    let me = process::getpid().as_raw_nonzero().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|item| Pid::from_raw(item.ok()?.file_name().to_str()?.parse().ok()?));
    let is_child = |pid: &Pid| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        // After the name, which may hold anything: its state, then its parent.
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(&*me)
    };
    pids.filter(is_child).collect()
}

/// Becomes the program; returns only why it could not.
fn turn_into(parent: Option<Pid>, launch: &Launch) -> String {
    match prepare(parent, launch) {
        // What this process has of the environment is what the program gets: the host put nothing else there.
        Ok(()) => Command::new(&launch.program).args(&launch.arguments).exec().to_string(),
        Err(why) => why,
    }
}

fn prepare(parent: Option<Pid>, launch: &Launch) -> Result<(), String> {
    die_with(parent, Signal::KILL)?;
    SigSet::empty().thread_set_mask().map_err(|e| format!("unblock signals: {e}"))?;
    process::setsid().map_err(|e| format!("begin a session: {e}"))?;
    process::umask(Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Its memory holds what it was called with; no file of that is left behind.
    process::setrlimit(Resource::Core, none).map_err(|e| format!("forbid core dumps: {e}"))?;
    process::chdir("/").map_err(|e| format!("leave the directory: {e}"))?;
    close_descriptors().map_err(|e| format!("close descriptors: {e}"))?;
    nix::sys::prctl::set_no_new_privs().map_err(|e| format!("give up new privileges: {e}"))?;
    confine::confine(&launch.program, &launch.read, &launch.write)
}

/// Has this process get a signal when the one that started it is gone, and makes sure that it is not gone already.
fn die_with(parent: Option<Pid>, signal: Signal) -> Result<(), String> {
    process::set_parent_process_death_signal(Some(signal)).map_err(|e| format!("follow the host: {e}"))?;
    if parent.is_some() && process::getppid() == parent { Ok(()) } else { Err("who started it is gone".into()) }
}

/// Closes all but the three standard descriptors: what this process inherited from whoever started the host. Nothing here
/// owns any of them.
fn close_descriptors() -> Result<(), std::io::Error> {
    let names: Vec<OsString> =
        std::fs::read_dir("/proc/self/fd")?.map(|item| Ok(item?.file_name())).collect::<std::io::Result<_>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // The one by which they were listed is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let launch = Launch {
            read: vec!["/a b".into(), "--".into()],
            write: vec!["/c".into()],
            program: "/bin/x".into(),
            arguments: vec!["--write".into(), "--".into(), "".into()],
        };
        let written = launch.to_keeper();
        assert_eq!(written[..2], ["exec-sandboxed", "keep"]);
        let (parent, read) = read_call(written.into_iter().skip(2)).unwrap();
        assert_eq!((parent, read), (Some(process::getpid()), launch));
    }

    #[test]
    fn other_calls_are_not_the_launchers() {
        for call in [&["dozo"][..], &["dozo", "run"], &["dozo", "run", "exec-sandboxed"]] {
            assert!(launched(call.iter().map(Into::into)).is_none());
        }
    }
}
