//! What is there already and is what the snapshot has, but for its owner or its rights. It is put right in its place only if that
//! gives nobody a right through it: whoever could write to a file may have it open, or mapped, or under another name, and goes on
//! writing to it when it is root's and set-user-id. Else it is made anew.

use rustix::fs::{self, Gid, Stat, Uid};

use dozo_job::Result;
use dozo_job::port::{Entry, Posix};

use super::Directory;
use super::apply::SET_ID_BITS;
use super::new_file::open_temporary;
use super::owners::Here;
use super::place::Place;
use super::subject::Subject;
use super::trust::is_ours;
use super::write::unlink;

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o022;
const CAPABILITY: &str = "security.capability";

impl Directory {
    /// Whether what is there may stay the file that it is, and get what its entry says.
    pub(super) fn may_be_kept(
        &self,
        subject: Subject<'_>,
        (place, stat): (&Place, &Stat),
        entry: &Entry,
    ) -> Result<bool> {
        let Some(posix) = &entry.posix else { return Ok(true) };
        if !self.has_other_rights(subject, stat, posix) {
            return Ok(true);
        }
        let here = self.0.owners.here(posix);
        if stat.st_uid != here.user && !is_ours(stat.st_uid) {
            // Who cannot give it away gives nothing with it.
            return Ok(!self.may_give(place, here));
        }
        // Its other names may lie anywhere.
        let is_alone = stat.st_nlink == 1;
        let is_written = self.others_may_write(subject, stat, (posix, here));
        Ok(is_alone && !is_written && !is_privileged(posix))
    }

    /// Whether somebody may write to it now who may not when it has its own metadata.
    fn others_may_write(&self, subject: Subject<'_>, stat: &Stat, (posix, here): (&Posix, Here)) -> bool {
        let is_of_group = stat.st_mode & GROUP_WRITES != 0;
        // With an ACL the bits of the group are all that anybody in it may do.
        let is_other_group = is_of_group && (stat.st_gid != here.group || self.has_other_xattrs(subject, posix));
        stat.st_mode & OTHERS_WRITE & !posix.mode != 0 || is_other_group
    }
}

impl Directory {
    /// Whether this process can give a file to an owner: tried with one that means nothing. A plan makes none.
    fn may_give(&self, place: &Place, here: Here) -> bool {
        if self.is_planning() {
            return rustix::process::geteuid().is_root();
        }
        let Ok((file, name)) = open_temporary(&place.parent) else { return false };
        let given = fs::fchown(&file, Some(Uid::from_raw(here.user)), Some(Gid::from_raw(here.group)));
        let _ = unlink(&place.parent, &name);
        given.is_ok()
    }
}

/// Whether whoever runs it gets rights by it.
fn is_privileged(posix: &Posix) -> bool {
    posix.mode & SET_ID_BITS != 0 || posix.xattrs.iter().any(|(name, _)| name == CAPABILITY)
}
