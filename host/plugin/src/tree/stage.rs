//! Where something is made that has a name before it is what it is to be, and that has no descriptor from its making on: in the
//! directory itself, or, where others could put something of theirs in its place meanwhile, in a directory of its own that only
//! this user may enter.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::beneath;
use super::new_file::open_temporary;
use super::place::Place;
use super::trust::is_ours_alone;
use super::write::{unlink, with_temporary_name};

/// Only this user may enter.
const MODE_OF_A_STAGE: u32 = 0o700;

/// A directory to make something in. What is left in it is lost; it is removed when it is dropped.
pub(super) struct Stage {
    parent: Arc<OwnedFd>,
    own: Option<(OwnedFd, OsString)>,
}

impl Stage {
    /// For something that is to have a name in this place.
    pub(super) fn beside(place: &Place) -> Result<Self, Errno> {
        let parent = place.parent.clone();
        let own = match is_ours_alone(&fs::fstat(&*parent)?) {
            true => None,
            false => Some(with_temporary_name(|name| make_directory(&parent, name, MODE_OF_A_STAGE))?),
        };
        Ok(Stage { parent, own })
    }

    pub(super) fn directory(&self) -> &OwnedFd {
        self.own.as_ref().map_or(&self.parent, |(own, _)| own)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((_, name)) = &self.own {
            let _ = fs::unlinkat(&*self.parent, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Makes a directory, and opens the very one that was made.
///
/// # Errors
/// `AGAIN` if somebody put another in its place meanwhile.
pub(super) fn make_directory(parent: &OwnedFd, name: &OsStr, mode: u32) -> Result<OwnedFd, Errno> {
    fs::mkdirat(parent, name, Mode::from_raw_mode(mode))?;
    let made = beneath(parent, name, OFlags::DIRECTORY | OFlags::RDONLY)?;
    if is_ours_alone(&fs::fstat(parent)?) || (is_empty(&made)? && is_made_here(&made, parent)?) {
        return Ok(made);
    }
    Err(Errno::AGAIN)
}

pub(super) fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    for item in Dir::read_from(directory)? {
        if !matches!(item?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a directory belongs to whom all belongs that this process makes there. Some file systems give it to somebody else.
fn is_made_here(made: &OwnedFd, parent: &OwnedFd) -> Result<bool, Errno> {
    let owner = fs::fstat(made)?.st_uid;
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(true);
    }
    let (file, name) = open_temporary(parent)?;
    let ours = fs::fstat(&file)?.st_uid;
    let _ = unlink(parent, &name);
    Ok(owner == ours)
}
