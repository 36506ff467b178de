//! What a running plugin has on the host's side: one of these for each store, gone with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dozo_job::port::{Content, Intake, Stored, Usage};
use dozo_job::{Error, Result};
use tokio_util::sync::DropGuard;
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime::{Result as WasmResult, format_err};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::dozo::plugin::types;
use crate::convert;
use crate::handles::ContentHandle;
use crate::interface::sockets;
use crate::limits::{Limits, NOTES};
use crate::network::{Http, Network, Session};
use crate::program::{Children, Programs};
use crate::redact::Secrets;
use crate::stderr::Tail;
use crate::tree::Directory;
use crate::unfinished::Unfinished;

/// What the operator allows one plugin in one job.
#[derive(Clone, Default)]
pub struct Grants {
    /// Directories, in the order in which the plugin sees them.
    pub directories: Vec<Directory>,
    /// Where it may connect to.
    pub network: Network,
    /// What it may start.
    pub programs: Programs,
}

/// What this call is about; the interfaces that it does not concern answer that they are unsupported here.
#[derive(Clone)]
pub(crate) enum Call {
    /// `describe`, `check`, `probe` and the like.
    Question,
    Backup(Arc<dyn Intake>),
    Restore(Arc<dyn Stored>),
}

/// Signs of life, read by the watchdog while the store runs.
#[derive(Default)]
pub(crate) struct Life {
    /// Grows whenever the plugin asks something of the host or gets an answer, or bytes of its streams move.
    pub(crate) signs: AtomicU64,
    /// Calls that the host is busy with: the plugin is not stuck while it waits for the host.
    pub(crate) in_host: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) log_lines: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    /// Lines that were over the limit.
    pub(crate) log_lines_lost: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) handles: AtomicU64,
    pub(crate) programs: AtomicU64,
    /// Bytes that programs and the network gave, and took.
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    /// What the plugin wants the operator of a restore to know.
    notes: Mutex<Vec<String>>,
}

impl Life {
    pub(crate) fn usage(&self) -> Usage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            memory_bytes: read(&self.memory_bytes),
            host_calls: read(&self.calls),
            log_lines: read(&self.log_lines),
            log_bytes: read(&self.log_bytes),
            handles: read(&self.handles),
            programs: read(&self.programs),
            received_bytes: read(&self.received_bytes),
            sent_bytes: read(&self.sent_bytes),
        }
    }

    /// Keeps what the operator should know, up to [`NOTES`] of it.
    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES {
            notes.push(text);
        }
    }

    /// What the operator should know.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether one more line, of so many bytes, may be logged. Counts it either way.
    pub(crate) fn may_log(&self, bytes: usize, limits: &Limits) -> bool {
        let lines = self.log_lines.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.log_bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let may = lines <= limits.log_lines && bytes <= limits.log_bytes;
        if !may {
            self.log_lines_lost.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// That the log is not all that was said, if so.
    pub(crate) fn log_note(&self, limits: &Limits) -> Option<String> {
        let lost = self.log_lines_lost.load(Ordering::Relaxed);
        (lost > 0).then(|| {
            let (lines, mib) = (limits.log_lines, limits.log_bytes >> 20);
            format!("{lost} of the plugin's log lines were left out: `log_lines` is {lines}, and of {mib} MiB together")
        })
    }

    /// Notes a call; the guard notes its end.
    pub(crate) fn enter(self: &Arc<Self>) -> InHost {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.signs.fetch_add(1, Ordering::Relaxed);
        self.in_host.fetch_add(1, Ordering::Relaxed);
        InHost(self.clone())
    }

    /// Notes that something moved.
    pub(crate) fn sign(&self) {
        self.signs.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call that the host is busy with.
pub(crate) struct InHost(Arc<Life>);

impl Drop for InHost {
    fn drop(&mut self) {
        self.0.in_host.fetch_sub(1, Ordering::Relaxed);
        self.0.sign();
    }
}

/// The store's data.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) call: Call,
    pub(crate) grants: Grants,
    /// What of the network it may reach.
    pub(crate) network: Session,
    pub(crate) http: Http,
    pub(crate) life: Arc<Life>,
    pub(crate) children: Children,
    pub(crate) unfinished: Unfinished,
    pub(crate) secrets: Secrets,
    pub(crate) stderr: Tail,
    /// For log lines: job and plugin.
    pub(crate) names: Arc<Names>,
    pub(crate) limits: Limits,
    pub(crate) memory: MemoryLimit,
    wasi: WasiCtx,
    /// Dropped with the store.
    _connections: DropGuard,
}

/// Who is talking, for logs.
pub(crate) struct Names {
    pub(crate) job: String,
    pub(crate) plugin: String,
}

impl State {
    pub(crate) fn new(call: Call, grants: Grants, limits: Limits, secrets: Secrets, names: Arc<Names>) -> Self {
        let (stderr, life) = (Tail::default(), Arc::new(Life::default()));
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let network = Session::new(grants.network.clone(), limits.clone(), names.clone());
        let http = Http::new(network.clone());
        // Deny by default: no directory, no environment, no arguments; sockets as far as the network is granted. Clocks and
        // randomness are harmless.
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stderr.clone()).stderr(stderr.clone());
        let wasi = sockets::admit(&mut wasi, network.clone()).build();
        let memory = MemoryLimit { max: limits.memory_bytes, now: 0, life: life.clone() };
        let _connections = network.ended().drop_guard();
        let children = Children::default();
        State {
            table,
            call,
            grants,
            network,
            http,
            life,
            children,
            unfinished: Unfinished::default(),
            secrets,
            stderr,
            names,
            limits,
            memory,
            wasi,
            _connections,
        }
    }

    /// The snapshot in the making.
    pub(crate) fn intake(&self) -> Result<Arc<dyn Intake>, types::Error> {
        match &self.call {
            Call::Backup(intake) => Ok(intake.clone()),
            _ => Err(types::Error::Unsupported("there is no snapshot in the making: this is not a backup".into())),
        }
    }

    /// The snapshot that is restored.
    pub(crate) fn stored(&self) -> Result<Arc<dyn Stored>, types::Error> {
        match &self.call {
            Call::Restore(stored) => Ok(stored.clone()),
            _ => Err(types::Error::Unsupported("there is no stored snapshot to read: this is not a restore".into())),
        }
    }

    /// Something is about to be written where a restore goes.
    ///
    /// # Errors
    /// A trap if there is no room for what is needed: the restore ends with the first entry, not with the last.
    pub(crate) fn settle(&self) -> WasmResult<()> {
        match &self.call {
            Call::Restore(stored) => stored.settle().map_err(|error| format_err!("{}", error.chain())),
            _ => Ok(()),
        }
    }

    /// An error of the host as the plugin gets it.
    pub(crate) fn told(error: &Error) -> types::Error {
        convert::error_to_wit(error)
    }

    /// The same of an error that repeats the plugin's own words.
    pub(crate) fn told_without_secrets(&self, error: &Error) -> types::Error {
        convert::error_to_wit(&convert::error_from_wit(convert::error_to_wit(error), &self.secrets))
    }

    /// Gives the plugin content of which a part may be enough.
    pub(crate) fn hold_content(&mut self, content: Content) -> WasmResult<Resource<ContentHandle>> {
        let end = self.unfinished.part("a content that could not be read");
        self.hold(ContentHandle::new(content, end))
    }

    /// Gives the plugin a handle, if it does not hold too many.
    pub(crate) fn hold<T: Send + 'static>(&mut self, held: T) -> WasmResult<Resource<T>> {
        match self.table.push(held) {
            Ok(handle) => {
                // What is free is used again first: so the highest number that was given out is the most at once.
                self.life.handles.fetch_max(u64::from(handle.rep()) + 1, Ordering::Relaxed);
                Ok(handle)
            }
            Err(ResourceTableError::Full) => {
                let handles = self.limits.handles;
                Err(format_err!("it wanted more than {handles} handles at once, which is its limit (`handles`)"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Bounds the sum of a plugin's memories and remembers the most.
pub(crate) struct MemoryLimit {
    max: u64,
    now: u64,
    life: Arc<Life>,
}

impl wasmtime::ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> WasmResult<bool> {
        let next = self.now + desired.saturating_sub(current) as u64;
        if next > self.max {
            let (mib, max) = (next >> 20, self.max >> 20);
            return Err(format_err!("it asked for {mib} MiB of memory; its limit is {max} MiB (`memory`)"));
        }
        self.now = next;
        self.life.memory_bytes.fetch_max(next, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> WasmResult<bool> {
        Ok(desired <= 1_000_000)
    }
}
