//! What a command takes: time, processor, memory, of itself and all that it starts; and what the rest of the machine did
//! meanwhile, which tells whether the figures can be believed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::shell::say;

/// The kernel counts the time of all processors in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);
/// From this share of the machine on, others disturb.
const DISTURBED: f64 = 0.1;
/// How long to wait for others to be done, and how long to look whether they are.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);
/// How often to measure again what was disturbed.
const TRIES: usize = 3;

/// Whether figures do not count, so that nothing waits for others to be done.
static HURRIED: AtomicBool = AtomicBool::new(false);

/// From now on only shows that measuring works.
pub(crate) fn hurry() {
    HURRIED.store(true, Relaxed);
}

/// Whether figures do not count.
pub(crate) fn is_hurried() -> bool {
    HURRIED.load(Relaxed)
}

/// What one command took.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// Until all that it wrote was on disk.
    pub(crate) durable: Duration,
    /// User and system time, children included.
    pub(crate) processor: Duration,
    /// Of this, what the kernel took.
    pub(crate) system: Duration,
    /// Memory of the largest process.
    pub(crate) memory_bytes: u64,
    /// The share of the machine that others took, the kernel's own threads among them.
    pub(crate) elsewhere: f64,
}

impl Cost {
    /// Whether something else was at work.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.elsewhere > DISTURBED
    }

    /// Memory in the unit of tables.
    pub(crate) fn mebibytes(&self) -> f64 {
        self.memory_bytes as f64 / f64::from(1 << 20)
    }

    /// One line about it.
    pub(crate) fn shown(&self) -> String {
        let (wall, processor) = (self.wall.as_secs_f64(), self.processor.as_secs_f64());
        let others = if self.is_disturbed() {
            format!(", DISTURBED: others took {:.0} % of the machine", self.elsewhere * 100.0)
        } else {
            String::new()
        };
        let (durable, system) = (self.durable.as_secs_f64(), self.system.as_secs_f64());
        let memory = self.memory_bytes >> 20;
        format!(
            "{wall:.2} s ({durable:.2} s until on disk), CPU {processor:.2} s ({system:.2} s system), {memory} MiB{others}"
        )
    }
}

/// Runs a command that writes below `place`, with its output in `log`. What earlier commands wrote is on disk before it
/// begins.
pub(crate) fn measure(command: &Command, place: &Path, log: &Path) -> Result<Cost> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let report = log.with_extension("cost");
    let mut alone = Command::new(std::env::current_exe()?);
    alone.arg("measure").arg(&report).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => alone.env(name, value),
            None => alone.env_remove(name),
        };
    }
    alone.current_dir(command.get_current_dir().unwrap_or(place));
    let output = File::create(log).with_context(|| format!("write {}", log.display()))?;
    alone.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);

    let disk = File::open(place)?;
    nix::unistd::syncfs(&disk)?;
    wait_for_quiet()?;
    let (busy, began) = (busy()?, Instant::now());
    let status = alone.status().with_context(|| format!("start {shown}"))?;
    let (ended, busy) = (began.elapsed(), self::busy()?.saturating_sub(busy));
    nix::unistd::syncfs(&disk)?;
    let durable = began.elapsed();
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let end: Vec<&str> = text.lines().rev().take(20).collect();
        bail!("{shown}: {status}\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    let text = fs::read_to_string(&report).with_context(|| format!("read {}", report.display()))?;
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [wall, user, system, memory_bytes] = numbers[..] else { bail!("{} holds no figures", report.display()) };
    let [wall, user, system] = [wall, user, system].map(Duration::from_micros);
    let processor = user + system;
    let elsewhere = busy.saturating_sub(processor).as_secs_f64() / (ended.as_secs_f64() * cores() as f64);
    Ok(Cost { wall, durable, processor, system, memory_bytes, elsewhere })
}

/// Measures until nothing disturbs, or patience ends.
pub(crate) fn undisturbed<T>(mut turn: impl FnMut() -> Result<T>, costs: impl Fn(&T) -> Vec<Cost>) -> Result<T> {
    for _ in 1..if HURRIED.load(Relaxed) { 1 } else { TRIES } {
        let took = turn()?;
        if !costs(&took).iter().any(Cost::is_disturbed) {
            return Ok(took);
        }
        say("  once more");
    }
    turn()
}

/// Says under a table how much of it is to be doubted.
pub(crate) fn note_disturbed(costs: impl Iterator<Item = Cost>) {
    let disturbed = costs.filter(Cost::is_disturbed).count();
    if disturbed > 0 {
        say(format!("\nIn {disturbed} steps others took more than a tenth of the machine: see above."));
    }
}

/// Waits while others are at work, but not for ever.
fn wait_for_quiet() -> Result<()> {
    let began = Instant::now();
    while !HURRIED.load(Relaxed) && began.elapsed() < PATIENCE {
        let before = busy()?;
        std::thread::sleep(LOOK);
        let share = (busy()? - before).as_secs_f64() / (LOOK.as_secs_f64() * cores() as f64);
        if share < DISTURBED {
            break;
        }
    }
    Ok(())
}

/// Runs one command and leaves in `report` its wall, user and system time in microseconds and its memory in bytes. The kernel
/// keeps these only for all children of a process together, so this process has one child and ends.
pub(crate) fn alone(report: &Path, command: &[OsString]) -> Result<()> {
    let (program, arguments) = command.split_first().context("there is no command to measure")?;
    let began = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("start {}", program.to_string_lossy()))?;
    let wall = began.elapsed();
    if !status.success() {
        bail!("{}: {status}", program.to_string_lossy());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let (user, system) = (usage.user_time().num_microseconds(), usage.system_time().num_microseconds());
    // Linux counts the largest resident set in KiB.
    fs::write(report, format!("{} {user} {system} {}\n", wall.as_micros(), usage.max_rss() << 10))?;
    Ok(())
}

/// Processors of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How long the machine's processors were busy since it started, in all, for itself and for others on its host.
fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u32> = line.split_whitespace().skip(1).filter_map(|number| number.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else { bail!("/proc/stat is not as expected") };
    Ok(TICK * user + TICK * nice + TICK * system + TICK * irq + TICK * softirq + TICK * steal)
}
