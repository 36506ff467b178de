//! A run that is dropped in the middle, as when the operator interrupts it: nothing of the plugin may go on.

use std::time::{Duration, Instant};

use dozo_job::port::Source;
use dozo_plugin::died;

use crate::faults::Plan;
use crate::limits::{GONE, REACHED};
use crate::outcome::{Ended, Outcome, told};
use crate::trial::{Calls, TRAP, Trial};

/// How often to look whether it is gone.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) async fn cancel(trial: &Trial) -> Outcome {
    let (_, Calls(calls)) = trial.first()?;
    let source = trial.faulty(Plan::HangAt(calls / 2 + 1))?;
    tokio::select! {
        report = trial.try_run("dropped", &source) => {
            let why = format!("the backup ended before it could be dropped: {:?}", report?.outcome);
            return Err(Ended::skipped(why));
        }
        () = source.hangs() => {}
        () = tokio::time::sleep(REACHED) => {
            let why = format!("the backup did not get to call {} in {} s", calls / 2 + 1, REACHED.as_secs());
            return Err(Ended::failed(why, "try the plugin with a smaller source"));
        }
    }
    let dropped = Instant::now();
    while source.is_alive() {
        if dropped.elapsed() > GONE {
            let why = format!("it still runs {} s after its call was dropped", GONE.as_secs());
            return Err(Ended::failed(why, "this is the host's doing: please report it"));
        }
        tokio::time::sleep(LOOK).await;
    }
    let gone = dropped.elapsed();
    if let Err(error) = trial.source()?.abandoned(&trial.config.config).await {
        let advice = if died(&error.to_string()) { TRAP } else { "`abandoned` must work after any failure" };
        return Err(Ended::failed(format!("`abandoned` fails after it: {}", told(&error)), advice));
    }
    let after = trial.run("after-dropped", &trial.source()?).await?;
    trial.is_like_first(&after, "the backup after a dropped one").await?;
    Ok(vec![format!("gone after {} ms", gone.as_millis())])
}
