//! The one request: JSON to a server of Slack's kind.

use dozo_sdk::http::Request;
use dozo_sdk::prelude::*;
use serde_json::Value;

use crate::answer::Answer;

/// Longer answers are none of Slack's: its words have a line, `auth.test` some.
const BODY_MAX: u32 = 64 << 10;

/// Posts JSON, with a token if there is one.
pub(crate) fn post(url: &str, token: Option<&str>, json: &Value) -> Result<Answer> {
    // With its charset named, or Slack's API warns.
    let request = Request::post(url).header("content-type", "application/json; charset=utf-8");
    let request = token.into_iter().fold(request, Request::bearer);
    let response = request.body(json.to_string()).send()?;
    let retry_after = response.retry_after().map(|time| time.as_secs());
    Ok(Answer { status: response.status, retry_after, body: read(&response.body)? })
}

/// As much of the body as is looked at.
fn read(content: &Content) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(left) = BODY_MAX.checked_sub(bytes.len() as u32).filter(|left| *left > 0) {
        let piece = content.read(left)?;
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
