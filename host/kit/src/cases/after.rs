//! What the host calls after a run, perhaps more than once because it was not sure; and questions that nobody foresaw.

use dozo_job::port::Source;
use dozo_plugin::died;

use crate::outcome::{Ended, Outcome, told};
use crate::trial::{TRAP, Trial};

pub(crate) async fn after(trial: &Trial) -> Outcome {
    let (first, _) = trial.first()?;
    let (source, config) = (trial.source()?, trial.config.config.as_str());
    for time in ["the first time", "the second time"] {
        for (what, result) in [
            ("committed", source.committed(config, first.attributes.clone()).await),
            ("abandoned", source.abandoned(config).await),
        ] {
            if let Err(error) = result {
                let advice = match died(&error.to_string()) {
                    true => TRAP,
                    false => "the host calls it again when it is not sure: what is done already is no error",
                };
                return Err(Ended::failed(format!("`{what}` fails {time}: {}", told(&error)), advice));
            }
        }
    }
    let question = "dozo-kit: a question\0 that no source knows; DROP TABLE \u{1f980}";
    match source.probe(config, question).await {
        Err(error) if died(&error.to_string()) => {
            Err(Ended::failed(format!("an unknown question kills it: {}", error.chain()), TRAP))
        }
        _ => Ok(Vec::new()),
    }
}
