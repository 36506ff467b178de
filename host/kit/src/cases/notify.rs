//! A notifier: it is told of a test, and of a job that could not run.

use dozo_job::notify::{event_of_no_run, event_of_test};
use dozo_job::port::Notifier;
use dozo_job::{Commands, Error, Failure};
use dozo_plugin::died;

use crate::outcome::{Ended, Outcome, told};
use crate::trial::{TRAP, Trial};

pub(crate) async fn notify(trial: &Trial) -> Outcome {
    let notifier = trial.notifier()?;
    let now = trial.stage.world.clock.now();
    let failure = Failure::from(&Error::unavailable("<the kit> tries & \"tells\"").hinted("nothing is to be done"));
    let events = [
        event_of_test("kit", now),
        event_of_no_run(("kit's job", "did not run"), "kit", now, &failure, &Commands::default()),
    ];
    let mut notes = Vec::new();
    for event in events {
        let kind = event.kind.word();
        if let Err(error) = notifier.notify(&trial.config.config, event).await {
            let advice =
                if died(&error.to_string()) { TRAP } else { "name somewhere in kit.toml where a test may be told" };
            return Err(Ended::failed(format!("an event of the kind `{kind}` is not told: {}", told(&error)), advice));
        }
        notes.push(format!("told an event of the kind `{kind}`"));
    }
    Ok(notes)
}
