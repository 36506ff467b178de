//! The configured paths: there, no links, and not empty. A source that is not mounted must not look like one that is.

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{Directory, Found, Place};

use crate::config::Config;
use crate::path::name;

/// What every file system of the ext family has in its root, whether anything is stored in it or not.
const LOST_AND_FOUND: &str = "lost+found";

/// What is at a configured path.
///
/// # Errors
/// If there is nothing, or nothing in it. That is one thing to whoever asks for a backup: the source is away.
pub(crate) fn look(place: &Place, config: &Config) -> Result<Found> {
    let shown = format!("/{}", place.entry_path);
    let Some(found) = place.directory.get(&place.path)? else {
        return Err(Error::Unavailable(format!("{shown} is not there: is its file system mounted?")));
    };
    if let Kind::Symlink(target) = &found.entry.kind {
        return Err(Error::Invalid(format!(
            "{shown} is a symlink to {target}: write the path that it points to, or the link alone would be kept"
        )));
    }
    if found.entry.kind != Kind::Directory || config.allow_empty {
        return Ok(found);
    }
    let what = match is_empty(&place.directory, &place.path)? {
        Some(Empty::Bare) => "is empty",
        Some(Empty::LostAndFound) => "has nothing in it but lost+found",
        None => return Ok(found),
    };
    Err(Error::Unavailable(format!(
        "{shown} {what}: is its file system mounted? (`allow_empty = true` takes it as it is)"
    )))
}

/// How a directory is empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    Bare,
    /// But for what its file system put there.
    LostAndFound,
}

/// Whether a directory has no content.
pub(crate) fn is_empty(directory: &Directory, path: &str) -> Result<Option<Empty>> {
    match directory.children(path, None, 2)?.as_slice() {
        [] => Ok(Some(Empty::Bare)),
        [one] if is_lost_and_found(one) => {
            // Who may not look into it cannot tell, and what a check of the file system found is content.
            let inside = directory.children(&one.entry.path, None, 1);
            Ok(inside.is_ok_and(|inside| inside.is_empty()).then_some(Empty::LostAndFound))
        }
        _ => Ok(None),
    }
}

pub(crate) fn is_lost_and_found(found: &Found) -> bool {
    found.entry.kind == Kind::Directory && name(&found.entry.path) == LOST_AND_FOUND
}
