//! What a restore did, for people and machines, and what that means to the caller.

use dozo_job::port::Moment;
use dozo_job::{Error, Kind, RestoreReport, Restored, local};
use dozo_repository::FREE_SPACE;
use dozo_repository::format::record::Outcome;
use jiff::tz::TimeZone;

use super::plan::Tally;
use crate::args::Global;
use crate::exit::Exit;
use crate::moment::shown;
use crate::target::Target;
use crate::ui::{self, words};

/// Shows what a restore did; returns what it means to the caller.
pub(super) fn show(
    global: &Global,
    restored: Restored,
    (target, zone): (&Target<'_>, &TimeZone),
    plan: Option<&Tally>,
) -> anyhow::Result<Exit> {
    let Restored { report, error, hint, has_written } = restored;
    let exit = exit_of(&report, error.as_ref());
    if global.json {
        ui::json(&report)?;
    }
    if report.outcome != Outcome::Failed {
        match plan {
            _ if global.json => {}
            Some(plan) => plan.print(&report, target, zone),
            None => print(&report, target, zone),
        }
    }
    print_missing(&report);
    report.notes.iter().for_each(|note| ui::note(format!("  note: {}", local(note, zone))));
    match plan {
        Some(plan) if report.outcome != Outcome::Failed => plan.print_end(),
        Some(_) => ui::note("nothing was written"),
        None => {}
    }
    if report.entries_differing > 0 {
        ui::note("hint: `--conflict replace` puts what the snapshot has in their place");
    } else if let Some(hint) = hint.filter(|_| report.outcome == Outcome::Partial) {
        ui::note(format!("hint: {}", going_on(hint)));
    }
    match error.filter(|_| report.outcome == Outcome::Failed) {
        Some(error) => {
            let what = match has_written {
                true => format!("the restore into {target} is not complete"),
                false => format!("nothing was restored into {target}"),
            };
            let hint = error.hint().map(|hint| going_on(hint.to_string())).filter(|_| has_written);
            let error = error.context(what);
            ui::errors::print(&hint.map_or(error.clone(), |hint| error.hinted(hint)).into());
            Ok(exit)
        }
        None => Ok(exit),
    }
}

/// A target that holds half a restore is refused by the command that began it.
fn going_on(hint: String) -> String {
    match hint.as_str() {
        FREE_SPACE => format!("{FREE_SPACE}, with `--conflict replace`: what is there already is not written again"),
        _ => hint,
    }
}

/// One meaning for each code: all is there; not all, and what is missing is named; the repository is damaged; else why it ended.
fn exit_of(report: &RestoreReport, error: Option<&Error>) -> Exit {
    match (report.outcome, error.map(Error::kind)) {
        (Outcome::Complete, _) => Exit::Done,
        (Outcome::Partial, Some(Kind::Corrupt)) => Exit::Damaged,
        (Outcome::Partial, _) => Exit::Partial,
        (Outcome::Failed, kind) => kind.map_or(Exit::Failed, Exit::of_kind),
    }
}

fn print(report: &RestoreReport, to: &Target<'_>, zone: &TimeZone) {
    let took = words::duration(report.ended.duration_since(report.started));
    let (entries, bytes) = (words::counted(report.entries, "entry", "entries"), words::bytes(report.bytes));
    let (job, id) = (&report.job, report.snapshot.short());
    let at = match &report.at {
        Moment::Latest => String::new(),
        at => format!(", for recovery to {}", shown(at, zone)),
    };
    let taken = words::time_in(report.taken, zone);
    let but = if report.outcome == Outcome::Partial { ", but not all of it" } else { "" };
    ui::result(format!("{job}: snapshot {id} of {taken} restored into {to} in {took}{at}{but}"));
    let whose = if report.outcome == Outcome::Partial { " of what was restored" } else { "" };
    ui::result(format!("  {entries}, {bytes}; every chunk{whose} was checked"));
    if report.entries_deleted > 0 {
        let deleted = words::counted(report.entries_deleted, "entry", "entries");
        ui::result(format!("  {deleted} deleted that the snapshot does not have, with all that lay in them"));
    }
    if report.entries_left > 0 {
        let left = words::counted(report.entries_left, "entry", "entries");
        // Not what the snapshot has: never left out.
        ui::line(format!("  {left} left as found, because something was there already; content was not compared"));
    }
}

/// What is missing is named where the operator looks first.
fn print_missing(report: &RestoreReport) {
    const SHOWN: usize = 10;
    if report.not_restored_count == 0 {
        return;
    }
    let count = words::counted(report.not_restored_count, "entry", "entries");
    ui::note(format!("  not restored: {count}"));
    for (path, why) in report.not_restored.iter().take(SHOWN) {
        ui::note(format!("    {path}: {}", why.replace('\n', "\n      ")));
    }
    if report.not_restored_count > SHOWN as u64 {
        ui::note("    … and more: `--json` lists the first hundred");
    }
    if report.files_read + report.not_restored_count < report.files {
        let (read, files) = (words::count(report.files_read), words::counted(report.files, "file", "files"));
        ui::note(format!("  {read} of {files} were read: the plugin did not go on"));
    }
}
