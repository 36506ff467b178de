//! Extended attributes: ACLs and file capabilities are some of them (xattr(7)). Names are escaped as those in paths, because they
//! may be any bytes.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use dozo_job::Result;
use dozo_job::port::{Entry, path};
use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use super::{Directory, is_privilege};

/// What Linux allows for the value of one attribute, and for the names of all that a file has.
const KERNEL_BYTES_MAX: usize = 64 << 10;
/// Values of one file that are kept: with them the entry must fit into a line of the manifest.
const VALUES_BYTES_MAX: usize = 256 << 10;
/// What almost all names, and values, fit into.
const BYTES_MOSTLY: usize = 256;

const UNREADABLE: &str = "extended attributes could not be read";

/// Escaped names and values, in order of name.
pub(super) type Xattrs = Vec<(String, Vec<u8>)>;

/// A file by the path with which the kernel's calls reach it through `/proc`: there are none for a name in a directory, nor
/// for what cannot be opened.
pub(super) struct Subject {
    path: CString,
    /// Whether the path's last name is the file, and no link to it.
    is_name: bool,
}

impl Subject {
    /// A name in a directory; a symlink itself.
    pub(super) fn name(parent: impl AsFd, name: &OsStr) -> Result<Self, Errno> {
        let mut path = format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd()).into_bytes();
        path.extend_from_slice(name.as_bytes());
        Ok(Subject { path: CString::new(path).map_err(|_| Errno::INVAL)?, is_name: true })
    }

    /// An open file.
    pub(super) fn file(file: impl AsFd) -> Result<Self, Errno> {
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        Ok(Subject { path: CString::new(path).map_err(|_| Errno::INVAL)?, is_name: false })
    }

    fn list(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        if self.is_name { fs::llistxattr(&self.path, buffer) } else { fs::listxattr(&self.path, buffer) }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        if self.is_name { fs::lgetxattr(&self.path, name, buffer) } else { fs::getxattr(&self.path, name, buffer) }
    }

    fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        let flags = XattrFlags::empty();
        if self.is_name {
            fs::lsetxattr(&self.path, name, value, flags)
        } else {
            fs::setxattr(&self.path, name, value, flags)
        }
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        if self.is_name { fs::lremovexattr(&self.path, name) } else { fs::removexattr(&self.path, name) }
    }

    /// The names of all attributes, as they are.
    fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let list = match whole(|buffer| self.list(buffer)) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            list => list?,
        };
        Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }
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

/// All attributes of a file. What cannot be read, or is too much, is noted: the file's content is worth having without.
pub(super) fn xattrs(subject: &Subject, notes: &mut Vec<&'static str>) -> Xattrs {
    let names = match subject.names() {
        Ok(names) => names,
        Err(Errno::NOENT) => return Vec::new(),
        Err(_) => {
            notes.push(UNREADABLE);
            return Vec::new();
        }
    };
    let (mut found, mut bytes) = (Vec::with_capacity(names.len()), 0);
    for name in names {
        match whole(|buffer| subject.get(&name, buffer)) {
            // Somebody removed it, or the file, meanwhile.
            Err(Errno::NODATA | Errno::NOENT) => {}
            Err(_) => notes.push(UNREADABLE),
            Ok(value) if bytes + name.len() + value.len() > VALUES_BYTES_MAX => {
                bytes += name.len();
                notes.push("extended attributes beyond 256 KiB were left out");
            }
            Ok(value) => {
                bytes += name.len() + value.len();
                found.push((path::escape(&name), value));
            }
        }
    }
    found.sort_unstable();
    found
}

impl Directory {
    /// Gives a file the attributes of its entry and takes those that it has beyond: a new file inherits ACLs from where it is
    /// made. After the owner, which takes capabilities away, and before the mode, which an ACL also says.
    pub(super) fn apply_xattrs(&self, subject: &Subject, entry: &Entry) -> Result<()> {
        let wanted = entry.posix.as_ref().map_or(&[][..], |posix| &posix.xattrs[..]);
        let there = match subject.names() {
            Ok(there) => there,
            Err(_) if wanted.is_empty() => return Ok(()),
            Err(errno) => return Err(self.failed("look at the extended attributes of", &entry.path, errno)),
        };
        let raw = |name: &str| path::unescape(name);
        let wanted = wanted.iter().map(|(name, value)| Ok((raw(name)?, value))).collect::<Result<Vec<_>>>()?;
        for name in there {
            if is_of_the_file(&name) && !wanted.iter().any(|(wanted, _)| *wanted == name) {
                self.refused(entry, subject.remove(&name))?;
            }
        }
        for (name, value) in wanted {
            self.refused(entry, subject.set(&name, value))?;
        }
        Ok(())
    }

    /// That this user, or this file system, cannot have an attribute is noted.
    fn refused(&self, entry: &Entry, set: Result<(), Errno>) -> Result<()> {
        match set {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(errno) if is_privilege(errno) => {
                self.note("extended attributes were not set, because that takes root", &entry.path);
            }
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSPC | Errno::RANGE | Errno::TOOBIG) => {
                self.note("extended attributes were not set, because this file system cannot have them", &entry.path);
            }
            Err(errno) => return Err(self.failed("set the extended attributes of", &entry.path, errno)),
        }
        Ok(())
    }
}

/// Whether an attribute says something of the file, rather than of the system that it lies on: labels are put there by that.
fn is_of_the_file(name: &[u8]) -> bool {
    !name.starts_with(b"security.") || name == b"security.capability"
}
