//! What Slack answered, as an error by what the operator can do about it. Pure.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://docs.slack.dev/reference/methods/chat.postMessage>

use std::time::Duration;

use dozo_sdk::prelude::*;

use crate::text::cut;

/// Longest word of Slack's that is repeated.
const WORD_MAX: usize = 200;
/// How long to wait where Slack does not say.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header of that name, in seconds.
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
}

/// What an answer means.
#[derive(Debug)]
pub(crate) enum Verdict {
    Done,
    /// Too much at once: again after this long.
    Wait(Duration),
    Failed(Error),
}

/// An incoming webhook answers with a status and a word.
pub(crate) fn of_webhook(answer: &Answer) -> Verdict {
    match answer.status {
        200..300 => Verdict::Done,
        429 => Verdict::Wait(answer.pause()),
        status => Verdict::Failed(refusal(status, &answer.word())),
    }
}

/// A method of the API answers 200 even where it refuses, and says so in the body.
pub(crate) fn of_method(answer: &Answer) -> Verdict {
    match answer.status {
        200..300 => {}
        429 => return Verdict::Wait(answer.pause()),
        status => return Verdict::Failed(refusal(status, &answer.word())),
    }
    let Ok(said) = serde_json::from_str::<serde_json::Value>(&answer.body) else {
        return Verdict::Failed(Error::Invalid(
            "the server does not answer as Slack's API does; hint: is `url` right?".into(),
        ));
    };
    if said["ok"] == true {
        return Verdict::Done;
    }
    match said["error"].as_str().unwrap_or("no error named") {
        "ratelimited" | "rate_limited" => Verdict::Wait(answer.pause()),
        word => Verdict::Failed(refused_by_method(&cut(&printable(word), WORD_MAX))),
    }
}

impl Answer {
    fn pause(&self) -> Duration {
        self.retry_after.map_or(RETRY_AFTER, |seconds| Duration::from_secs(seconds.max(1)))
    }

    /// What Slack said, if it is a word and no page.
    fn word(&self) -> String {
        let said = serde_json::from_str::<serde_json::Value>(&self.body).unwrap_or_default();
        let field = said.get("error").or(said.get("message")).and_then(|word| word.as_str());
        let word = printable(field.unwrap_or(&self.body));
        if word.starts_with('<') { String::new() } else { cut(word.trim(), WORD_MAX) }
    }
}

fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// What to do about Slack's words.
fn hint(word: &str) -> &'static str {
    match word {
        "no_service" | "no_team" | "invalid_token" | "channel_is_archived" | "is_archived" => {
            "; hint: the webhook or channel is gone: make a new one and change the secret"
        }
        "channel_not_found" | "not_in_channel" => {
            "; hint: is the channel right, and is the app in it (`/invite @APP`)?"
        }
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
            "; hint: the token is not good any more: install the app again and change the secret"
        }
        "missing_scope" => "; hint: give the app the scope `chat:write` and install it again",
        _ => "",
    }
}

fn refusal(status: u16, word: &str) -> Error {
    let said = if word.is_empty() { String::new() } else { format!(": {word}") };
    let message = format!("Slack refused the message with status {status}{said}{}", hint(word));
    match status {
        401 | 403 => Error::Denied(message),
        408 | 500.. => Error::Unavailable(format!("Slack has trouble, status {status}{said}")),
        300..=399 => Error::Invalid(format!("the server sends elsewhere, status {status}; hint: is `url` right?")),
        _ => Error::Invalid(message),
    }
}

fn refused_by_method(word: &str) -> Error {
    let message = format!("Slack refused the message: {word}{}", hint(word));
    match word {
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "missing_scope"
        | "no_permission"
        | "not_in_channel"
        | "restricted_action"
        | "org_login_required"
        | "ekm_access_denied"
        | "not_allowed_token_type"
        | "access_denied"
        | "team_access_not_granted" => Error::Denied(message),
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" | "team_added_to_org" => {
            Error::Unavailable(message)
        }
        _ => Error::Invalid(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.into() }
    }

    fn failed(verdict: Verdict) -> Error {
        match verdict {
            Verdict::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_webhook_answers_with_its_status() {
        assert!(matches!(of_webhook(&answer(200, "ok")), Verdict::Done));
        let gone = failed(of_webhook(&answer(404, "no_service")));
        assert!(
            matches!(&gone, Error::Invalid(why) if why.contains("no_service") && why.contains("hint: ")),
            "{gone:?}"
        );
        assert!(matches!(failed(of_webhook(&answer(403, "invalid_token"))), Error::Denied(_)));
        assert!(matches!(failed(of_webhook(&answer(503, "<html>"))), Error::Unavailable(why) if !why.contains('<')));
        assert!(matches!(failed(of_webhook(&answer(302, ""))), Error::Invalid(why) if why.contains("elsewhere")));
    }

    #[test]
    fn a_method_that_answers_200_may_have_refused() {
        assert!(matches!(of_method(&answer(200, r#"{"ok": true}"#)), Verdict::Done));
        let error = failed(of_method(&answer(200, r#"{"ok": false, "error": "invalid_auth"}"#)));
        assert!(matches!(&error, Error::Denied(why) if why.contains("invalid_auth")), "{error:?}");
        let error = failed(of_method(&answer(200, r#"{"ok": false, "error": "channel_not_found"}"#)));
        assert!(matches!(&error, Error::Invalid(why) if why.contains("channel_not_found")), "{error:?}");
        assert!(matches!(failed(of_method(&answer(200, "hello"))), Error::Invalid(_)));
        assert!(matches!(failed(of_method(&answer(200, "{}"))), Error::Invalid(_)), "no `ok` is no success");
    }

    #[test]
    fn a_limit_of_rate_is_waited_for() {
        let limited = Answer { retry_after: Some(30), ..answer(429, "") };
        assert!(matches!(of_webhook(&limited), Verdict::Wait(time) if time == Duration::from_secs(30)));
        let ratelimited = r#"{"ok": false, "error": "ratelimited"}"#;
        assert!(matches!(of_method(&answer(200, ratelimited)), Verdict::Wait(time) if time == RETRY_AFTER));
    }
}
