//! Directories above what a restore puts back may be symlinks, as they were when it was backed up: `/var/lib/app` on a larger disk.
//! They are followed name by name, each link looked at once and its target walked from there, so that nobody can change the way
//! meanwhile; never out of the granted directory, never by a link that somebody else made, and never by one that somebody else
//! could have put where it is.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dozo_job::Error;
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath;
use super::trust::{is_ours, is_ours_alone, keeps_directories};

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
    /// A link of root's, or of this user's, which others may have put where it is.
    Exposed,
}

impl From<Errno> for Blocked {
    fn from(errno: Errno) -> Self {
        Blocked::Kernel(errno)
    }
}

impl Blocked {
    /// Why a link on the way to a path is not followed, if that is why.
    pub(super) fn refusal(self, full: &str) -> Option<Error> {
        let why = match self {
            Blocked::Foreign(owner) => {
                format!("open {full}: a symlink of the user {owner} is in the way, who may have made it to lead astray")
            }
            Blocked::Exposed => format!(
                "open {full}: a symlink is in the way that lies where others may write, who may have put it there to lead \
                 astray"
            ),
            Blocked::Kernel(_) | Blocked::LeadsOut => return None,
        };
        Some(Error::not_granted(why).hinted("restore to the directory that it leads to, or remove it"))
    }
}

/// Opens a directory by its names below `root`, following symlinks that root or this process's user made, where nobody else can
/// have put them. `is_whole`: the root is that of the file system, so that an absolute target does not leave it.
pub(super) fn follow(
    root: &Arc<OwnedFd>,
    is_whole: bool,
    names: impl Iterator<Item = OsString>,
) -> Result<Arc<OwnedFd>, Blocked> {
    let mut walk = Walk::new(root, is_whole, names)?;
    walk.go(&mut |_, _, _| Err(Errno::NOENT))?;
    walk.opened().map(Arc::new)
}

/// Makes a directory under a name in another; told whether the way ends there.
pub(super) type Make<'a> = dyn FnMut(&Arc<OwnedFd>, &OsStr, bool) -> Result<(), Errno> + 'a;

/// A way that is walked name by name.
pub(super) struct Walk {
    root: Step,
    /// Below the root, outermost first.
    way: Vec<Step>,
    links: usize,
    is_whole: bool,
    /// Names that are still to be walked, and whether a link named them.
    names: VecDeque<(OsString, bool)>,
}

/// A directory on the way.
#[derive(Clone)]
struct Step {
    directory: Arc<OwnedFd>,
    name: OsString,
    /// Nobody else can have put a link into it.
    holds_links: bool,
    /// Nobody else can have put another directory in the place of one in it.
    keeps_directories: bool,
}

impl Step {
    /// Where others can change the way above, nothing below is what it seems.
    fn new(directory: Arc<OwnedFd>, name: OsString, is_kept: bool) -> Result<Self, Errno> {
        let stat = fs::fstat(&directory)?;
        let holds_links = is_kept && is_ours_alone(&stat);
        Ok(Step { directory, name, holds_links, keeps_directories: is_kept && keeps_directories(&stat) })
    }
}

impl Walk {
    pub(super) fn new(
        root: &Arc<OwnedFd>,
        is_whole: bool,
        names: impl Iterator<Item = OsString>,
    ) -> Result<Self, Errno> {
        let root = Step::new(root.clone(), OsString::new(), true)?;
        Ok(Walk { root, way: Vec::new(), links: 0, is_whole, names: names.map(|name| (name, false)).collect() })
    }

    /// Walks to the end. What is missing is made, if no link named it.
    pub(super) fn go(&mut self, make: &mut Make<'_>) -> Result<(), Blocked> {
        while let Some((name, is_linked)) = self.names.pop_front() {
            match name.as_bytes() {
                b"" | b"." => {}
                b".." => self.up()?,
                _ => match self.down(&name) {
                    Err(Blocked::Kernel(Errno::NOENT)) if !is_linked => {
                        let is_last = self.names.is_empty();
                        make(&self.here().directory, &name, is_last)?;
                        self.down(&name)?;
                    }
                    went => went?,
                },
            }
        }
        Ok(())
    }

    /// The path without links, from the root on.
    pub(super) fn path(&self) -> PathBuf {
        self.way.iter().fold(PathBuf::from("/"), |path, step| path.join(Path::new(&step.name)))
    }

    /// The directory at the end, to list and to work in.
    pub(super) fn opened(&self) -> Result<OwnedFd, Blocked> {
        Ok(beneath(&self.here().directory, OsStr::new("."), OFlags::DIRECTORY | OFlags::RDONLY)?)
    }

    /// Whether nobody else can have put another directory in the place of the one at the end, or of one above it.
    pub(super) fn is_kept(&self) -> bool {
        self.here().keeps_directories
    }

    fn here(&self) -> &Step {
        self.way.last().unwrap_or(&self.root)
    }

    fn up(&mut self) -> Result<(), Blocked> {
        // Above the root of the file system is the root itself.
        match self.way.pop() {
            None if !self.is_whole => Err(Blocked::LeadsOut),
            _ => Ok(()),
        }
    }

    fn down(&mut self, name: &OsString) -> Result<(), Blocked> {
        let here = self.here();
        // As a place alone: who may pass need not be one who may list.
        match beneath(&here.directory, name, OFlags::DIRECTORY | OFlags::PATH) {
            Ok(directory) => {
                let step = Step::new(Arc::new(directory), name.clone(), here.keeps_directories)?;
                self.way.push(step);
                Ok(())
            }
            Err(Errno::LOOP) if self.links < LINKS_MAX => {
                let target = target(here, name)?;
                self.through(&target)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Goes on where a link leads.
    fn through(&mut self, target: &[u8]) -> Result<(), Blocked> {
        self.links += 1;
        if target.starts_with(b"/") {
            if !self.is_whole {
                return Err(Blocked::LeadsOut);
            }
            self.way.clear();
        }
        for part in target.rsplit(|byte| *byte == b'/') {
            self.names.push_front((OsString::from_vec(part.to_vec()), true));
        }
        Ok(())
    }
}

/// Where a symlink leads that may be followed.
fn target(here: &Step, name: &OsString) -> Result<Vec<u8>, Blocked> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = fs::openat(&here.directory, name, flags, Mode::empty())?;
    let stat = fs::fstat(&link)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Err(Errno::AGAIN.into());
    }
    if !is_ours(stat.st_uid) {
        return Err(Blocked::Foreign(stat.st_uid));
    }
    if !here.holds_links {
        return Err(Blocked::Exposed);
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

    /// What a user can make of a link of root's is what another can make of ours: it lies where more than its owner may write.
    #[test]
    fn a_link_where_others_may_write_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("granted/home/kept/app")).unwrap();
        std::fs::create_dir_all(at("granted/etc")).unwrap();
        symlink("../etc", at("granted/home/link")).unwrap();
        symlink("../../../etc", at("granted/home/kept/app/deeper")).unwrap();
        let root = Arc::new(fs::open(at("granted"), OFlags::DIRECTORY, Mode::empty()).unwrap());
        let mode = |path: &str, mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(at(path), mode).unwrap();
        };
        for path in ["granted", "granted/home/kept", "granted/home/kept/app"] {
            mode(path, 0o755);
        }
        let links = ["home/link", "home/kept/app/deeper"];
        let followed = |path: &str| follow(&root, false, names(path)).map(|found| inode(&found));
        let etc = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(at("granted/etc")).unwrap());
        for (home, expected) in [
            (0o755, [Ok(etc); 2]),
            (0o775, [Err(Blocked::Exposed); 2]),
            (0o757, [Err(Blocked::Exposed); 2]),
            // Nobody else can rename what lies in it; what lies elsewhere can be moved there.
            (0o1777, [Err(Blocked::Exposed), Ok(etc)]),
        ] {
            mode("granted/home", home);
            assert_eq!(links.map(followed), expected, "{home:o}");
        }
        // Without a link there is nothing to be led astray by.
        mode("granted/home", 0o777);
        assert!(followed("home/kept/app").is_ok());
    }
}
