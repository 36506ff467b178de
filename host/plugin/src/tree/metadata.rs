//! What the kernel says of a file, as an entry.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use dozo_job::port::{Entry, EntryKind, Posix, Time, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::Directory;
use super::links::identity;
use super::place::Place;
use super::subject::Subject;
use super::xattrs::xattrs;

/// Longest target of a symlink that Linux allows.
const TARGET_BYTES_MAX: usize = 4_096;
/// No hole is shorter; and a file's last block is seldom full.
const PAGE_BYTES: i64 = 4_096;

/// What was found at a path.
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// What is to be told of it, once somebody asks for it: it may have been listed ahead, or for another look.
    pub(super) notes: Vec<&'static str>,
}

impl Directory {
    /// What a name in a directory is, with everything that the kernel knows of it.
    pub(super) fn found(&self, path: String, parent: impl AsFd, name: &OsStr) -> Result<Found, Errno> {
        let stat = fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let (mut entry, mut notes) = (entry(path, &stat, &parent, name)?, Vec::new());
        if let Some(posix) = &mut entry.posix {
            let (user, group) = (self.0.owners.user(posix.uid), self.0.owners.group(posix.gid));
            if user.is_err() || group.is_err() {
                notes.push("names of owners could not be asked for on this machine: their numbers alone were kept");
            }
            (posix.user, posix.group) = (user.unwrap_or_default(), group.unwrap_or_default());
            posix.xattrs = xattrs(Subject::Name(parent.as_fd(), name), &mut notes);
        }
        let (device, inode) = identity(&stat);
        Ok(Found { entry, device, inode, notes })
    }

    /// Tells of what was found what there is to tell.
    pub(super) fn tell(&self, found: &Found) {
        found.notes.iter().for_each(|what| self.note(what, &found.entry.path));
    }
}

/// The entry of a file that was looked at with `stat`. `name` and `parent` find a symlink's target.
#[allow(clippy::unnecessary_cast, reason = "their types differ from machine to machine")]
fn entry(path: String, stat: &Stat, parent: impl AsFd, name: &OsStr) -> Result<Entry, Errno> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink(target(parent, name)?),
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
        FileType::CharacterDevice => EntryKind::CharDevice(fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
        FileType::BlockDevice => EntryKind::BlockDevice(fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
        FileType::Unknown => return Err(Errno::NOTSUP),
    };
    Ok(Entry {
        size: (kind == EntryKind::File).then_some(stat.st_size as u64),
        path,
        modified: Some(Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }),
        version: Some(version(stat)),
        posix: Some(Posix {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            user: None,
            group: None,
            xattrs: Vec::new(),
            // Those of a directory are not its own to have.
            links: if kind == EntryKind::Directory { 1 } else { stat.st_nlink as u32 },
            sparse: kind == EntryKind::File && stat.st_blocks * 512 + PAGE_BYTES < stat.st_size,
        }),
        attributes: Vec::new(),
        kind,
    })
}

/// Inode and change time: what no program can set back as it can the modification time.
pub(super) fn version(stat: &Stat) -> String {
    format!("{}:{}.{:09}", stat.st_ino, stat.st_ctime, stat.st_ctime_nsec)
}

/// A symlink's target, each of its names escaped.
fn target(parent: impl AsFd, name: &OsStr) -> Result<String, Errno> {
    let target = fs::readlinkat(parent, name, Vec::with_capacity(256))?;
    let bytes = target.as_bytes();
    Ok(bytes.split(|b| *b == b'/').map(escape_segment).collect::<Vec<_>>().join("/"))
}

/// In a target, unlike in a path, `.` and `..` and nothing at all are names that mean what they say.
fn escape_segment(segment: &[u8]) -> String {
    match segment {
        b"" => String::new(),
        b"." | b".." => String::from_utf8_lossy(segment).into_owned(),
        _ => path::escape(segment),
    }
}

/// The bytes of an escaped target.
pub(super) fn target_bytes(target: &str) -> Result<Vec<u8>> {
    let bytes = target
        .split('/')
        .map(|segment| match segment {
            "" | "." | ".." => Ok(segment.as_bytes().to_vec()),
            _ => path::unescape(segment),
        })
        .collect::<Result<Vec<_>>>()?
        .join(&b'/');
    if bytes.is_empty() || bytes.len() > TARGET_BYTES_MAX || bytes.contains(&0) {
        return Err(Error::unsupported(format!("`{}` cannot be the target of a symlink", path::shown(target))));
    }
    Ok(bytes)
}

/// Whether a symlink, device, pipe or socket is the one that an entry says.
pub(super) fn is_the_same(place: &Place, stat: &Stat, entry: &Entry) -> Result<bool> {
    match place.held() {
        Ok((held, _)) => is_one_of(&held, stat, entry),
        Err(_) => Ok(false),
    }
}

/// The same of one that is held.
pub(super) fn is_one_of(held: &OwnedFd, stat: &Stat, entry: &Entry) -> Result<bool> {
    let there = FileType::from_raw_mode(stat.st_mode);
    Ok(match &entry.kind {
        EntryKind::Symlink(target) => {
            let target = target_bytes(target)?;
            there == FileType::Symlink
                && fs::readlinkat(held, "", Vec::with_capacity(256)).is_ok_and(|there| there.as_bytes() == target)
        }
        EntryKind::CharDevice(major, minor) => {
            there == FileType::CharacterDevice && stat.st_rdev == fs::makedev(*major, *minor)
        }
        EntryKind::BlockDevice(major, minor) => {
            there == FileType::BlockDevice && stat.st_rdev == fs::makedev(*major, *minor)
        }
        EntryKind::Fifo => there == FileType::Fifo,
        EntryKind::Socket => there == FileType::Socket,
        EntryKind::File | EntryKind::Directory | EntryKind::Hardlink(_) => false,
    })
}

/// Whether what is there is of an entry's kind, and of its length and time if it is a file. Its content is not read.
#[allow(clippy::unnecessary_cast, reason = "their types differ from machine to machine")]
pub(super) fn looks_like(stat: &Stat, there: FileType, entry: &Entry) -> bool {
    let kind = match entry.kind {
        EntryKind::File | EntryKind::Hardlink(_) => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink(_) => FileType::Symlink,
        EntryKind::Fifo => FileType::Fifo,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice(..) => FileType::CharacterDevice,
        EntryKind::BlockDevice(..) => FileType::BlockDevice,
    };
    let length = entry.size.is_none_or(|bytes| bytes == stat.st_size as u64);
    let time = entry.modified.is_none_or(|time| {
        (time.seconds, i64::from(time.nanoseconds)) == (stat.st_mtime as i64, stat.st_mtime_nsec as i64)
    });
    there == kind && (kind != FileType::RegularFile || (length && time))
}
