//! The one request: JSON to a server of Slack's kind.

use dozo_sdk::bindings::dozo::plugin::http;
use dozo_sdk::prelude::*;
use serde_json::Value;

use crate::answer::Answer;

/// Longer answers are none of Slack's.
const BODY_MAX: usize = 64 << 10;

/// Posts JSON, with a token if there is one.
pub(crate) fn post(url: &str, token: Option<&str>, json: &Value) -> Result<Answer> {
    let mut headers = vec![("content-type".to_string(), "application/json; charset=utf-8".to_string())];
    headers.extend(token.map(|token| ("authorization".to_string(), format!("Bearer {token}"))));
    let body = http::Body::Bytes(json.to_string().into_bytes());
    let response = http::send(http::Request { method: "POST".into(), url: url.into(), headers, body })?;
    let retry_after = response.headers.iter().find(|(name, _)| name == "retry-after");
    Ok(Answer {
        status: response.status,
        retry_after: retry_after.and_then(|(_, seconds)| seconds.trim().parse().ok()),
        body: read(&response.body)?,
    })
}

fn read(content: &Content) -> Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < BODY_MAX {
        let piece = content.read((BODY_MAX - bytes.len()) as u32)?;
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
