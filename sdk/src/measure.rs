//! By what the host compares a snapshot with the last good one of its job.

use serde::{Deserialize, Serialize};

use crate::{Backup, Error, Result};

/// The attribute in which it stands.
const ATTRIBUTE: &str = "dozo.measure";
/// Longer values of attributes are not kept.
const JSON_BYTES: usize = 60 << 10;

/// The size of what was backed up. Without it the host compares the entries and bytes of the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measure {
    /// What stands for the count of entries, where that says little: a log that is kept beside a database grows and shrinks.
    /// If one of the two is given, the other is not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// The same for bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Places that are looked at each for itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The next snapshot must be built on this one even if this one is suspicious: the source forgets what is in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

/// A place that is looked at for itself: that it is empty, or lies elsewhere and has less in it than before, is suspicious.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The path of its entry.
    pub name: String,
    /// What it lies on, in a word that stays as long as that is the same.
    #[serde(default)]
    pub on: String,
    /// Entries in it.
    pub entries: u64,
}

impl Backup {
    /// Says by what the host is to compare this snapshot with the last good one. Parts that are too many to keep are left
    /// out, the last first.
    pub fn measure(&self, measure: &Measure) -> Result<()> {
        let mut measure = measure.clone();
        loop {
            let json = serde_json::to_string(&measure).map_err(|e| Error::Internal(e.to_string()))?;
            if json.len() <= JSON_BYTES || measure.parts.is_empty() {
                self.set_attribute(ATTRIBUTE, &json);
                return Ok(());
            }
            measure.parts.truncate(measure.parts.len() / 2);
        }
    }

    /// What the previous snapshot said.
    pub fn previous_measure(&self) -> Option<Measure> {
        serde_json::from_str(&self.previous_attribute(ATTRIBUTE)?).ok()
    }
}
