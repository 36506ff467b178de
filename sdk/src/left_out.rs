//! What a source does not look at, which a restore that deletes must leave alone.

use serde::Serialize;

use crate::{Backup, Error, Result};

/// The attribute in which it stands.
const ATTRIBUTE: &str = "dozo.left-out";
/// Longer values of attributes are not kept.
const JSON_BYTES: usize = 60 << 10;

/// What was left out. A snapshot that does not say it is restored without `--delete` alone.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeftOut {
    /// Paths of entries: what the source was to look at.
    pub roots: Vec<String>,
    /// Patterns, as the filesystem plugin has them, of what was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// If there are any, only files that match were looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Files that are larger were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<u64>,
    /// Paths of entries that were left out for other reasons; of a directory, all that is in it, though it is there itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// How many more.
    pub more: u64,
}

impl LeftOut {
    /// The same, with no more than can be kept. What is missing is counted.
    fn bounded(&self) -> Result<String> {
        let mut told = self.clone();
        loop {
            let json = serde_json::to_string(&told).map_err(|e| Error::Internal(e.to_string()))?;
            if json.len() <= JSON_BYTES {
                return Ok(json);
            }
            if told.places.is_empty() {
                // Patterns that are too many to keep leave out nobody knows what.
                told = LeftOut { more: told.more + 1, ..LeftOut::default() };
            }
            let kept = told.places.len() / 2;
            told.more += (told.places.len() - kept) as u64;
            told.places.truncate(kept);
        }
    }
}

impl Backup {
    /// Says what was left out.
    pub fn left_out(&self, left_out: &LeftOut) -> Result<()> {
        self.set_attribute(ATTRIBUTE, &left_out.bounded()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_keep_is_counted() {
        let many = |count: usize| (0..count).map(|n| format!("srv/app/directory-{n}")).collect::<Vec<_>>();
        let few = LeftOut { places: many(10), ..LeftOut::default() };
        assert!(few.bounded().unwrap().contains(r#""more":0"#));
        for too_much in [
            LeftOut { places: many(10_000), ..LeftOut::default() },
            LeftOut { exclude: many(10_000), ..LeftOut::default() },
        ] {
            let json = too_much.bounded().unwrap();
            assert!(json.len() <= JSON_BYTES && !json.contains(r#""more":0"#), "{json}");
        }
    }
}
