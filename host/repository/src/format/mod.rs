//! Bytes to structs and back, as docs/FORMAT.md says. Pure: no store, no keys, no clock, nothing asynchronous.
//! Stored structs live here and nowhere else; the rest of the crate uses the types of [`crate::entry`].

#[cfg(test)]
pub(crate) mod any;
pub mod circle;
pub mod damage;
pub mod index;
pub mod key;
pub mod lease;
pub mod manifest;
pub mod name;
pub mod pack;
pub mod path;
pub mod record;
pub mod snapshot;
pub mod tombstone;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The first member of every body: which struct it is.
#[derive(Deserialize)]
struct Schema {
    schema: String,
}

/// Parses a body of one JSON object, after a look at its schema.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8], schema: &str, noun: &str) -> Result<T> {
    let found: Schema = json(body, noun)?;
    if found.schema != schema {
        return Err(Error::unsupported(format!("{noun} has schema `{}`, not `{schema}`", found.schema))
            .hinted("a newer dozo wrote it: update this one"));
    }
    json(body, noun)
}

/// Parses JSON, naming what it should have been.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8], noun: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| Error::corrupt(format!("{noun} is not well formed")).caused_by(e))
}

/// Serialises what cannot fail to: our own structs with string keys.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs of this crate have string keys and no failing serializers")
}

/// Numbers that JSON readers would round travel as decimal strings.
pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a decimal number")))
    }

    /// Digits alone, without leading zeros: one number has one spelling.
    pub(crate) fn parse(text: &str) -> Option<u64> {
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if canonical { text.parse().ok() } else { None }
    }
}

/// The same for a number that may be absent.
pub(crate) mod decimal_option {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::decimal::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let text = Option::<std::borrow::Cow<str>>::deserialize(deserializer)?;
        text.map(|t| {
            super::decimal::parse(&t).ok_or_else(|| serde::de::Error::custom(format!("`{t}` is not a decimal number")))
        })
        .transpose()
    }
}
