//! Posting a message, and waiting where Slack asks to.

use std::time::Duration;

use dozo_sdk::prelude::*;
use serde_json::{Value, json};

use crate::answer::{Answer, Verdict, of_method, of_webhook};
use crate::config::Way;
use crate::request::post;

/// All waiting together. The host ends a call after twice that, and tries again later itself.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Posts a message.
pub(crate) fn deliver(way: &Way, mut message: Value) -> Result<()> {
    match way {
        Way::Webhook(url) => patiently(|| Ok(of_webhook(&post(url, None, &message)?))).map_err(|e| hide(e, url)),
        Way::Bot { api, token, channel } => {
            message["channel"] = json!(channel);
            let url = format!("{api}/chat.postMessage");
            patiently(|| Ok(of_method(&post(&url, Some(token), &message)?))).map_err(|e| hide(e, token))
        }
    }
}

/// Whether a message would arrive, without posting one.
pub(crate) fn check(way: &Way) -> Result<Vec<(String, String)>> {
    match way {
        Way::Webhook(url) => {
            // A message without text: a webhook that is there refuses it as such, one that is not says so.
            let answer = post(url, None, &json!({})).map_err(|e| hide(e, url))?;
            match (answer.status, of_webhook(&answer)) {
                (400, _) | (_, Verdict::Done) => Ok(vec![("webhook".into(), "it is there".into())]),
                (_, verdict) => Err(hide(failure(verdict), url)),
            }
        }
        Way::Bot { api, token, channel } => {
            let answer = post(&format!("{api}/auth.test"), Some(token), &json!({})).map_err(|e| hide(e, token))?;
            match of_method(&answer) {
                Verdict::Done => Ok(who(&answer, channel)),
                verdict => Err(hide(failure(verdict), token)),
            }
        }
    }
}

fn failure(verdict: Verdict) -> Error {
    match verdict {
        Verdict::Failed(error) => error,
        Verdict::Done => Error::Internal("no failure".into()),
        Verdict::Wait(time) => too_busy(time),
    }
}

fn too_busy(time: Duration) -> Error {
    Error::Unavailable(format!("Slack takes no more messages for {} s", time.as_secs()))
}

/// What a token is.
fn who(answer: &Answer, channel: &str) -> Vec<(String, String)> {
    let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let known = ["team", "user"].into_iter().filter_map(|name| Some((name.into(), said[name].as_str()?.into())));
    known.chain([("channel".into(), format!("{channel} (not asked)"))]).collect()
}

/// Tries until it is done, refused, or waited for too long.
fn patiently(mut attempt: impl FnMut() -> Result<Verdict>) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        match attempt()? {
            Verdict::Done => return Ok(()),
            Verdict::Failed(error) => return Err(error),
            Verdict::Wait(time) if waited + time <= WAIT_MAX => {
                std::thread::sleep(time);
                waited += time;
            }
            Verdict::Wait(time) => return Err(too_busy(time)),
        }
    }
}

/// An error without the secret, nor the part of a webhook's URL that is one. The host takes whole secrets out of all that a
/// plugin says; it cannot know their parts.
fn hide(error: Error, secret: &str) -> Error {
    let path = secret.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    let last = path.and_then(|path| path.rsplit('/').next());
    let parts = [Some(secret), path, last].into_iter().flatten().filter(|part| part.len() >= 4);
    let hidden = parts.fold(error.message().to_string(), |message, part| message.replace(part, "[secret]"));
    error.with_message(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_has_an_end() {
        let mut attempts = 0;
        let error = patiently(|| {
            attempts += 1;
            Ok(Verdict::Wait(WAIT_MAX + Duration::from_secs(1)))
        });
        assert!(matches!(error, Err(Error::Unavailable(_))) && attempts == 1);
        let mut verdicts = [Verdict::Wait(Duration::ZERO), Verdict::Done].into_iter();
        assert!(patiently(|| Ok(verdicts.next().unwrap())).is_ok());
    }

    #[test]
    fn no_part_of_a_secret_is_told() {
        let url = "https://hooks.slack.com/services/T000/B000/XXXXsecret";
        let of = |message: &str| hide(Error::Unavailable(message.into()), url);
        for told in
            [format!("post to {url}: refused"), "POST /services/T000/B000/XXXXsecret".into(), "XXXXsecret".into()]
        {
            let error = of(&told);
            assert!(
                matches!(&error, Error::Unavailable(why) if !why.contains("XXXX") && why.contains("[secret]")),
                "{error:?}"
            );
        }
    }
}
