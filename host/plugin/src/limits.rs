//! What a plugin may use of the host, with reasons. Everything has a bound; most can be set for each job.

use std::time::Duration;

/// Bounds of one call of a plugin.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory, in bytes, of all its memories together.
    pub memory_bytes: u64,
    /// How long a run or a restore may take.
    pub wall: Duration,
    /// How long it may go without asking anything of the host: one that computes or sleeps this long is stuck.
    pub stall: Duration,
    /// Contents, writers, files, directories and connections that it may hold at once.
    pub handles: usize,
    /// How often it may ask something of the host in one call.
    pub host_calls: u64,
    /// Lines that it may log; the rest are counted.
    pub log_lines: u64,
    /// Bytes of these lines together.
    pub log_bytes: u64,
    /// How long a connection may take to be made, its name's resolution included, and TLS on it after that.
    pub connect: Duration,
    /// How long nothing may move on a connection that the plugin waits for. Servers prepare snapshots for minutes; whoever
    /// waits longer waits for a server that is gone.
    pub idle: Duration,
    /// Longest body of an HTTP answer, in bytes. None: as long as it is, since what is backed up has no bound.
    pub response_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 256 << 20,
            // No lease lives longer, so no run may (docs/FORMAT.md).
            wall: Duration::from_secs(7 * 24 * 3600),
            stall: Duration::from_secs(300),
            handles: HANDLES,
            // Five million files at two hundred calls each, or 64 TB in pieces of 64 KiB; one that only asks gets there
            // within minutes.
            host_calls: 1_000_000_000,
            log_lines: 10_000,
            // A line is a sentence: lines of a kilobyte are no log.
            log_bytes: 10 << 20,
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(300),
            response_bytes: None,
        }
    }
}

/// How long `describe`, `requires` and the like may take: they ask nobody.
pub(crate) const QUESTION_WALL: Duration = Duration::from_secs(10);
/// How long a server may be silent while somebody waits for an answer about it: what listens there is most often not what was meant.
pub(crate) const QUESTION_IDLE: Duration = Duration::from_secs(60);
/// How long a notifier may take to tell something once: a request, and the minute that a service may ask it to wait.
pub(crate) const TELLING_WALL: Duration = Duration::from_secs(120);
/// How long a call that was told to stop may take to let go.
pub(crate) const LETTING_GO: Duration = Duration::from_secs(5);
/// How often the watchdog looks.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// Address space that a plugin's memory has left to grow into where the process's is bounded: with less, memory is moved more often,
/// with more, a plugin may not start.
pub(crate) const RESERVED: u64 = 16 << 20;
/// How often running plugins are made to yield, so that deadlines and other tasks get their turn.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);
/// The end of standard error that an error keeps.
pub(crate) const STDERR_BYTES: usize = 4 << 10;
/// Longest message that a plugin's error or log line may have.
pub(crate) const MESSAGE_BYTES: usize = 4 << 10;
/// Facts that a check may tell: what a person reads.
pub(crate) const FACTS: usize = 256;
/// Notes on a restore: what a person reads.
pub(crate) const NOTES: usize = 100;
/// Bytes of one read that crosses the sandbox.
pub(crate) const READ_BYTES: u32 = 4 << 20;
/// Entries of one page that crosses the sandbox.
pub(crate) const PAGE_ENTRIES: u32 = 1_024;
/// Open contents, writers, files and directories at once, if nobody says otherwise.
pub(crate) const HANDLES: usize = 100_000;
/// Pieces of a stream that wait for the pipeline.
pub(crate) const STREAM_PIECES: usize = 2;
/// Bytes of such a piece.
pub(crate) const STREAM_PIECE_BYTES: usize = 256 << 10;
/// Names that one call may have resolved: a grant of `*.SUFFIX` has no end of them.
pub(crate) const PINNED_NAMES: usize = 1_000;
/// Addresses of one name: each may have to be tried.
pub(crate) const PINNED_ADDRESSES: usize = 16;
/// Of several addresses, each is given at least this time: a packet that was lost is sent again within it.
pub(crate) const CONNECT_TRY_MIN: Duration = Duration::from_secs(2);
/// A connection on which nothing is said for so long sends a packet: firewalls forget it after some minutes.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Until the next one, if nobody answers.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// So many unanswered ones mean that the peer is gone: after three minutes in all.
pub(crate) const KEEPALIVE_RETRIES: u32 = 8;
/// Connections of one call at once: many downloads side by side, and no flood that would exhaust a server or this process.
pub(crate) const CONNECTIONS: usize = 256;
/// Different refusals that the log names; a plugin that asks for everything is not to fill it.
pub(crate) const REFUSALS_TOLD: usize = 20;
/// Pieces that a connection reads ahead: 1 MiB, enough that the server sends while the plugin works.
pub(crate) const CONNECTION_PIECES: usize = 4;
/// Bytes that are read from a connection at once: larger reads gained nothing.
pub(crate) const CONNECTION_PIECE_BYTES: usize = 256 << 10;
/// Pieces of an HTTP body that are read ahead; the client makes them, of up to half a megabyte.
pub(crate) const HTTP_PIECES: usize = 4;
/// An HTTP connection that is not used again for so long is closed; servers close theirs after a minute or so.
pub(crate) const HTTP_IDLE_CONNECTION: Duration = Duration::from_secs(20);
/// Headers of an answer.
pub(crate) const RESPONSE_HEADERS: usize = 256;
/// Bytes of an answer's headers: they cross the sandbox whole.
pub(crate) const RESPONSE_HEADER_BYTES: usize = 256 << 10;
/// Largest component that is loaded; compiling is bounded by this.
pub(crate) const COMPONENT_BYTES: u64 = 256 << 20;
/// Programs of one call that run at once: a source needs one or two, and each is a process of this machine.
pub(crate) const PROGRAMS: usize = 16;
/// Arguments and environment of a program together; more than four times this no Linux takes.
pub(crate) const COMMAND_BYTES: usize = 512 << 10;
/// One argument or variable: Linux takes no longer one.
pub(crate) const ARGUMENT_BYTES: usize = 128 << 10;
/// What the kernel holds of a program's input or output, where it lets us say: as much as it gives anybody.
pub(crate) const PIPE_BYTES: usize = 1 << 20;
/// Bytes of content that are handed to a program's input at once.
pub(crate) const INPUT_BYTES: usize = 256 << 10;
/// How much of one line of a program's standard error is looked at; no message is longer than a part of this.
pub(crate) const ERROR_LINE_BYTES: usize = 64 << 10;
/// How often somebody who waits for a program looks whether it has moved in another place.
pub(crate) const PROGRAM_INTERVAL: Duration = Duration::from_millis(200);
/// How long what a program left behind may take to die. One that hangs in the kernel is waited for no longer.
pub(crate) const DYING: Duration = Duration::from_secs(3);
