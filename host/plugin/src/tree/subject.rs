//! A file whose metadata is read or set. Whoever can be reached by a descriptor is, so that nothing hangs on `/proc`. Nothing is set
//! by a name, which may be that of something else by then.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// What Linux allows for the value of one attribute, and for the names of all that a file has.
const KERNEL_BYTES_MAX: usize = 64 << 10;
/// What almost all names, and values, fit into.
const BYTES_MOSTLY: usize = 256;

/// A file, to look at and to change.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// It is open.
    Open(BorrowedFd<'a>),
    /// It is held, as a place alone (`O_PATH`): what cannot be opened, such as a symlink or a pipe.
    Held(BorrowedFd<'a>),
    /// A name in a directory; a symlink itself. Only to look at.
    Name(BorrowedFd<'a>, &'a OsStr),
}

impl Subject<'_> {
    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        match self {
            Subject::Open(file) | Subject::Held(file) => fs::fstat(file),
            Subject::Name(parent, name) => fs::statat(parent, *name, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    pub(super) fn chown(&self, user: Option<Uid>, group: Option<Gid>) -> Result<(), Errno> {
        match self {
            Subject::Open(file) => fs::fchown(file, user, group),
            Subject::Held(file) => fs::chownat(file, "", user, group, AtFlags::EMPTY_PATH),
            Subject::Name(..) => Err(Errno::BADF),
        }
    }

    /// Sets the mode.
    ///
    /// # Errors
    /// `NOSYS` if it cannot be reached, because `/proc` is not there and it cannot be opened.
    pub(super) fn chmod(&self, mode: Mode) -> Result<(), Errno> {
        match self {
            Subject::Open(file) => fs::fchmod(file, mode),
            Subject::Held(file) if proc_is_there() => {
                if FileType::from_raw_mode(fs::fstat(file)?.st_mode) == FileType::Symlink {
                    return Err(Errno::LOOP);
                }
                fs::chmod(proc_path(*file), mode)
            }
            Subject::Held(file) => fs::fchmod(reopened(file)?, mode),
            Subject::Name(..) => Err(Errno::BADF),
        }
    }

    pub(super) fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Subject::Open(file) => fs::futimens(file, times),
            Subject::Held(file) => match fs::utimensat(file, "", times, AtFlags::EMPTY_PATH) {
                // Before Linux 5.8.
                Err(Errno::INVAL | Errno::NOENT) if proc_is_there() => {
                    fs::utimensat(fs::CWD, proc_path(*file), times, AtFlags::empty())
                }
                set => set,
            },
            Subject::Name(..) => Err(Errno::BADF),
        }
    }

    /// The same file, as the calls for extended attributes reach it.
    ///
    /// # Errors
    /// `NOSYS` if they cannot, because `/proc` is not there and it cannot be opened.
    pub(super) fn attributes(&self) -> Result<Attributes<'_>, Errno> {
        match self {
            Subject::Open(file) => Ok(Attributes::Borrowed(*file)),
            Subject::Held(file) if proc_is_there() => {
                CString::new(proc_path(*file)).map(Attributes::Held).map_err(|_| Errno::INVAL)
            }
            Subject::Held(file) => reopened(file).map(Attributes::Opened),
            Subject::Name(parent, name) if proc_is_there() => {
                let mut path = proc_path(*parent).into_bytes();
                path.push(b'/');
                path.extend_from_slice(name.as_bytes());
                CString::new(path).map(Attributes::Named).map_err(|_| Errno::INVAL)
            }
            Subject::Name(parent, name) => opened(parent, name).map(Attributes::Opened),
        }
    }
}

/// A file whose extended attributes can be read and set.
pub(super) enum Attributes<'a> {
    Borrowed(BorrowedFd<'a>),
    Opened(OwnedFd),
    /// A path through `/proc` whose last name is the file, and no link to it.
    Named(CString),
    /// A path in `/proc` that leads to the file, also if that is a symlink.
    Held(CString),
}

/// How the calls reach a file.
enum Reached<'a> {
    File(BorrowedFd<'a>),
    Path(&'a CString),
    /// What the path leads to.
    Behind(&'a CString),
}

impl Attributes<'_> {
    fn reached(&self) -> Reached<'_> {
        match self {
            Attributes::Borrowed(file) => Reached::File(*file),
            Attributes::Opened(file) => Reached::File(file.as_fd()),
            Attributes::Named(path) => Reached::Path(path),
            Attributes::Held(path) => Reached::Behind(path),
        }
    }

    /// The names of all attributes, as they are. None where the file system has no attributes.
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let list = match whole(|buffer| match self.reached() {
            Reached::File(file) => fs::flistxattr(file, &mut *buffer),
            Reached::Path(path) => fs::llistxattr(path, &mut *buffer),
            Reached::Behind(path) => fs::listxattr(path, &mut *buffer),
        }) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            list => list?,
        };
        Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    pub(super) fn get(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        whole(|buffer| match self.reached() {
            Reached::File(file) => fs::fgetxattr(file, name, &mut *buffer),
            Reached::Path(path) => fs::lgetxattr(path, name, &mut *buffer),
            Reached::Behind(path) => fs::getxattr(path, name, &mut *buffer),
        })
    }

    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self.reached() {
            Reached::File(file) => fs::fsetxattr(file, name, value, XattrFlags::empty()),
            Reached::Path(path) => fs::lsetxattr(path, name, value, XattrFlags::empty()),
            Reached::Behind(path) => fs::setxattr(path, name, value, XattrFlags::empty()),
        }
    }

    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match self.reached() {
            Reached::File(file) => fs::fremovexattr(file, name),
            Reached::Path(path) => fs::lremovexattr(path, name),
            Reached::Behind(path) => fs::removexattr(path, name),
        }
    }
}

/// Whether `/proc` shows this process's own descriptors. A container may not have it, or something else in its place; then a
/// file that is there would seem to be missing.
pub(super) fn proc_is_there() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    *IS_THERE.get_or_init(|| {
        let looked = || {
            let root = fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let (direct, shown) = (fs::fstat(&root)?, fs::stat(proc_path(root.as_fd()))?);
            Ok::<_, Errno>((direct.st_dev, direct.st_ino) == (shown.st_dev, shown.st_ino))
        };
        looked().unwrap_or(false)
    })
}

/// The path of an open file in `/proc`.
pub(super) fn proc_path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A file or directory, opened by its name. Nothing else can be without side effects.
fn opened(parent: &BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory) {
        return Err(Errno::NOSYS);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

/// A directory that is held as a place alone, opened. Nothing else can be.
fn reopened(held: &BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    if FileType::from_raw_mode(fs::fstat(held)?.st_mode) != FileType::Directory {
        return Err(Errno::NOSYS);
    }
    fs::openat(held, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// What a call writes into a buffer that is large enough for it.
fn whole(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; BYTES_MOSTLY];
    match call(&mut small) {
        Ok(length) => return Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    let mut large = vec![0; KERNEL_BYTES_MAX];
    let length = call(&mut large)?;
    large.truncate(length);
    Ok(large)
}
