//! Listing directories with the standard library, into the very entries that the plugin gets from its host.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use dozo_job::Error;
use dozo_job::port::{Entry, EntryKind, Posix, Time, path};

/// An entry and where it is.
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) file: PathBuf,
}

/// One entry; `entry_path` is its path in the snapshot.
pub(crate) fn look(file: PathBuf, entry_path: String) -> Result<Found, Error> {
    let looked = fs::symlink_metadata(&file).and_then(|metadata| entry(entry_path, &file, &metadata));
    let entry = looked.map_err(|e| Error::io(format!("look at {}", file.display()), e))?;
    Ok(Found { entry, file })
}

/// What is in a directory, in the order of a manifest.
pub(crate) fn list(directory: &Path, entry_path: &str) -> Result<Vec<Found>, Error> {
    let names = || fs::read_dir(directory)?.map(|item| Ok(item?.file_name())).collect::<io::Result<Vec<OsString>>>();
    let names = names().map_err(|e| Error::io(format!("list {}", directory.display()), e))?;
    let mut names: Vec<_> = names.into_iter().map(|name| (path::escape(name.as_bytes()), name)).collect();
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    names.into_iter().map(|(escaped, name)| look(directory.join(name), format!("{entry_path}/{escaped}"))).collect()
}

/// The path that a file has in a snapshot.
pub(crate) fn entry_path(file: &Path) -> String {
    let names = file.components().filter_map(|component| match component {
        Component::Normal(name) => Some(path::escape(name.as_bytes())),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

fn entry(path: String, file: &Path, metadata: &Metadata) -> io::Result<Entry> {
    let kind = kind(file, metadata)?;
    Ok(Entry {
        size: (kind == EntryKind::File).then_some(metadata.len()),
        kind,
        path,
        modified: Some(Time { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 }),
        version: Some(format!("{}:{}.{:09}", metadata.ino(), metadata.ctime(), metadata.ctime_nsec())),
        posix: Some(Posix {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            ..Posix::default()
        }),
        attributes: Vec::new(),
    })
}

fn kind(file: &Path, metadata: &Metadata) -> io::Result<EntryKind> {
    let (kind, device) = (metadata.file_type(), metadata.rdev());
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok(match kind {
        _ if kind.is_file() => EntryKind::File,
        _ if kind.is_dir() => EntryKind::Directory,
        _ if kind.is_symlink() => EntryKind::Symlink(target(file)?),
        _ if kind.is_fifo() => EntryKind::Fifo,
        _ if kind.is_socket() => EntryKind::Socket,
        _ if kind.is_char_device() => EntryKind::CharDevice(major, minor),
        _ => EntryKind::BlockDevice(major, minor),
    })
}

/// A symlink's target, each name escaped, but for those that mean what they say.
fn target(file: &Path) -> io::Result<String> {
    let bytes = fs::read_link(file)?.into_os_string().into_vec();
    let escaped = bytes.split(|byte| *byte == b'/').map(|name| match name {
        b"" | b"." | b".." => String::from_utf8_lossy(name).into_owned(),
        _ => path::escape(name),
    });
    Ok(escaped.collect::<Vec<_>>().join("/"))
}
