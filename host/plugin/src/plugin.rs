//! A loaded plugin: of which kind it is and which track it speaks, who it says it is, and how one of its functions is called: in a store of its
//! own, with a watchdog outside, and nothing left of it afterwards.

use std::sync::Arc;
use std::time::Duration;

use dozo_job::port::{Description, Finished, Needs, ObjectId, PluginStamp};
use dozo_job::{Error, Result};
use wasmtime::component::{Accessor, InstancePre};
use wasmtime::{Store, UpdateDeadline};

use crate::convert;
use crate::exports::{Exports, Track};
use crate::limits::{Limits, QUESTION_WALL};
use crate::machine;
use crate::notifier::WasmNotifier;
use crate::program::EndWithCall;
use crate::redact::Secrets;
use crate::schema;
use crate::source::WasmSource;
use crate::state::{Call, Grants, Life, Names, State};
use crate::tree::Directory;
use crate::watchdog;

/// The two kinds of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    /// Something to back up.
    Source,
    /// Somebody to tell.
    Notifier,
}

impl PluginKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            PluginKind::Source => "source",
            PluginKind::Notifier => "notifier",
        }
    }
}

/// A component as one kind of plugin, ready to be called. One that is of both kinds is a source first.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    pre: InstancePre<State>,
    track: Track,
    stamp: PluginStamp,
    description: Description,
    /// The same component as the other kind, if it is that too.
    other: Option<Plugin>,
}

/// What a call of a plugin may do, and on whose behalf.
#[derive(Clone, Default)]
pub struct Permit {
    /// The job, or the notifier's name, for logs.
    pub job: String,
    /// What the operator allows.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
    /// What it must not tell.
    pub secrets: Secrets,
}

/// How a plugin can end without an answer.
const DEATHS: [&str; 2] = ["trapped", "was stopped"];

/// One of a plugin's functions, to be called in a store.
pub(crate) type Function<R> = Box<dyn for<'a> FnOnce(&'a dyn Exports, &'a Accessor<State>) -> Answer<'a, R> + Send>;
pub(crate) type Answer<'a, R> = futures::future::BoxFuture<'a, wasmtime::Result<R>>;

impl Plugin {
    /// Reads kinds and tracks from the exports, and asks the component who it is, as each.
    pub(crate) async fn introduce(pre: InstancePre<State>, digest: [u8; 32]) -> Result<Self> {
        let mut plugin: Option<Plugin> = None;
        for track in Track::all_of(&pre)?.into_iter().rev() {
            plugin = Some(Plugin::introduce_as(track, pre.clone(), digest, plugin.take()).await?);
        }
        plugin.ok_or_else(|| Error::internal("a component of no kind"))
    }

    async fn introduce_as(
        track: Track,
        pre: InstancePre<State>,
        digest: [u8; 32],
        other: Option<Plugin>,
    ) -> Result<Self> {
        let stamp = PluginStamp { name: "(unnamed)".into(), version: String::new(), digest: ObjectId(digest) };
        let unknown = Description {
            name: String::new(),
            version: String::new(),
            summary: String::new(),
            config_schema: String::new(),
        };
        let mut inner = Inner { pre, track, stamp, description: unknown, other };
        let describe: Function<_> = Box::new(|exports, accessor| exports.describe(accessor));
        let nobody = Permit { job: "-".into(), ..Permit::default() };
        let described = inner.call(Call::Question, &nobody, QUESTION_WALL, describe).await.answer?;
        inner.description = convert::description_from_wit(described);
        check_description(&inner.description)?;
        inner.stamp.name.clone_from(&inner.description.name);
        inner.stamp.version.clone_from(&inner.description.version);
        Ok(Plugin(Arc::new(inner)))
    }

    /// What it is called as.
    pub fn kind(&self) -> PluginKind {
        self.0.track.kind()
    }

    /// All that it is.
    pub fn kinds(&self) -> Vec<PluginKind> {
        let other = self.0.other.as_ref().map(Plugin::kind);
        [self.kind()].into_iter().chain(other).collect()
    }

    /// The same component as a plugin of this kind.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is not of this kind, with the table where it belongs.
    pub fn as_kind(&self, kind: PluginKind) -> Result<Self> {
        let found = [Some(self), self.0.other.as_ref()].into_iter().flatten().find(|it| it.kind() == kind);
        found.cloned().ok_or_else(|| {
            let (name, is, wanted) = (self.0.name(), self.kind().word(), kind.word());
            let place = match self.kind() {
                PluginKind::Source => "[job.NAME]",
                PluginKind::Notifier => "[notify.NAME]",
            };
            Error::invalid(format!("the plugin {name} is a {is}, not a {wanted}"))
                .hinted(format!("a {is} belongs in a table `{place}`"))
        })
    }

    /// Who it says it is.
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// Name, version and digest.
    pub fn stamp(&self) -> &PluginStamp {
        &self.0.stamp
    }

    /// What a configuration needs of the host. Asked without any grant.
    pub async fn needs(&self, config: &str, secrets: Secrets) -> Result<Needs> {
        let permit = Permit { job: "-".into(), secrets, ..Permit::default() };
        let config = config.to_string();
        let requires: Function<_> = Box::new(move |exports, accessor| exports.requires(accessor, config));
        let (needs, _) = self.call_fallible(Call::Question, &permit, QUESTION_WALL, requires).await?;
        Ok(convert::needs_from_wit(needs))
    }

    /// The plugin as a source, with its grants and limits fixed.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is none.
    pub fn source(&self, permit: Permit) -> Result<WasmSource> {
        Ok(WasmSource::new(self.as_kind(PluginKind::Source)?, permit))
    }

    /// The plugin as a notifier, with its grants and limits fixed.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is none.
    pub fn notifier(&self, permit: Permit) -> Result<WasmNotifier> {
        Ok(WasmNotifier::new(self.as_kind(PluginKind::Notifier)?, permit))
    }

    /// Calls a function whose own errors are the plugin's.
    pub(crate) async fn call_fallible<R: Send + 'static>(
        &self,
        call: Call,
        permit: &Permit,
        wall: Duration,
        function: Function<Result<R, crate::bindings::dozo::plugin::types::Error>>,
    ) -> Result<(R, Finished)> {
        let (answer, finished) = self.call_to_end(call, permit, wall, function).await;
        answer.map(|answer| (answer, finished))
    }

    /// The same; what a call did is known also where it failed.
    pub(crate) async fn call_to_end<R: Send + 'static>(
        &self,
        call: Call,
        permit: &Permit,
        wall: Duration,
        function: Function<Result<R, crate::bindings::dozo::plugin::types::Error>>,
    ) -> (Result<R>, Finished) {
        let Called { answer, finished, unfinished } = self.0.call(call, permit, wall, function).await;
        let error = match (answer, unfinished) {
            (Ok(Ok(answer)), None) => return (Ok(answer), finished),
            // It did not come back, so these are not its words.
            (Err(died), _) => return (Err(died), finished),
            (Ok(Ok(_)), Some(what)) => Error::internal(format!("it ended well without having seen {what} to its end"))
                .hinted(
                    "it may have taken a part for all that there was, so nothing of it is kept; tell its author, who \
                     finds in docs/PLUGINS.md what must be read to its end",
                ),
            (Ok(Err(error)), _) => convert::error_from_wit(error, &permit.secrets),
        };
        (Err(error.context(format!("the plugin {} failed", self.0.name()))), finished)
    }
}

/// What became of a call.
struct Called<R> {
    /// What the plugin returned, if it came back.
    answer: Result<R>,
    finished: Finished,
    /// What it let go of before its end: then a good answer is none.
    unfinished: Option<String>,
}

impl Inner {
    /// Name and version, for people.
    fn name(&self) -> String {
        format!("{} {}", self.stamp.name, self.stamp.version).trim_end().to_string()
    }

    /// Calls one function in a store of its own. The store runs in a task of its own too: the deadline is outside of it.
    async fn call<R: Send + 'static>(
        &self,
        call: Call,
        permit: &Permit,
        wall: Duration,
        function: Function<R>,
    ) -> Called<R> {
        let Permit { job, grants, limits, secrets } = permit.clone();
        let names = Arc::new(Names { job, plugin: self.stamp.name.clone() });
        let directories = grants.directories.clone();
        let state = State::new(call, grants, limits.clone(), secrets.clone(), names);
        let (life, stderr, children) = (state.life.clone(), state.stderr.clone(), state.children.clone());
        let unfinished = state.unfinished.clone();
        // However this ends: also when nobody waits for it any more.
        let _ended = EndWithCall(children.clone());
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        // The engine counts too, streams and tasks with the rest, and would stop at a number of its own.
        store.set_max_component_handles(limits.handles.saturating_mul(2));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let (pre, track) = (self.pre.clone(), self.track.clone());
        let task = tokio::spawn(async move {
            let instance = pre.instantiate_async(&mut store).await?;
            let exports = track.load(&mut store, &instance)?;
            store.run_concurrent(async move |accessor| function(&*exports, accessor).await).await?
        });
        let being_read = || directories.iter().find_map(Directory::being_read);
        let answer = watchdog::guard(task, &life, wall, &limits, being_read).await;
        let (programs, at_rest) = (children.clone(), directories.clone());
        let ended = tokio::task::spawn_blocking(move || {
            at_rest.iter().for_each(|directory| {
                directory.rest();
                directory.give_back_modes();
            });
            programs.end()
        });
        let ended = ended.await;
        if let Some(name) = children.ended_early() {
            unfinished.note(format!("`{name}`"));
        }
        let unfinished = unfinished.first().map(str::to_string);
        let finished = self.finished(&directories, &life, ended.unwrap_or_default(), &limits);
        let answer = match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(trap)) => {
                let why = convert::printable(secrets.redact(trap.root_cause().to_string()));
                Err(self.died(DEATHS[0], why, &stderr.text(), &secrets))
            }
            Err(stopped) => Err(self.died(DEATHS[1], stopped, &stderr.text(), &secrets)),
        };
        Called { answer, finished, unfinished }
    }

    /// What a call leaves behind beside its answer.
    fn finished(&self, directories: &[Directory], life: &Life, programs: Vec<String>, limits: &Limits) -> Finished {
        let mut notes: Vec<String> = directories.iter().flat_map(Directory::take_notes).collect();
        notes.extend(programs);
        notes.extend(life.take_notes());
        notes.extend(life.log_note(limits));
        let (uncreated, uncreated_count) = Directory::uncreated_of_all(directories);
        Finished {
            usage: life.usage(),
            notes,
            entries_left: directories.iter().map(Directory::entries_left).sum(),
            entries_differing: directories.iter().map(Directory::entries_differing).sum(),
            entries_deleted: 0,
            uncreated,
            uncreated_count,
        }
    }

    /// A plugin that did not come back by itself: how, why, and the end of what it wrote to standard error.
    fn died(&self, how: &str, why: String, stderr: &Option<String>, secrets: &Secrets) -> Error {
        let name = self.name();
        let mut why = Error::internal(why);
        if let Some(text) = stderr {
            let text = convert::printable(secrets.redact(text.clone()));
            why = why.caused_by(std::io::Error::other(format!("its standard error ends with:\n{text}")));
        }
        machine::explain(Error::internal(format!("the plugin {name} {how}")).caused_by(why))
    }
}

/// Whether the message of a failed call says that the plugin did not come back by itself: it trapped, or was stopped. What a
/// plugin says itself comes with other words before it.
pub fn died(message: &str) -> bool {
    message.starts_with("the plugin ") && DEATHS.iter().any(|how| message.ends_with(how))
}

/// What a description must have for its name to be put into messages, snapshots and file names.
fn check_description(description: &Description) -> Result<()> {
    let plain = |text: &str| {
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._+".contains(&b))
    };
    if !plain(&description.name) || !plain(&description.version) {
        return Err(Error::invalid("its name or version is empty, too long, or more than letters, digits and `-._+`"));
    }
    let schema: serde_json::Value = serde_json::from_str(&description.config_schema)
        .map_err(|error| Error::invalid("its configuration schema is not JSON").caused_by(error))?;
    // What stands there would reach the plugin as it is written, and be shown.
    schema::check(&schema).map_err(|why| {
        let hint = "its author finds in docs/PLUGINS.md, Secrets, where a secret may stand";
        Error::invalid(format!("its configuration schema cannot be used: {why}")).hinted(hint)
    })
}
