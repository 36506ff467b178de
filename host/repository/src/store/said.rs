//! What a server says beside an object: its clock, and how long the object is locked.

use http::HeaderMap;
use jiff::Timestamp;

/// Taken from the headers of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The server's clock.
    pub(super) date: Option<Timestamp>,
    /// The kind of lock that lies on the object, and until when.
    pub(super) lock: Option<String>,
}

impl Said {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let date = text("date").and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
        let lock = text("x-amz-object-lock-mode").map(|mode| match text("x-amz-object-lock-retain-until-date") {
            Some(until) => format!("{} until {until}", mode.to_lowercase()),
            None => mode.to_lowercase(),
        });
        Said { date, lock }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_and_lock_are_heard() {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Mon, 23 Nov 2026 02:00:09 GMT".parse().unwrap());
        headers.insert("x-amz-object-lock-mode", "COMPLIANCE".parse().unwrap());
        headers.insert("x-amz-object-lock-retain-until-date", "2026-12-23T02:00:00Z".parse().unwrap());
        let said = Said::of(&headers);
        assert_eq!(said.date, "2026-11-23T02:00:09Z".parse().ok());
        assert_eq!(said.lock.as_deref(), Some("compliance until 2026-12-23T02:00:00Z"));
        headers.insert("date", "yesterday".parse().unwrap());
        assert_eq!(Said::of(&headers).date, None);
    }
}
