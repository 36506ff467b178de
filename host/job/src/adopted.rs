//! Files of which a restore brings another name and not the one that holds the content: the first name that it brings holds it
//! then.

use std::collections::HashMap;

use crate::limits::ADOPTED;

/// The first name that is chosen, by the path of what holds the content and is not. Paths as the snapshot has them.
#[derive(Default)]
pub(crate) struct Adopted(HashMap<String, String>);

impl Adopted {
    /// Takes note of a name, in the order of the snapshot.
    pub(crate) fn add(&mut self, holder: &str, name: &str) {
        if self.0.len() < ADOPTED && !self.0.contains_key(holder) {
            self.0.insert(holder.to_string(), name.to_string());
        }
    }

    /// The first name of it; none if there were too many to know.
    pub(crate) fn first(&self, holder: &str) -> Option<&str> {
        self.0.get(holder).map(String::as_str)
    }
}
