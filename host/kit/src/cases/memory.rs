//! Memory: below the limit, and how far below.

use dozo_plugin::Limits;

use crate::limits::MEMORY_BYTES_MIN;
use crate::outcome::Outcome;
use crate::trial::{Trial, in_words};

pub(crate) async fn memory(trial: &Trial) -> Outcome {
    let (first, _) = trial.first()?;
    let (peak, limit) = (first.report.usage.memory_bytes, trial.config.limits.memory_bytes);
    let half = (limit / 2).max(MEMORY_BYTES_MIN);
    let limits = Limits { memory_bytes: half, ..trial.config.limits.clone() };
    let report = trial.try_run("half-memory", &trial.source_with(trial.config.grants.open()?, limits)?).await?;
    let with_half = match &report.error {
        None => "half of it is enough".to_string(),
        Some(failure) => format!("half of it is not enough: {}", in_words(failure)),
    };
    if report.error.is_none() {
        let taken = trial.complete(report).await?;
        trial.is_like_first(&taken, "the backup with half of the memory").await?;
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Ok(vec![format!("{} of {} MiB used; {with_half}", mib(peak), mib(limit))])
}
