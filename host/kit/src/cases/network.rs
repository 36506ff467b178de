//! Connections that are refused, cut and stalled. What a plugin cannot tell from an end it must not take for one.

use std::sync::Arc;
use std::time::Instant;

use dozo_job::{Kind, Report};
use dozo_plugin::{Limits, died};

use crate::faults::{Line, LinePlan};
use crate::limits::{LINE_DEADLINE, LINE_WAIT};
use crate::outcome::{Ended, Outcome};
use crate::trial::{TRAP, Trial, in_words};

pub(crate) async fn network(trial: &Trial) -> Outcome {
    trial.first()?;
    let config = &trial.config;
    let needs = trial.plugin.needs(&config.config, config.secrets.clone()).await?;
    if needs.network.is_empty() {
        return Err(Ended::skipped("it needs no connection"));
    }
    let (line, report) = through(trial, "carried", LinePlan::Carry).await?;
    trial.is_like_first(&trial.complete(report).await?, "the backup through a proxy").await?;
    let total = line.carried();
    if total == 0 {
        return Err(Ended::skipped("it made no connection that could be cut: Unix sockets are not"));
    }
    let mut plans = vec![LinePlan::Refuse];
    let mut points = vec![0, 1, 100, total / 3, total * 2 / 3, total - 1];
    points.sort_unstable();
    points.dedup();
    plans.extend(points.iter().filter(|point| **point < total).map(|point| LinePlan::CutAfter(*point)));
    plans.extend([LinePlan::StallAfter(0), LinePlan::StallAfter(total / 2)]);
    for (number, plan) in plans.iter().enumerate() {
        let begun = Instant::now();
        let (_, report) = through(trial, &format!("line-{number}"), *plan).await?;
        judge(trial, *plan, report).await?;
        if begun.elapsed() > LINE_DEADLINE {
            let why = format!("{} it took {} s to fail", in_what(*plan), begun.elapsed().as_secs());
            return Err(Ended::failed(why, "do not try again in the plugin: the operator's schedule does"));
        }
    }
    Ok(vec![format!("{total} bytes came from servers; refused, cut and stalled in {} ways", plans.len())])
}

/// A run whose connections all go through a line of ours.
async fn through(trial: &Trial, job: &str, plan: LinePlan) -> Outcome<(Arc<Line>, Report)> {
    let line = Line::new(plan);
    let mut grants = trial.config.grants.open()?;
    grants.network = grants.network.with_resolver(line.clone());
    let limits = Limits { connect: LINE_WAIT, idle: LINE_WAIT, ..trial.config.limits.clone() };
    let report = trial.try_run(job, &trial.source_with(grants, limits)?).await?;
    Ok((line, report))
}

/// It must have failed as unavailable; or it has everything all the same, where the fault came after the last byte that
/// mattered.
async fn judge(trial: &Trial, plan: LinePlan, report: Report) -> Outcome<()> {
    let what = in_what(plan);
    let Some(failure) = &report.error else {
        let taken = trial.complete(report).await?;
        return trial.is_like_first(&taken, &format!("the backup {what}")).await.map_err(|ended| match ended {
            Ended::Failed { why, .. } => Ended::failed(
                format!("it took what came for all there is: {why}"),
                "know the end from the protocol (a length, a trailer, a last message), never from silence",
            ),
            skipped @ Ended::Skipped { .. } => skipped,
        });
    };
    if died(&failure.message) {
        return Err(Ended::failed(format!("{what} it died: {}", in_words(failure)), TRAP));
    }
    if failure.kind != Kind::Unavailable {
        let why = format!("{what} it fails as something else: {}", in_words(failure));
        return Err(Ended::failed(why, "`Error::Unavailable` is what may be tried again; hand the host's error on"));
    }
    Ok(())
}

fn in_what(plan: LinePlan) -> String {
    match plan {
        LinePlan::Carry => "over a good line".into(),
        LinePlan::Refuse => "when nobody listens".into(),
        LinePlan::CutAfter(bytes) => format!("when the line is cut after {bytes} bytes"),
        LinePlan::StallAfter(bytes) => format!("when nothing comes after {bytes} bytes"),
    }
}
