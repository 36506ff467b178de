//! Directories above what a restore puts back may be symlinks, as they were when it was backed up: `/var/lib/app` on a larger disk.
//! They are followed name by name, each link looked at once and its target walked from there, so that nobody can change the way
//! meanwhile; never out of the granted directory, and never by a link that somebody else made.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath;

/// Links on one way; Linux itself takes 40.
const LINKS_MAX: usize = 40;

/// Why a way ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// What the kernel says.
    Kernel(Errno),
    /// It would leave the directory.
    LeadsOut,
    /// A link of another user, with its owner's number: following it would write where that user wants.
    Foreign(u32),
}

impl From<Errno> for Blocked {
    fn from(errno: Errno) -> Self {
        Blocked::Kernel(errno)
    }
}

/// Opens a directory by its names below `root`, following symlinks that root or this process's user made. `is_whole`: the root
/// is that of the file system, so that an absolute target does not leave it.
pub(super) fn follow(
    root: &Arc<OwnedFd>,
    is_whole: bool,
    names: impl Iterator<Item = OsString>,
) -> Result<Arc<OwnedFd>, Blocked> {
    let (mut way, mut links) = (vec![root.clone()], 0);
    let mut names: VecDeque<OsString> = names.collect();
    while let Some(name) = names.pop_front() {
        let here = way.last().unwrap_or(root).clone();
        match name.as_bytes() {
            b"" | b"." => continue,
            b".." => {
                // Above the root of the file system is the root itself.
                if way.len() > 1 {
                    way.pop();
                } else if !is_whole {
                    return Err(Blocked::LeadsOut);
                }
                continue;
            }
            _ => {}
        }
        match beneath(&here, &name, OFlags::DIRECTORY | OFlags::RDONLY) {
            Ok(directory) => way.push(Arc::new(directory)),
            Err(Errno::LOOP) if links < LINKS_MAX => {
                links += 1;
                let target = target(&here, &name)?;
                if target.starts_with(b"/") {
                    if !is_whole {
                        return Err(Blocked::LeadsOut);
                    }
                    way.truncate(1);
                }
                for part in target.rsplit(|byte| *byte == b'/') {
                    names.push_front(OsString::from_vec(part.to_vec()));
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(way.pop().unwrap_or_else(|| root.clone()))
}

/// Where a symlink leads that may be followed.
fn target(directory: &OwnedFd, name: &OsString) -> Result<Vec<u8>, Blocked> {
    let link = fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fs::fstat(&link)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Err(Errno::AGAIN.into());
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Blocked::Foreign(stat.st_uid));
    }
    Ok(fs::readlinkat(link.as_fd(), "", Vec::with_capacity(256))?.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(path: &str) -> impl Iterator<Item = OsString> {
        path.split('/').map(OsString::from).collect::<Vec<_>>().into_iter()
    }

    fn inode(directory: &OwnedFd) -> u64 {
        fs::fstat(directory).unwrap().st_ino
    }

    #[test]
    fn links_are_followed_as_far_as_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("granted/big/app")).unwrap();
        std::fs::create_dir_all(dir.path().join("granted/srv")).unwrap();
        let at = |path: &str| dir.path().join("granted").join(path);
        for (link, target) in [
            ("live", "big"),
            ("srv/up", "../live/./app"),
            ("srv/out", "../../granted/big"),
            ("srv/absolute", "/etc"),
            ("srv/round", "round"),
            ("srv/nowhere", "gone"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        std::fs::write(at("file"), "").unwrap();
        let root = Arc::new(fs::open(at(""), OFlags::DIRECTORY, Mode::empty()).unwrap());
        let app = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(at("big/app")).unwrap());
        for path in ["big/app", "live/app", "srv/up", "srv/up/../app"] {
            assert_eq!(follow(&root, false, names(path)).map(|found| inode(&found)), Ok(app), "{path}");
        }
        for (path, blocked) in [
            ("srv/out", Blocked::LeadsOut),
            ("srv/absolute", Blocked::LeadsOut),
            ("..", Blocked::LeadsOut),
            ("srv/round", Blocked::Kernel(Errno::LOOP)),
            ("srv/nowhere/x", Blocked::Kernel(Errno::NOENT)),
            ("file/x", Blocked::Kernel(Errno::NOTDIR)),
        ] {
            assert_eq!(follow(&root, false, names(path)).map(|found| inode(&found)), Err(blocked), "{path}");
        }
        // The root of the file system has nothing outside of it.
        let slash = Arc::new(fs::open("/", OFlags::DIRECTORY, Mode::empty()).unwrap());
        let etc = follow(&slash, true, names(&format!("{}/../../../..", at("srv/absolute").display())));
        assert_eq!(inode(&etc.unwrap()), inode(&slash));
    }
}
