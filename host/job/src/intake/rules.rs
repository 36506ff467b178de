//! What a snapshot can hold, and what a source must have done to have one.

use std::collections::HashMap;

use dozo_repository::{Entry, EntryKind, Error, Result, path};

use super::Unresolved;
use crate::limits::{ATTRIBUTES, BATCH_ENTRIES, NAMES_IN_MESSAGE, TEXT_BYTES};

/// A snapshot without an entry is no backup, whatever the plugin says of it (restic#5667, borg#5144).
pub(super) fn nothing(omitted: &[(String, String)]) -> Error {
    match omitted.first() {
        Some((path, why)) => {
            Error::denied(format!("nothing could be read; the first is `{}`: {why}", path::shown(path)))
        }
        None => Error::corrupt("the source has no entry at all")
            .hinted("an empty source is most often one that is not mounted, or a wrong path"),
    }
}

/// Which entries were begun and left.
pub(super) fn unresolved(entries: &HashMap<String, Unresolved>) -> Error {
    let mut names: Vec<&String> = entries.keys().collect();
    names.sort();
    let told = |name: &&String| match &entries[*name].why {
        Some(why) => format!("`{}` ({why})", path::shown(name)),
        None => format!("`{}`", path::shown(name)),
    };
    let mut list: Vec<String> = names.iter().take(NAMES_IN_MESSAGE).map(told).collect();
    if names.len() > NAMES_IN_MESSAGE {
        list.push(format!("{} more", names.len() - NAMES_IN_MESSAGE));
    }
    Error::internal(format!("the plugin said it was done, but neither finished nor omitted {}", list.join(", ")))
}

/// What a snapshot can hold, and a restore can make again.
pub(super) fn check_entry(entry: &Entry) -> Result<()> {
    path::check(&entry.path)?;
    let shown = || path::shown(&entry.path);
    if entry.modified.is_some_and(|time| time.nanoseconds > 999_999_999) {
        return Err(Error::invalid(format!("`{}` has a time with more than 999,999,999 nanoseconds", shown())));
    }
    if entry.posix.as_ref().is_some_and(|posix| posix.mode > 0o7777) {
        return Err(Error::invalid(format!("`{}` has a mode beyond 0o7777", shown())));
    }
    if let EntryKind::Hardlink(target) = &entry.kind {
        path::check(target).map_err(|e| e.context(format!("the hard link `{}` points wrong", shown())))?;
    }
    Ok(())
}

pub(super) fn check_batch(length: usize) -> Result<()> {
    if length <= BATCH_ENTRIES {
        return Ok(());
    }
    Err(Error::invalid(format!("a batch of {length} entries; at most {BATCH_ENTRIES} go into one")))
}

pub(super) fn check_text(noun: &str, text: &str) -> Result<()> {
    if text.len() <= TEXT_BYTES {
        return Ok(());
    }
    Err(Error::invalid(format!("{noun} has {} bytes; at most {TEXT_BYTES} are kept", text.len())))
}

pub(super) fn push_bounded(list: &mut Vec<(String, String)>, name: String, value: String, noun: &str) -> Result<()> {
    if list.len() >= ATTRIBUTES {
        return Err(Error::invalid(format!("more than {ATTRIBUTES} {noun}")));
    }
    list.push((name, value));
    Ok(())
}
