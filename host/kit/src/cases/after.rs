//! What the host calls after a run, perhaps more than once because it was not sure; and questions that nobody foresaw.

use dozo_job::Result;
use dozo_job::port::{Moment, Source};
use dozo_plugin::died;

use crate::outcome::{Ended, Outcome, told};
use crate::stage::Taken;
use crate::trial::{TRAP, Trial};

const LATEST: &str = "a snapshot can always be recovered as far as it goes: answer `latest` with none";

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
    survives("an unknown question", source.probe(config, question).await)?;
    moments(&source, first).await?;
    survives("a directory that is not there", source.scratch(config, "/dozo-kit-is-not-there").await)?;
    Ok(Vec::new())
}

/// A snapshot can be recovered as far as it goes; what else is asked for may be nonsense.
async fn moments(source: &dyn Source, first: &Taken) -> Outcome<()> {
    let odd = "\u{1f980} 99/99";
    let moments = [Moment::Time(odd.into()), Moment::Position(odd.into()), Moment::Name(String::new())];
    for moment in moments {
        survives("a moment that is none", source.covers(first.attributes.clone(), moment).await)?;
    }
    match source.covers(first.attributes.clone(), Moment::Latest).await {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(Ended::failed(format!("a snapshot cannot be recovered as far as it goes: {why}"), LATEST)),
        Err(error) => Err(Ended::failed(format!("`covers` fails: {}", told(&error)), LATEST)),
    }
}

/// It may say no, and must not die of it.
fn survives<T>(what: &str, result: Result<T>) -> Outcome<()> {
    match result {
        Err(error) if died(&error.to_string()) => {
            Err(Ended::failed(format!("{what} kills it: {}", error.chain()), TRAP))
        }
        _ => Ok(()),
    }
}
