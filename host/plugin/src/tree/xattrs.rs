//! Extended attributes: ACLs and file capabilities are some of them (xattr(7)). Names are escaped as those in paths, because they
//! may be any bytes.

use dozo_job::Result;
use dozo_job::port::{Entry, Posix, path};
use rustix::io::Errno;

use super::subject::{Attributes, Subject};
use super::{Directory, is_privilege};

/// Values of one file that are kept: with them the entry must fit into a line of the manifest.
const VALUES_BYTES_MAX: usize = 256 << 10;

const UNREADABLE: &str = "extended attributes could not be read";
const UNREACHABLE: &str = "extended attributes could not be read, because `/proc` is not mounted";

/// Escaped names and values, in order of name.
pub(super) type Xattrs = Vec<(String, Vec<u8>)>;

/// All attributes of a file. What cannot be read, or is too much, is noted: the file's content is worth having without.
pub(super) fn xattrs(subject: Subject<'_>, notes: &mut Vec<&'static str>) -> Xattrs {
    match subject.attributes().and_then(|attributes| Ok((attributes.names()?, attributes))) {
        Ok((names, attributes)) => values(&attributes, names, notes),
        // Gone meanwhile; whoever opens it will say so.
        Err(Errno::NOENT) => Vec::new(),
        Err(Errno::NOSYS) => {
            notes.push(UNREACHABLE);
            Vec::new()
        }
        Err(_) => {
            notes.push(UNREADABLE);
            Vec::new()
        }
    }
}

fn values(attributes: &Attributes<'_>, names: Vec<Vec<u8>>, notes: &mut Vec<&'static str>) -> Xattrs {
    let (mut found, mut bytes) = (Vec::with_capacity(names.len()), 0);
    for name in names {
        match attributes.get(&name) {
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
    /// made. What is right already is not set again: who may not set a capability would lose it. After the owner, which takes
    /// capabilities away, and before the mode, which an ACL also says. Tells whether anything was changed.
    pub(super) fn apply_xattrs(&self, subject: Subject<'_>, entry: &Entry) -> Result<bool> {
        let wanted = entry.posix.as_ref().map_or(&[][..], |posix| &posix.xattrs[..]);
        let (attributes, there) = match subject.attributes().and_then(|it| Ok((it.names()?, it))) {
            Ok((there, attributes)) => (attributes, there),
            Err(_) if wanted.is_empty() => return Ok(false),
            Err(Errno::NOSYS) => {
                self.note("extended attributes were not set, because `/proc` is not mounted", &entry.path);
                return Ok(false);
            }
            Err(errno) => return Err(self.failed("look at the extended attributes of", &entry.path, errno)),
        };
        let raw = |name: &str| path::unescape(name);
        let wanted = wanted.iter().map(|(name, value)| Ok((raw(name)?, value))).collect::<Result<Vec<_>>>()?;
        let mut changed = false;
        for name in there {
            if is_of_the_file(&name) && !wanted.iter().any(|(wanted, _)| *wanted == name) {
                changed |= self.refused(entry, attributes.remove(&name))?;
            }
        }
        for (name, value) in wanted {
            if attributes.get(&name).is_ok_and(|there| there == *value) {
                continue;
            }
            changed |= self.refused(entry, attributes.set(&name, value))?;
        }
        Ok(changed)
    }

    /// Whether a file has other attributes than its entry, as far as they can be read.
    pub(super) fn has_other_xattrs(&self, subject: Subject<'_>, posix: &Posix) -> bool {
        let there = xattrs(subject, &mut Vec::new());
        let there = there.iter().filter(|(name, _)| path::unescape(name).is_ok_and(|name| is_of_the_file(&name)));
        let wanted =
            posix.xattrs.iter().filter(|(name, _)| path::unescape(name).is_ok_and(|name| is_of_the_file(&name)));
        !there.eq(wanted)
    }

    /// That this user, or this file system, cannot have an attribute is noted. Tells whether it was set.
    fn refused(&self, entry: &Entry, set: Result<(), Errno>) -> Result<bool> {
        match set {
            Ok(()) => return Ok(true),
            Err(Errno::NODATA) => {}
            Err(errno) if is_privilege(errno) => {
                self.note("extended attributes were not set, because this user may not", &entry.path);
            }
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSPC | Errno::RANGE | Errno::TOOBIG) => {
                self.note("extended attributes were not set, because this file system cannot have them", &entry.path);
            }
            Err(errno) => return Err(self.failed("set the extended attributes of", &entry.path, errno)),
        }
        Ok(false)
    }
}

/// Whether an attribute says something of the file, rather than of the system that it lies on: labels are put there by that.
fn is_of_the_file(name: &[u8]) -> bool {
    !name.starts_with(b"security.") || name == b"security.capability"
}
