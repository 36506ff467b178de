//! What a server said instead of doing what it was asked: its status, its code, its message. All else of such an answer
//! is dropped where it arrives, because servers send back who asked and what was signed.

use std::fmt;

use http::StatusCode;

use super::config::Hidden;
use super::entities::resolved;

/// A longer message says no more.
const MESSAGE_BYTES_MAX: usize = 300;

/// A server's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The service's own word, such as `NoSuchBucket`; an answer without a body has none.
    pub(super) code: Option<String>,
    message: Option<String>,
}

/// What becomes of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// `object_store` knows what it means: not there, already there, try again later.
    Pass,
    /// The same request may succeed in a moment.
    Again,
    /// It is final.
    Final,
}

impl Refusal {
    /// Reads the body of an answer that is no success.
    pub(super) fn parse(status: StatusCode, body: &[u8], hidden: &[Hidden]) -> Self {
        let text = String::from_utf8_lossy(body);
        let clean = |value: &str| {
            let line = resolved(value);
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = hidden.iter().fold(line, |line, secret| secret.taken_out_of(&line));
            let end = line.char_indices().map(|(at, _)| at).find(|at| *at > MESSAGE_BYTES_MAX);
            let line = line[..end.unwrap_or(line.len())].to_string();
            Some(line).filter(|line| !line.is_empty())
        };
        let (code, message) = (between(&text, "Code"), between(&text, "Message"));
        Refusal { status, code: code.and_then(clean), message: message.and_then(clean) }
    }

    /// Whether the object is there and cannot be read, because it lies in cold storage.
    pub(super) fn is_of_cold(&self) -> bool {
        matches!(self.code.as_deref(), Some("InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated"))
    }

    /// What becomes of the request.
    pub(super) fn verdict(&self) -> Verdict {
        match (self.status, self.code.as_deref()) {
            // Not the object is missing, but the place for all of them.
            (StatusCode::NOT_FOUND, Some("NoSuchBucket" | "ContainerNotFound")) => Verdict::Final,
            // Two created the same name in the same moment: the second try finds out.
            (StatusCode::CONFLICT, Some("ConditionalRequestConflict" | "OperationAborted")) => Verdict::Again,
            (StatusCode::CONFLICT, Some("BlobArchived" | "BlobBeingRehydrated")) => Verdict::Final,
            (StatusCode::NOT_IMPLEMENTED | StatusCode::INSUFFICIENT_STORAGE, _) => Verdict::Final,
            (
                StatusCode::NOT_FOUND
                | StatusCode::CONFLICT
                | StatusCode::PRECONDITION_FAILED
                | StatusCode::NOT_MODIFIED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::RANGE_NOT_SATISFIABLE,
                _,
            ) => Verdict::Pass,
            (status, _) if status.is_server_error() => Verdict::Pass,
            _ => Verdict::Final,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status.as_u16())?;
        match (&self.code, &self.message) {
            (Some(code), Some(message)) => write!(f, " {code}: {}", message.trim_end_matches('.')),
            (Some(code), None) => write!(f, " {code}"),
            _ => write!(f, " {}", self.status.canonical_reason().unwrap_or_default()),
        }
    }
}

impl std::error::Error for Refusal {}

/// The text of the first element of this name; enough for the error documents of S3, GCS and Azure.
fn between<'a>(text: &'a str, element: &str) -> Option<&'a str> {
    let begin = text.find(&format!("<{element}>"))? + element.len() + 2;
    let end = text[begin..].find("</")? + begin;
    Some(&text[begin..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG_SECRET: &str = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>The request \
        signature we calculated does not match.\nCheck AKIDEXAMPLE.</Message><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId>\
        <StringToSign>AWS4-HMAC-SHA256</StringToSign><SignatureProvided>beef</SignatureProvided></Error>";

    #[test]
    fn only_code_and_message_are_kept_and_without_credentials() {
        let hidden = [Hidden::from("AKIDEXAMPLE".to_string())];
        let refusal = Refusal::parse(StatusCode::FORBIDDEN, WRONG_SECRET.as_bytes(), &hidden);
        assert_eq!(
            refusal.to_string(),
            "the server answered 403 SignatureDoesNotMatch: The request signature we calculated does not match. Check …"
        );
        assert!(!format!("{refusal:?}").contains("AKIDEXAMPLE"));
        assert_eq!(refusal.verdict(), Verdict::Final);
    }

    #[test]
    fn a_message_is_read_as_xml_is() {
        let hidden = [Hidden::from("a&b-secret".to_string())];
        let body = "<Code>RequestTimeTooSkewed</Code><Message>The request&#39;s time &amp; the server&apos;s \
                    differ: a&amp;b-secret&#27;</Message>";
        let refusal = Refusal::parse(StatusCode::FORBIDDEN, body.as_bytes(), &hidden);
        let expected =
            "the server answered 403 RequestTimeTooSkewed: The request's time & the server's differ: …\\u{1b}";
        assert_eq!(refusal.to_string(), expected);
    }

    #[test]
    fn answers_without_a_document_have_their_status_alone() {
        for body in ["", "<html>secret page</html>", "<Code>", "\u{fffd}<Code></Code>"] {
            let refusal = Refusal::parse(StatusCode::BAD_GATEWAY, body.as_bytes(), &[]);
            assert_eq!(refusal.to_string(), "the server answered 502 Bad Gateway");
            assert_eq!(refusal.verdict(), Verdict::Pass);
        }
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        let parse = |code: &str| {
            let body = format!("<Error><Code>{code}</Code></Error>");
            Refusal::parse(StatusCode::NOT_FOUND, body.as_bytes(), &[]).verdict()
        };
        assert_eq!(parse("NoSuchKey"), Verdict::Pass);
        assert_eq!(parse("NoSuchBucket"), Verdict::Final);
    }
}
