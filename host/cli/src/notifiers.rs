//! The configuration's notifiers: made ready before the first job, told of each job while the next one runs, waited for at
//! the end. One that is broken, or cannot tell, is shown, and changes nothing of what became of the jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use dozo_job::notify::{Listener, Told, event_of_no_run, event_of_run, tell};
use dozo_job::port::{Event, Notifier as _};
use dozo_job::{Clock, Failure, Kind, Report, limits};
use dozo_plugin::PluginKind;
use dozo_repository::format::record::Outcome;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::args::Global;
use crate::command::sources::outside;
use crate::config::NotifyTable;
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::outcomes::{Became, Task};
use crate::plugins::PluginShelf;
use crate::prepare::Prepared;
use crate::{proxy, ui};

/// Who is told in this process.
pub(crate) struct Notifiers<'a> {
    context: &'a Context,
    lines: Vec<Line>,
}

/// One listener with its events in order: a service that limits its rate is not called by all jobs at once.
struct Line {
    name: String,
    listener: Arc<Listener>,
    events: mpsc::Sender<Event>,
    told: mpsc::Receiver<Told>,
    sent: Vec<Event>,
}

impl<'a> Notifiers<'a> {
    /// Makes the notifiers ready for as many events.
    pub(crate) async fn prepare(
        global: &Global,
        context: &'a Context,
        plugins: &mut PluginShelf,
        events: usize,
    ) -> Self {
        let mut lines = Vec::new();
        for (name, table) in &context.loaded.config.notify {
            match context.listener(name, table, plugins).await {
                Ok(listener) => lines.push(Line::begin(listener, events)),
                Err(error) => ui::errors::tell(global, &error.context(format!("the notifier `{name}` tells nobody"))),
            }
        }
        Notifiers { context, lines }
    }

    /// Tells of a run. One that was kept away, because the same job is at work, is no failure of the backup: what became of the
    /// last one still counts, and a job that never runs any more is overdue some day.
    pub(crate) fn run(&mut self, report: &Report) {
        if report.error.as_ref().is_some_and(|error| error.kind == Kind::Busy) {
            return;
        }
        // What comes after a suspicious snapshot and is well is a recovery.
        let outcome = if report.suspicious.is_empty() { report.outcome } else { report.outcome.max(Outcome::Partial) };
        let why = report.error.as_ref().map(Failure::one_line);
        let before = self.replace(&report.job, outcome, why);
        self.send(&event_of_run(report, before, ui::commands()));
    }

    /// Tells of a job that could not be begun, unless that is because it is at work.
    pub(crate) fn no_run(&mut self, job: &str, error: &anyhow::Error) {
        self.not_all_done(job, "did not run", error);
    }

    /// Tells of a job of which not all was done, and what in a few words.
    pub(crate) fn not_all_done(&mut self, job: &str, what: &str, error: &anyhow::Error) {
        let failure = ui::errors::failure(error);
        if failure.kind == Kind::Busy {
            return;
        }
        self.replace(job, Outcome::Failed, Some(failure.one_line()));
        let host = self.context.host();
        self.send(&event_of_no_run((job, what), &host, SystemClock.now(), &failure, ui::commands()));
    }

    /// Remembers what became of a job; returns what became of it before.
    fn replace(&self, job: &str, outcome: Outcome, why: Option<String>) -> Option<Outcome> {
        let became = Became { outcome, damage: false, why };
        let (before, errors) = self.context.outcomes().replace(Task::Job(job), SystemClock.now(), became);
        errors.iter().for_each(|error| self.context.not_remembered(error));
        before.map(|last| last.outcome)
    }

    /// Tells whoever wants to hear of it.
    pub(crate) fn send(&mut self, event: &Event) {
        for line in self.lines.iter_mut().filter(|line| line.listener.hears(event)) {
            // There is room for every event, and whoever receives ends with this process; if that were not so, it shows
            // at the end.
            let _ = line.events.try_send(event.clone());
            line.sent.push(event.clone());
        }
    }

    /// Waits until everybody was told, or that has taken too long; shows who was not.
    pub(crate) async fn finish(self, global: &Global) -> anyhow::Result<()> {
        let deadline = Instant::now() + limits::TELLING_MAX;
        for mut line in self.lines {
            drop(line.events);
            for event in line.sent {
                let told = timeout_at(deadline, line.told.recv()).await.ok().flatten();
                show(global, &told.unwrap_or_else(|| Told::given_up(&line.name, &event)))?;
            }
        }
        Ok(())
    }
}

impl Line {
    fn begin(listener: Listener, events: usize) -> Self {
        let listener = Arc::new(listener);
        let (done, told) = mpsc::channel(events.max(1));
        let (events, mut waiting) = mpsc::channel::<Event>(events.max(1));
        let name = listener.name.clone();
        let teller = listener.clone();
        tokio::spawn(async move {
            while let Some(event) = waiting.recv().await {
                if done.send(tell(&teller, &event).await).await.is_err() {
                    break;
                }
            }
        });
        Line { name, listener, events, told, sent: Vec::new() }
    }
}

impl Context {
    /// A notifier that is ready to tell.
    pub(crate) async fn listener(
        &self,
        name: &str,
        table: &NotifyTable,
        plugins: &mut PluginShelf,
    ) -> anyhow::Result<Listener> {
        let plugin = plugins.get_as(&table.plugin, PluginKind::Notifier).await?;
        let Prepared { config, permit } = self.prepare(table.table(&["notify", name]), &plugin).await?;
        Ok(Listener {
            name: name.to_string(),
            on: table.on.iter().map(|on| (*on).into()).collect(),
            jobs: table.jobs.clone(),
            config,
            notifier: Box::new(plugin.notifier(permit)?),
        })
    }
}

/// Asks each notifier whether it could tell, and prints what it says.
pub(crate) async fn check(global: &Global, context: &Context) -> anyhow::Result<Exit> {
    let mut plugins = context.plugins()?;
    let mut exit = Exit::Done;
    for (name, table) in &context.loaded.config.notify {
        match look(context, &mut plugins, name, table).await {
            Ok(facts) => print_facts(global, name, &facts)?,
            Err(error) => {
                let error = error.context(format!("the notifier `{name}` would tell nobody"));
                ui::errors::tell(global, &error);
                exit = exit.worst(Exit::of(&error));
            }
        }
    }
    Ok(exit)
}

/// What the plugin says of whom it tells.
async fn look(
    context: &Context,
    plugins: &mut PluginShelf,
    name: &str,
    table: &NotifyTable,
) -> anyhow::Result<Vec<(String, String)>> {
    let plugin = plugins.get_as(&table.plugin, PluginKind::Notifier).await?;
    let keys = ["notify", name];
    let prepared = context.prepare(table.table(&keys), &plugin).await?;
    outside(context, table.table(&keys), &plugin, &prepared).await?;
    Ok(plugin.notifier(prepared.permit)?.check(&prepared.config).await?)
}

fn print_facts(global: &Global, name: &str, facts: &[(String, String)]) -> anyhow::Result<()> {
    if global.json {
        let facts: BTreeMap<_, _> = facts.iter().cloned().collect();
        return ui::json(&serde_json::json!({ "schema": "dozo/check-notifier/1", "notifier": name, "facts": facts }));
    }
    ui::line(format!("{name}: ready to tell"));
    facts.iter().for_each(|(fact, value)| ui::line(format!("  {fact}: {value}")));
    Ok(())
}

/// Shows whether somebody was told: to people only if not.
pub(crate) fn show(global: &Global, told: &Told) -> anyhow::Result<()> {
    if let Some(failure) = &told.error {
        let what = match told.kind {
            "partial" => "partial snapshot",
            "suspicious" => "suspicious snapshot",
            "recovered" => "recovery",
            "recovery-gap" => "recovery gap",
            "verify" | "mirror" | "prune" | "repair" => "failure",
            other => other,
        };
        let about = match (&told.job, told.kind) {
            (Some(job), _) => format!("the {what} of `{job}`"),
            (None, "verify" | "mirror" | "prune" | "repair") => format!("the {what} of `dozo {}`", told.kind),
            (None, _) => format!("the {what}"),
        };
        let after = ui::words::counted(told.attempts.into(), "attempt", "attempts");
        ui::note(format!("error: `{}` told nobody of {about} ({after}): {}", told.notifier, failure.message));
        ui::errors::print_rest(failure);
        if failure.kind == Kind::Unavailable {
            proxy::note();
        }
    }
    if global.json { ui::json(told) } else { Ok(()) }
}
