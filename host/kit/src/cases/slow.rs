//! A store that is slow: every call of the plugin takes longer.

use std::time::Duration;

use crate::faults::Plan;
use crate::limits::{SLOW_CALL, SLOW_RUN};
use crate::outcome::Outcome;
use crate::trial::{Calls, Trial};

pub(crate) async fn slow(trial: &Trial) -> Outcome {
    let (_, Calls(calls)) = trial.first()?;
    let share = SLOW_RUN / u32::try_from(*calls).unwrap_or(u32::MAX).max(1);
    let delay = share.clamp(Duration::from_millis(1), SLOW_CALL);
    let taken = trial.run("slow", &trial.faulty(Plan::Delay(delay))?).await?;
    trial.is_like_first(&taken, "the backup to a slow store").await?;
    let mib = taken.report.usage.memory_bytes.div_ceil(1 << 20);
    Ok(vec![format!("{calls} calls took {} ms longer each; {mib} MiB of memory", delay.as_millis())])
}
