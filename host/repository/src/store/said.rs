//! What a server says beside an object: its clock, how long the object is locked, and how it lies in cold storage.

use http::HeaderMap;
use jiff::Timestamp;

/// Taken from the headers of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The server's clock.
    pub(super) date: Option<Timestamp>,
    /// The kind of lock that lies on the object, and until when.
    pub(super) lock: Option<String>,
    /// The class of storage in which the object lies.
    pub(super) class: Option<String>,
    /// The copy of an object in cold storage that can be read, or will be.
    pub(super) copy: Option<Copy>,
}

/// A copy of an object in cold storage, which the store was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// It is on its way.
    OnItsWay,
    /// It is there, until then.
    There(Option<Timestamp>),
}

impl Said {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let date = text("date").and_then(time);
        let lock = text("x-amz-object-lock-mode").map(|mode| match text("x-amz-object-lock-retain-until-date") {
            Some(until) => format!("{} until {until}", mode.to_lowercase()),
            None => mode.to_lowercase(),
        });
        let class = text("x-amz-storage-class").map(str::to_string);
        Said { date, lock, class, copy: text("x-amz-restore").map(Copy::of) }
    }
}

impl Copy {
    /// Such as `ongoing-request="false", expiry-date="Fri, 21 Dec 2026 00:00:00 GMT"`.
    fn of(text: &str) -> Self {
        if text.contains("ongoing-request=\"true\"") {
            return Copy::OnItsWay;
        }
        let expiry = text.split_once("expiry-date=\"").and_then(|(_, rest)| rest.split('"').next());
        Copy::There(expiry.and_then(time))
    }
}

fn time(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
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

    #[test]
    fn a_copy_is_on_its_way_or_there_for_a_time() {
        let copy = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-restore", text.parse().unwrap());
            Said::of(&headers).copy
        };
        assert_eq!(copy("ongoing-request=\"true\""), Some(Copy::OnItsWay));
        let there = "ongoing-request=\"false\", expiry-date=\"Mon, 23 Nov 2026 00:00:00 GMT\"";
        assert_eq!(copy(there), Some(Copy::There("2026-11-23T00:00:00Z".parse().ok())));
        assert_eq!(copy("ongoing-request=\"false\""), Some(Copy::There(None)));
        assert_eq!(Said::of(&HeaderMap::new()).copy, None);
    }
}
