//! Which snapshot a restore is of: the one that was named, or the newest of a job that can be recovered to a moment. That its
//! plugin alone can tell, from what it noted in each.

use std::cmp::Reverse;
use std::path::Path;

use dozo_job::port::{Moment, Source as _};
use dozo_job::{Clock, Error, Kind, Result, local};
use dozo_plugin::{Permit, Plugin, PluginKind, WasmSource};
use dozo_repository::format::snapshot::{PluginStamp, Snapshot};
use dozo_repository::{Found, View};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::command::snapshots::window;
use crate::context::{Context, SystemClock, find_snapshot, snapshots_of, tell_host};
use crate::moment::{TypedMoment, at_time, read_moment, shown};
use crate::plugins::is_bundled;
use crate::suspicion;
use crate::typed_time::LeftOut;
use crate::ui::{self, words};
use crate::zones::{Zones, both};

/// A snapshot to restore.
pub(crate) struct Choice {
    pub(crate) found: Found,
    /// The plugin that made it.
    pub(crate) plugin: Plugin,
    /// To what it is recovered.
    pub(crate) at: Moment,
}

/// A snapshot, and in its plugin's words to what it can be recovered.
type Uncovering<'a> = (&'a Found, String);

/// Chooses the snapshot that the operator means by its name, and by the moment if one is given. What a time means is said
/// here, before anything is written.
pub(crate) async fn choose(
    context: &Context,
    view: &View,
    (named, at): (&str, Option<&str>),
    component: Option<&Path>,
) -> anyhow::Result<Choice> {
    let Some(at) = at else {
        let found = find_snapshot(context, view, named)?;
        let plugin = plugin_of(context, &found.1, component).await?;
        return Ok(Choice { found, plugin, at: Moment::Latest });
    };
    let at = read_moment(at)?;
    let of_job = if named.contains('@') { Vec::new() } else { snapshots_of(view, named)? };
    let is_chosen = !of_job.is_empty();
    let candidates = if is_chosen { newest_first(view, of_job) } else { vec![find_snapshot(context, view, named)?] };
    let (_, newest) = &candidates[0];
    let zones = Zones::of(context, view)?;
    let zone = zones.zone(newest);
    let at = match at {
        TypedMoment::Other(moment) => moment,
        TypedMoment::Time(time) => {
            let at = zones.settle(&time, (newest, LeftOut::Begin), |_, _| true)?;
            ui::note(format!("recovering to {}", both(at, zone)));
            at_time(at)
        }
    };
    let plugin = plugin_of(context, newest, component).await?;
    let nothing = Permit { job: newest.job.name.clone(), ..Permit::default() };
    let found = covering(&plugin.source(nothing)?, &candidates, (&at, zone)).await?.clone();
    if is_chosen {
        tell_host(view, &found.1);
        if view.is_ahead(&found, SystemClock.now()) {
            ui::note(format!("note: {} of {} is {}", found.0.short(), zones.taken(&found.1), words::FUTURE));
        }
        suspicion::tell(view, &found);
        suspicion::tell_passed_over(view, &zones, &found, &candidates);
    }
    Ok(Choice { found, plugin, at })
}

/// The newest first; what is suspicious comes behind all else, and what is of the future behind that. Those of another plugin
/// than the newest are none of its.
fn newest_first(view: &View, mut snapshots: Vec<Found>) -> Vec<Found> {
    let now = SystemClock.now();
    snapshots
        .sort_by_cached_key(|found| (view.is_ahead(found, now), view.is_suspicious(found), Reverse(found.1.order())));
    let plugin = snapshots.first().map(|(_, s)| s.plugin.name.clone()).unwrap_or_default();
    snapshots.retain(|(_, s)| s.plugin.name == plugin);
    snapshots
}

/// The plugin that made a snapshot; of a component that the operator names, that one alone.
async fn plugin_of(context: &Context, snapshot: &Snapshot, component: Option<&Path>) -> anyhow::Result<Plugin> {
    let mut plugins = context.plugins()?;
    let made_by = &snapshot.plugin.name;
    let configured = context.loaded.config.job.get(&snapshot.job.name);
    let plugin = match (component, configured) {
        (Some(file), _) => plugins.get_exactly(file, snapshot.plugin.digest).await?,
        (None, None) if context.loaded.is_typed() && !is_bundled(made_by) => return Err(not_bundled(snapshot).into()),
        (None, configured) => plugins.get(configured.map_or(made_by, |job| &job.plugin)).await?,
    };
    let plugin = plugin.as_kind(PluginKind::Source)?;
    if plugin.stamp().name != *made_by {
        let configured = &plugin.stamp().name;
        let why = format!("the snapshot was made by the plugin `{made_by}`, not by `{configured}`");
        return Err(Error::invalid(why).into());
    }
    Ok(plugin)
}

/// The plugin is not part of this program, and no configuration says where it is.
fn not_bundled(snapshot: &Snapshot) -> Error {
    let PluginStamp { name, version, digest } = &snapshot.plugin;
    Error::invalid(format!("the snapshot was made by the plugin `{name}` {version}, which is not inside this program"))
        .hinted(format!("`--plugin FILE` with its component: the one whose `sha256sum` is {digest}"))
}

/// The first of these snapshots, the newest being the first, that covers a moment.
async fn covering<'a>(
    source: &WasmSource,
    candidates: &'a [Found],
    (at, zone): (&Moment, &TimeZone),
) -> Result<&'a Found> {
    let mut others: Vec<Uncovering<'_>> = Vec::new();
    for found in candidates {
        let (id, snapshot) = found;
        let covers = source.covers(snapshot.attributes.clone(), at.clone()).await;
        let failed = |e: Error| match e.kind() {
            Kind::Unsupported => no_log(&e, (snapshot, at)),
            _ => e.context(format!("ask whether the snapshot {} can be recovered to {at}", id.short())),
        };
        match covers.map_err(failed)? {
            None => return Ok(found),
            Some(words) => others.push((found, local(&words, zone).into_owned())),
        }
    }
    Err(uncovered(&others, (at, zone)))
}

/// A source without a log goes back to its snapshots, and to nothing in between.
fn no_log(error: &Error, (snapshot, at): (&Snapshot, &Moment)) -> Error {
    let job = &snapshot.job.name;
    let hint = match at {
        Moment::Time(_) => format!("`{job}@TIME` instead of `--at TIME` takes its newest snapshot up to a time; "),
        _ => String::new(),
    };
    let hint = format!("{hint}`dozo snapshots {job}` lists them");
    Error::unsupported(format!("the job `{job}` recovers only to its snapshots")).caused_by(error.clone()).hinted(hint)
}

/// That none covers it, and what the newest and the oldest cover.
fn uncovered(others: &[Uncovering<'_>], (moment, zone): (&Moment, &TimeZone)) -> Error {
    let at = shown(moment, zone);
    let told = |((id, snapshot), words): &Uncovering<'_>| {
        format!("{} of {}: {words}", id.short(), words::time_in(snapshot.started, zone))
    };
    match others {
        [] => Error::internal("there is no snapshot to ask for"),
        [((id, snapshot), words)] => {
            let taken = words::time_in(snapshot.started, zone);
            Error::invalid(format!("the snapshot {} of {taken} cannot be recovered to {at}", id.short()))
                .hinted(words.clone())
        }
        [newest, .., oldest] => {
            let job = &newest.0.1.job.name;
            let ends = || format!("the newest is {}; the oldest is {}", told(newest), told(oldest));
            Error::invalid(format!("no snapshot of the job `{job}` can be recovered to {at}"))
                .hinted(nearest(others, (moment, zone)).unwrap_or_else(ends))
        }
    }
}

/// What comes nearest to a time that lies in none of the windows: the end of one before it, and the beginning of one after it.
fn nearest(others: &[Uncovering<'_>], (at, zone): (&Moment, &TimeZone)) -> Option<String> {
    let time = |time: Timestamp| words::time_in(time, zone);
    let Moment::Time(at) = at else { return None };
    let at: Timestamp = at.parse().ok()?;
    let windows = || others.iter().filter_map(|(found, _)| Some((found, window(&found.1)?)));
    let name = |(id, snapshot): &Found| format!("{} of {}", id.short(), time(snapshot.started));
    let before = windows().filter(|(_, (_, until))| *until < at).max_by_key(|(_, (_, until))| *until);
    let after = windows().filter(|(_, (from, _))| *from > at).min_by_key(|(_, (from, _))| *from);
    let before = before.map(|(found, (_, until))| {
        format!("the nearest before it is {}, which recovers to {} at the latest", name(found), time(until))
    });
    let after = after.map(|(found, (from, _))| {
        format!("the nearest after it is {}, which recovers to {} at the earliest", name(found), time(from))
    });
    match (before, after) {
        (Some(before), Some(after)) => Some(format!("{before}; {after}")),
        (Some(before), None) => Some(format!("{before}; if the source is up, run the job: later moments come with it")),
        (None, after) => after,
    }
}
