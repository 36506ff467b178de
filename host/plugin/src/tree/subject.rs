//! A file whose metadata is read or set: open, or a name in a directory. Whoever can be reached by a descriptor is, so that nothing
//! hangs on `/proc`; a name needs it, because Linux has no calls for the attributes and the mode of a name that follow no symlink.

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
    /// A name in a directory; a symlink itself.
    Name(BorrowedFd<'a>, &'a OsStr),
}

impl Subject<'_> {
    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        match self {
            Subject::Open(file) => fs::fstat(file),
            Subject::Name(parent, name) => fs::statat(parent, *name, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    pub(super) fn chown(&self, user: Option<Uid>, group: Option<Gid>) -> Result<(), Errno> {
        match self {
            Subject::Open(file) => fs::fchown(file, user, group),
            Subject::Name(parent, name) => fs::chownat(parent, *name, user, group, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// Sets the mode of this file and no other: a symlink that somebody put in its place meanwhile is not followed, which
    /// `fchmodat` would do.
    ///
    /// # Errors
    /// `NOSYS` if it cannot be reached, because `/proc` is not there and it cannot be opened.
    pub(super) fn chmod(&self, mode: Mode) -> Result<(), Errno> {
        let (parent, name) = match self {
            Subject::Open(file) => return fs::fchmod(file, mode),
            Subject::Name(parent, name) => (parent, *name),
        };
        if !proc_is_there() {
            return fs::fchmod(opened(parent, name)?, mode);
        }
        let itself = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if FileType::from_raw_mode(fs::fstat(&itself)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        fs::chmod(proc_path(itself.as_fd()), mode)
    }

    pub(super) fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Subject::Open(file) => fs::futimens(file, times),
            Subject::Name(parent, name) => fs::utimensat(parent, *name, times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// The same file, as the calls for extended attributes reach it.
    ///
    /// # Errors
    /// `NOSYS` if they cannot, because `/proc` is not there and it cannot be opened.
    pub(super) fn attributes(&self) -> Result<Attributes<'_>, Errno> {
        match self {
            Subject::Open(file) => Ok(Attributes::Borrowed(*file)),
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
}

impl Attributes<'_> {
    fn file(&self) -> Result<BorrowedFd<'_>, &CString> {
        match self {
            Attributes::Borrowed(file) => Ok(*file),
            Attributes::Opened(file) => Ok(file.as_fd()),
            Attributes::Named(path) => Err(path),
        }
    }

    /// The names of all attributes, as they are. None where the file system has no attributes.
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let list = match whole(|buffer| match self.file() {
            Ok(file) => fs::flistxattr(file, &mut *buffer),
            Err(path) => fs::llistxattr(path, &mut *buffer),
        }) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            list => list?,
        };
        Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    pub(super) fn get(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        whole(|buffer| match self.file() {
            Ok(file) => fs::fgetxattr(file, name, &mut *buffer),
            Err(path) => fs::lgetxattr(path, name, &mut *buffer),
        })
    }

    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self.file() {
            Ok(file) => fs::fsetxattr(file, name, value, XattrFlags::empty()),
            Err(path) => fs::lsetxattr(path, name, value, XattrFlags::empty()),
        }
    }

    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match self.file() {
            Ok(file) => fs::fremovexattr(file, name),
            Err(path) => fs::lremovexattr(path, name),
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
