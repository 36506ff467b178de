//! A name for what was made, if nothing has it. Not every file system can do that in one step: NFS, 9p and some FUSE cannot.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, RenameFlags};
use rustix::io::Errno;

use super::trust::is_ours_alone;
use super::write::unlink;

/// Where something is: a directory, and a name in it.
type Named<'a> = (&'a OwnedFd, &'a OsStr);

/// Renames something, never over what is there.
///
/// # Errors
/// `EXIST` if something is there, `OPNOTSUPP` if the file system has no way to make sure that there is not.
pub(super) fn name_free((at, temporary): Named<'_>, (parent, name): Named<'_>) -> Result<(), Errno> {
    match fs::renameat_with(at, temporary, parent, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => name_step_by_step((at, temporary), (parent, name)),
        renamed => renamed,
    }
}

/// By a second name, which is never given to what has one; or, where there are no second names and nobody else makes names, by
/// looking first.
fn name_step_by_step((at, temporary): Named<'_>, (parent, name): Named<'_>) -> Result<(), Errno> {
    match fs::linkat(at, temporary, parent, name, AtFlags::empty()) {
        Ok(()) => unlink(at, temporary),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::MLINK) => {
            name_after_a_look((at, temporary), (parent, name))
        }
        Err(errno) => Err(errno),
    }
}

fn name_after_a_look((at, temporary): Named<'_>, (parent, name): Named<'_>) -> Result<(), Errno> {
    if !is_ours_alone(&fs::fstat(parent)?) {
        return Err(Errno::OPNOTSUPP);
    }
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => fs::renameat(at, temporary, parent, name),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{Mode, OFlags};

    use super::*;

    /// A way to name something.
    type Way = fn(Named<'_>, Named<'_>) -> Result<(), Errno>;

    #[test]
    fn a_name_is_taken_only_if_it_is_free_whatever_the_file_system_can_do() {
        let ways: [Way; 3] = [name_free, name_step_by_step, name_after_a_look];
        for (number, way) in ways.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let here = fs::open(dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
            let name = |from: &str, to: &str| way((&here, OsStr::new(from)), (&here, OsStr::new(to)));
            std::fs::write(at("file"), "new").unwrap();
            symlink("nowhere", at("link")).unwrap();
            std::fs::write(at("taken"), "old").unwrap();
            symlink("taken", at("to-taken")).unwrap();
            for from in ["file", "link"] {
                for to in ["taken", "to-taken"] {
                    assert_eq!(name(from, to), Err(Errno::EXIST), "{number}: {from} {to}");
                }
                assert_eq!(name(from, &format!("{from}-named")), Ok(()), "{number}: {from}");
                assert!(!at(from).is_symlink() && !at(from).exists(), "{number}: {from}");
            }
            assert_eq!(std::fs::read_to_string(at("file-named")).unwrap(), "new");
            assert_eq!(std::fs::read_link(at("link-named")).unwrap(), std::path::Path::new("nowhere"));
            assert_eq!(std::fs::read_to_string(at("taken")).unwrap(), "old");
        }
    }

    #[test]
    fn nothing_is_named_by_a_look_where_others_make_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let here = fs::open(dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        let named = name_after_a_look((&here, OsStr::new("file")), (&here, OsStr::new("free")));
        assert_eq!(named, Err(Errno::OPNOTSUPP));
    }
}
