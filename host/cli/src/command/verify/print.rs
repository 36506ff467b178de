//! What a verification found, for people: entries by job and path, the first of each. `--json` has them all.

use std::collections::{BTreeMap, BTreeSet};

use dozo_repository::format::snapshot::Snapshot;
use dozo_repository::{Findings, ObjectId, Problem, View};

use crate::args::VerifyArgs;
use crate::host_names::HostNames;
use crate::ui::{self, words};

/// Lines of a kind: what an operator acts on. One bad pack may touch a thousand entries.
const SHOWN: usize = 10;

pub(super) fn print(findings: &Findings, view: &View, args: &VerifyArgs) {
    findings.problems.iter().take(SHOWN).for_each(tell);
    more(findings.problems.len(), "damaged object", "damaged objects");
    for problem in findings.superseded.iter().take(SHOWN) {
        ui::line(format!("superseded: {}: {}", problem.object, problem.why.chain()));
    }
    more(findings.superseded.len(), "superseded object", "superseded objects");
    for (job, paths) in by_job(findings, view) {
        print_job(&job, &paths);
    }
    if findings.damaged_count > findings.damaged.len() as u64 {
        ui::line(format!("damaged: {} entries in all", words::count(findings.damaged_count)));
    }
    let snapshots = words::counted(findings.snapshots, "snapshot", "snapshots");
    let entries = words::counted(findings.entries, "entry", "entries");
    let packs = words::counted(findings.packs, "pack", "packs");
    let bytes = words::bytes(findings.bytes_read);
    let read = match findings.packs_read {
        read if read == findings.packs => words::counted(read, "pack", "packs"),
        read => format!("{} of {}", words::count(read), words::counted(findings.packs, "pack", "packs")),
    };
    let depth = match (&args.read_data, args.scrub) {
        (Some(_), _) if findings.packs_read < findings.packs => {
            format!("{read} ({bytes}) decrypted, every chunk in them compared with its id")
        }
        (Some(_), _) => format!("{read} ({bytes}) decrypted, every chunk compared with its id"),
        (None, true) => format!("{read} ({bytes}) compared with their digests"),
        (None, false) => "content not read: `--scrub` or `--read-data` do".to_string(),
    };
    let read = format!("{snapshots}, {entries}, {packs}; {depth}");
    if findings.is_clean() {
        ui::result(format!("whole: {read}"));
    } else {
        ui::line(format!("DAMAGED: {read}"));
        let next = match args.from.from {
            None => "; the next run stores again what it finds at the source",
            Some(_) => "",
        };
        ui::note(format!("hint: entries that are not named still restore{next}"));
    }
    if findings.is_clean() && !findings.superseded.is_empty() {
        let repair = view.repository().repair_command();
        ui::note(format!("hint: no snapshot needs what is superseded: `{repair}` removes it"));
    }
}

fn tell(problem: &Problem) {
    ui::line(format!("damaged: {}: {}", problem.object, problem.why.chain()));
    if let Some(hint) = problem.why.hint() {
        ui::advice(format!("  {hint}"));
    }
}

/// An entry that is damaged in some snapshots of a job: these, oldest first, and why.
type Paths<'a> = BTreeMap<&'a str, (Vec<ObjectId>, &'a str)>;

fn by_job<'a>(findings: &'a Findings, view: &View) -> BTreeMap<String, Paths<'a>> {
    // Jobs of several hosts may have one name.
    let hosts: BTreeSet<_> = view.snapshots().iter().map(|(_, s)| s.host.uid).collect();
    let names = HostNames::of(view);
    let name = |s: &Snapshot| match hosts.len() {
        1 => s.job.name.clone(),
        _ => format!("{}/{}", names.typed(&s.host), s.job.name),
    };
    let jobs: BTreeMap<ObjectId, String> = view.snapshots().iter().map(|(id, s)| (*id, name(s))).collect();
    let mut damaged: BTreeMap<String, Paths<'a>> = BTreeMap::new();
    for (snapshot, path, why) in &findings.damaged {
        let job = jobs.get(snapshot).cloned().unwrap_or_default();
        let (snapshots, _) = damaged.entry(job).or_default().entry(path).or_insert((Vec::new(), why));
        snapshots.push(*snapshot);
    }
    damaged
}

fn print_job(job: &str, paths: &Paths<'_>) {
    let mut snapshots: Vec<ObjectId> = paths.values().flat_map(|(snapshots, _)| snapshots).copied().collect();
    snapshots.sort_unstable();
    snapshots.dedup();
    let entries = words::counted(paths.len() as u64, "entry", "entries");
    let snapshots = words::counted(snapshots.len() as u64, "snapshot", "snapshots");
    ui::line(format!("damaged: {job}: {entries} in {snapshots}"));
    for (path, (snapshots, why)) in paths.iter().take(SHOWN) {
        let of = match snapshots.as_slice() {
            [one] => one.short(),
            [first, .., last] => {
                format!("{} snapshots, {} to {}", words::count(snapshots.len() as u64), first.short(), last.short())
            }
            [] => String::new(),
        };
        ui::line(format!("  /{path}: {why} ({of})"));
    }
    more(paths.len(), "entry", "entries");
}

/// How many were not shown.
fn more(all: usize, one: &str, many: &str) {
    if let Some(rest @ 1..) = all.checked_sub(SHOWN) {
        ui::line(format!("  … and {} more: `--json` lists them", words::counted(rest as u64, one, many)));
    }
}
