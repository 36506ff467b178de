//! `dozo verify`: does the repository hold what it says it holds?

use std::sync::Arc;

use dozo_repository::{Depth, Error, Findings, ReadLease, Sample, VerifyCounters, verify as verify_view};

use crate::args::{Global, VerifyArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::ui::{self, progress, words};

pub(crate) async fn verify(global: &Global, args: &VerifyArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let sample = args.read_data.as_deref().map(sample).transpose()?;
    let repository = context.repository().await?;
    let keys = match sample {
        Some(_) => Some(context.read_keys(&repository, &args.identity).await?),
        None => None,
    };
    let lease = context.read_lease(&repository).await?;
    let view = lease.view().await?;
    let depth = match (sample, &keys) {
        (Some(sample), Some(keys)) => Depth::Data(sample, keys),
        _ if args.scrub => Depth::Scrub(Sample::All),
        _ => Depth::Structure,
    };
    let counters = Arc::new(VerifyCounters::default());
    let shown = progress::Shown::begin("verify".into(), progress::of_verification(&counters));
    let findings = verify_view(&view, depth, &counters).await;
    drop(shown);
    released(lease).await;
    let findings = findings?;
    if global.json {
        ui::json(&json(&findings))?
    } else {
        print(&findings, args)
    }
    Ok(if findings.is_clean() { Exit::Done } else { Exit::Damaged })
}

/// A lease that could not be released ends by itself: worth a note, not a failure.
pub(crate) async fn released(lease: ReadLease) {
    if let Err(error) = lease.release().await {
        ui::note(format!("note: {}", error.chain()));
    }
}

/// `100`, `10`, `10%`.
fn sample(text: &str) -> anyhow::Result<Sample> {
    let percent = text.trim_end_matches('%').parse::<u8>().ok().filter(|n| (1..=100).contains(n));
    let percent = percent.ok_or_else(|| Error::invalid(format!("`--read-data={text}`: 1% to 100%")))?;
    if percent == 100 {
        return Ok(Sample::All);
    }
    let seed = getrandom::u64().map_err(|e| Error::internal(format!("ask the system for random numbers: {e}")))?;
    Ok(Sample::Percent(percent, seed))
}

fn print(findings: &Findings, args: &VerifyArgs) {
    for problem in &findings.problems {
        ui::line(format!("damaged: {}: {}", problem.object, problem.why.chain()));
    }
    for (snapshot, path, why) in &findings.damaged {
        ui::line(format!("damaged: {} /{path}: {why}", snapshot.short()));
    }
    if findings.damaged_count > findings.damaged.len() as u64 {
        ui::line(format!("damaged: {} entries in all", words::count(findings.damaged_count)));
    }
    let snapshots = words::counted(findings.snapshots, "snapshot", "snapshots");
    let entries = words::counted(findings.entries, "entry", "entries");
    let packs = words::counted(findings.packs, "pack", "packs");
    let depth = match (&args.read_data, args.scrub) {
        (Some(_), _) => format!(
            "{} packs ({}) decrypted, every chunk compared with its id",
            words::count(findings.packs_read),
            words::bytes(findings.bytes_read)
        ),
        (None, true) => format!(
            "{} packs ({}) compared with their digests",
            words::count(findings.packs_read),
            words::bytes(findings.bytes_read)
        ),
        (None, false) => "content not read: `--scrub` or `--read-data` do".to_string(),
    };
    let verdict = if findings.is_clean() { "whole" } else { "DAMAGED" };
    ui::line(format!("{verdict}: {snapshots}, {entries}, {packs}; {depth}"));
    if !findings.is_clean() {
        ui::note(
            "hint: entries that are not named still restore; the next run stores again what it finds at the source",
        );
    }
}

fn json(findings: &Findings) -> serde_json::Value {
    let problems: Vec<_> = findings.problems.iter().map(|p| serde_json::json!([p.object, p.why.chain()])).collect();
    serde_json::json!({
        "schema": "dozo/verification/1",
        "clean": findings.is_clean(),
        "snapshots": findings.snapshots,
        "entries": findings.entries,
        "packs": findings.packs,
        "packs_read": findings.packs_read,
        "bytes_read": findings.bytes_read,
        "problems": problems,
        "damaged": findings.damaged,
        "damaged_count": findings.damaged_count,
    })
}
