//! `dozo run`: jobs, one after the other; one that fails does not keep the next from running.

use std::sync::Arc;

use dozo_job::port::Scope;
use dozo_job::{Clock, Error, Failure, House, Job, Progress, Report};
use dozo_plugin::PluginKind;
use dozo_repository::format::record::Outcome;
use dozo_repository::{Purpose, Repository};

use crate::abandon::abandon;
use crate::args::{Global, RunArgs};
use crate::at_work::JobPlace;
use crate::config::JobTable;
use crate::context::{Context, SystemClock};
use crate::exclusive::refuse_shared;
use crate::exit::Exit;
use crate::hooks::Hooks;
use crate::notifiers::Notifiers;
use crate::plugins::PluginShelf;
use crate::suspicion;
use crate::ui::{self, progress, words};

pub(crate) async fn run(global: &Global, args: &RunArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let jobs = context.loaded.jobs(&args.jobs)?;
    let mut plugins = context.plugins()?;
    // Of each job what became of this run, of what comes after it, and of a run before that was killed.
    let mut notifiers = Notifiers::prepare(global, &context, &mut plugins, 3 * jobs.len()).await;
    let exit = match context.repository().await {
        Ok(repository) => {
            let place = (&context, &repository, &mut plugins);
            run_jobs(global, place, (&jobs, args), &mut notifiers).await
        }
        // None of them runs, and whoever waits for one hears of it.
        Err(error) => {
            ui::errors::tell(global, &error);
            jobs.iter().for_each(|(name, _)| notifiers.no_run(name, &error));
            abandon(&context, &mut plugins, &jobs).await;
            Ok(Exit::of(&error))
        }
    };
    notifiers.finish(global).await?;
    exit
}

async fn run_jobs(
    global: &Global,
    (context, repository, plugins): (&Context, &Repository, &mut PluginShelf),
    (jobs, args): (&[(&str, &JobTable)], &RunArgs),
    notifiers: &mut Notifiers<'_>,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for (name, job) in jobs.iter().copied() {
        let report = match begin(context, name, notifiers) {
            Ok(place) => {
                let report = run_job(context, repository, plugins, (name, job), args).await;
                context.run_ended(place);
                report
            }
            Err(error) => Err(error),
        };
        exit = exit.worst(match report {
            Ok((report, after)) => {
                notifiers.run(&report);
                let exit = match &after {
                    None => Exit::Done,
                    Some(error) => {
                        notifiers.not_all_done(name, "is backed up, and not all that comes after was done", error);
                        Exit::Failed
                    }
                };
                if global.json {
                    ui::json(&report)?;
                } else {
                    print(&report);
                }
                // Also with `--json`: cron mails what comes here, and nobody reads a log of successes.
                print_troubles(&report);
                exit_of(&report).worst(exit)
            }
            // The next job may be well, and the worst exit code is kept.
            Err(error) => {
                notifiers.no_run(name, &error);
                let error = error.context(format!("the job `{name}` did not run"));
                ui::errors::tell(global, &error);
                Exit::of(&error)
            }
        });
    }
    context.forget_leases();
    Ok(exit)
}

/// Takes the job's place. Nobody has heard of a run that was killed: now they do.
fn begin(context: &Context, name: &str, notifiers: &mut Notifiers<'_>) -> anyhow::Result<Option<JobPlace>> {
    let Some(place) = context.at_work(name)? else { return Ok(None) };
    match place.begin(SystemClock.now()) {
        Ok(None) => {}
        Ok(Some(begun)) => {
            let begun = context.time(name, begun);
            let why = format!(
                "the run that began at {begun} did not come to its end: interrupted, killed, or this machine went down"
            );
            ui::note(format!("note: the job `{name}`: {why}"));
            notifiers.not_all_done(name, "was interrupted", &Error::unavailable(why).into());
        }
        // Only who asks whether it runs would want to know.
        Err(e) => context.not_remembered(&Error::io(format!("note that the job `{name}` runs"), e)),
    }
    Ok(Some(place))
}

async fn run_job(
    context: &Context,
    repository: &Repository,
    plugins: &mut PluginShelf,
    (name, table): (&str, &JobTable),
    args: &RunArgs,
) -> anyhow::Result<(Report, Option<anyhow::Error>)> {
    let mut hooks = Hooks::new(name, &table.before, &table.after);
    let report = match hooks.before().await {
        Ok(()) => run_source(context, repository, plugins, (name, table), args).await,
        Err(error) => Err(error.into()),
    };
    // An application that was stopped is started again, whatever became of the job.
    match (report, hooks.after().await) {
        (Ok(mut report), Err(error)) => {
            report.notes.push(error.chain());
            Ok((report, Some(error.into())))
        }
        (Err(error), Err(after)) => Err(error.context(after.chain())),
        (report, Ok(())) => report.map(|report| (report, None)),
    }
}

async fn run_source(
    context: &Context,
    repository: &Repository,
    plugins: &mut PluginShelf,
    (name, table): (&str, &JobTable),
    args: &RunArgs,
) -> anyhow::Result<Report> {
    let plugin = context.plugin(plugins, (&["job", name], &table.plugin), PluginKind::Source).await?;
    refuse_shared(context, plugins, (name, table)).await?;
    let mut prepared = context.prepare(table.table(&["job", name]), &plugin).await?;
    prepared.read_at(&table.grant.read, &table.read_at)?;
    let job = Job {
        name: name.to_string(),
        config: prepared.config,
        scope: if args.full { Scope::Full } else { Scope::Incremental },
        probes: table.probe.clone().into_iter().collect(),
        tags: table.tags.iter().chain(&args.tag).cloned().collect(),
        timezone: context.timezone(name)?,
        guard: context.loaded.guard(name, table)?,
    };
    let memory = context.memory(repository);
    let lease = context.lease_request(Purpose::Run, &args.lease)?;
    let progress = Arc::new(Progress::default());
    let house = House {
        repository,
        host: context.host(),
        resources: context.resources()?,
        readers: context.readers(),
        clock: &SystemClock,
        lease: lease.id,
        predecessors: lease.predecessors,
        progress: progress.clone(),
        memory: &memory,
    };
    let source = plugin.source(prepared.permit)?;
    let _shown = progress::Shown::begin(name.to_string(), progress::of_run(&progress));
    Ok(for_people(dozo_job::run(&job, &source, &house).await))
}

/// Commands as they are typed here.
fn for_people(report: Report) -> Report {
    let text = |text: &String| ui::commands().text(text).into_owned();
    let (notes, error) =
        (report.notes.iter().map(text).collect(), report.error.map(|error| ui::commands().failure(error)));
    Report { notes, error, ..report }
}

fn exit_of(report: &Report) -> Exit {
    match (report.outcome, &report.error) {
        (Outcome::Complete, _) if !report.suspicious.is_empty() => Exit::Partial,
        (Outcome::Complete, _) => Exit::Done,
        (Outcome::Partial, _) => Exit::Partial,
        (Outcome::Failed, Some(failure)) => Exit::of_kind(failure.kind),
        (Outcome::Failed, None) => Exit::Failed,
    }
}

fn print(report: &Report) {
    let took = words::duration(report.ended.duration_since(report.started));
    if let Some(id) = &report.snapshot {
        let suspicious = if report.suspicious.is_empty() { "" } else { "suspicious " };
        let partial = if report.outcome == Outcome::Partial { "partial " } else { "" };
        let word = format!("{suspicious}{partial}snapshot");
        ui::result(format!("{}: {word} {} in {took}", report.job, id.short()));
        let kept = match report.entries_kept {
            0 => String::new(),
            kept => format!(", {} kept unread", words::count(kept)),
        };
        let entries = words::counted(report.entries, "entry", "entries");
        ui::result(format!("  {entries}, {}{kept}", words::bytes(report.bytes)));
        let (read, new) = (words::bytes(report.bytes_read), words::bytes(report.bytes_new));
        ui::result(format!("  {read} read, {new} new, {} stored", words::bytes(report.bytes_stored)));
    }
    for (probe, answer) in &report.answers {
        ui::result(format!("  {}: {}", words::plain(probe), words::first_line(answer)));
    }
}

/// What is missing, what should be known, and why there is no snapshot.
fn print_troubles(report: &Report) {
    print_omitted(report);
    print_suspicions(report);
    for note in &report.notes {
        ui::note(format!("  note: {note}"));
    }
    if let Some(failure) = &report.error {
        let took = words::duration(report.ended.duration_since(report.started));
        print_failure(report, failure, &took);
    }
}

/// That much is gone, and what to do about it.
fn print_suspicions(report: &Report) {
    let Some(id) = report.snapshot.filter(|_| !report.suspicious.is_empty()) else { return };
    report.suspicious.iter().for_each(|reason| ui::note(format!("  suspicious: {}", words::plain(reason))));
    ui::note(format!("hint: {}", suspicion::hint(&id)));
}

/// What is missing is named where the operator looks first.
fn print_omitted(report: &Report) {
    const SHOWN: usize = 10;
    if report.omitted_count == 0 {
        return;
    }
    let count = words::counted(report.omitted_count, "entry", "entries");
    ui::note(format!("  not backed up: {count}"));
    for (path, why) in report.omitted.iter().take(SHOWN) {
        ui::note(format!("    /{path}: {}", why.replace('\n', "\n      ")));
    }
    if report.omitted_count > SHOWN as u64 {
        ui::note("    … and more: `--json` lists the first hundred, the snapshot the first thousand");
    }
}

fn print_failure(report: &Report, failure: &Failure, took: &str) {
    ui::note(format!("error: the job `{}` failed after {took}: {}", report.job, failure.message));
    ui::errors::print_rest(failure);
}
