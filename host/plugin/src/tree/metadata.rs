//! What the kernel says of a file, as an entry; and an entry's metadata, set on a file.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};

use dozo_job::port::{Entry, EntryKind, Posix, Time, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::links::identity;
use super::xattrs::{Subject, xattrs};
use super::{Directory, is_privilege};

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
            posix.user = self.0.owners.user(posix.uid);
            posix.group = self.0.owners.group(posix.gid);
            posix.xattrs = xattrs(&Subject::name(&parent, name)?, &mut notes);
            if posix.links > 1 && entry.kind != EntryKind::File {
                notes.push("several names of one symlink, pipe, socket or device are kept as several");
            }
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

impl Directory {
    /// Sets owner, attributes, mode and time of a file that is open. Mode comes after owner, because a change of owner clears
    /// the set-user-id bit.
    pub(super) fn apply_to_file(&self, file: impl AsFd, entry: &Entry) -> Result<()> {
        if let Some(posix) = &entry.posix {
            let owner = (Uid::from_raw(posix.uid), Gid::from_raw(posix.gid));
            let chown = || fs::fchown(&file, Some(owner.0), Some(owner.1));
            let kept = self.chown_or_note(entry, chown)?;
            let subject = Subject::file(&file).map_err(|e| self.failed("look at", &entry.path, e))?;
            self.apply_xattrs(&subject, entry)?;
            fs::fchmod(&file, self.mode(entry, posix, kept))
                .map_err(|e| self.failed("set the mode of", &entry.path, e))?;
        }
        if let Some(modified) = entry.modified {
            fs::futimens(&file, &timestamps(modified)).map_err(|e| self.failed("set the time of", &entry.path, e))?;
        }
        Ok(())
    }

    /// The same for what cannot be opened: symlinks, devices, sockets.
    pub(super) fn apply_to_name(&self, parent: impl AsFd, name: &OsStr, entry: &Entry) -> Result<()> {
        if let Some(posix) = &entry.posix {
            let owner = (Uid::from_raw(posix.uid), Gid::from_raw(posix.gid));
            let chown = || fs::chownat(&parent, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW);
            let kept = self.chown_or_note(entry, chown)?;
            let subject = Subject::name(&parent, name).map_err(|e| self.failed("look at", &entry.path, e))?;
            self.apply_xattrs(&subject, entry)?;
            // Linux has no mode for symlinks.
            if !matches!(entry.kind, EntryKind::Symlink(_)) {
                chmod_itself(&parent, name, self.mode(entry, posix, kept))
                    .map_err(|e| self.failed("set the mode of", &entry.path, e))?;
            }
        }
        if let Some(modified) = entry.modified {
            fs::utimensat(&parent, name, &timestamps(modified), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| self.failed("set the time of", &entry.path, e))?;
        }
        Ok(())
    }

    /// Changes the owner. Who is not root cannot: that is noted, and tells `false`.
    fn chown_or_note(&self, entry: &Entry, chown: impl Fn() -> Result<(), Errno>) -> Result<bool> {
        match chown() {
            Ok(()) => Ok(true),
            Err(errno) if is_privilege(errno) => {
                self.note("owners were not set, because that takes root", &entry.path);
                Ok(false)
            }
            Err(errno) => Err(self.failed("set the owner of", &entry.path, errno)),
        }
    }

    /// The permission bits; set-user-id and set-group-id only where the owner is the one they were meant for.
    fn mode(&self, entry: &Entry, posix: &Posix, owner_set: bool) -> Mode {
        if owner_set {
            return Mode::from_raw_mode(posix.mode & 0o7777);
        }
        if posix.mode & 0o6000 != 0 {
            self.note("set-user-id and set-group-id were left out, because the owner is another", &entry.path);
        }
        Mode::from_raw_mode(posix.mode & 0o1777)
    }
}

/// Sets the mode of a name's own file and no other: a symlink that somebody put in its place meanwhile is not followed,
/// which `fchmodat` would do.
pub(super) fn chmod_itself(parent: impl AsFd, name: &OsStr, mode: Mode) -> Result<(), Errno> {
    let itself = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fs::fstat(&itself)?.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    fs::chmod(format!("/proc/self/fd/{}", itself.as_raw_fd()), mode)
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

/// Sets the modification time; the access time becomes the same, as of a file that nobody has read since.
fn timestamps(modified: Time) -> Timestamps {
    let time = Timespec { tv_sec: modified.seconds, tv_nsec: i64::from(modified.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}
