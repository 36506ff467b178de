//! Whether a restore has room where it goes: known before the first byte is written.

use dozo_repository::{Entry, EntryKind, Error, Result};

use crate::words;

/// The unit in which file systems hand out room.
const BLOCK_BYTES: u64 = 4_096;

/// Where a restore goes.
pub trait Room: Send + Sync {
    /// Bytes, and files, that still fit; none where that is not known.
    fn free(&self) -> Option<(u64, u64)>;
    /// Bytes of what is there under an entry's path already.
    fn taken(&self, entry: &Entry) -> Option<u64>;
}

/// What a restore adds to what is there.
#[derive(Default)]
pub(crate) struct Wanted {
    bytes: u64,
    files: u64,
}

impl Wanted {
    /// One more entry. Of a file with holes it is not known what it takes, and what is there is written over.
    pub(crate) fn add(&mut self, entry: &Entry, room: &dyn Room) {
        let there = room.taken(entry);
        self.files += u64::from(there.is_none() && !matches!(entry.kind, EntryKind::Hardlink(_)));
        let sparse = entry.posix.as_ref().is_some_and(|posix| posix.sparse);
        let bytes = if sparse { 0 } else { entry.size.unwrap_or(0).next_multiple_of(BLOCK_BYTES) };
        self.bytes += bytes.saturating_sub(there.unwrap_or(0));
    }

    /// Whether it fits.
    pub(crate) fn check(&self, room: &dyn Room) -> Result<()> {
        let Some((bytes, files)) = room.free() else { return Ok(()) };
        let short = if self.bytes > bytes {
            format!("it takes {}, and {} are free", words::bytes(self.bytes), words::bytes(bytes))
        } else if self.files > files {
            format!("it makes {} files, and the file system has room for {files} more", self.files)
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("there is no room for the restore: {short}"))
            .hinted("make room, or restore some paths only; `--no-space-check` tries all the same (a file system that compresses)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk(u64, u64);

    impl Room for Disk {
        fn free(&self) -> Option<(u64, u64)> {
            Some((self.0, self.1))
        }

        fn taken(&self, entry: &Entry) -> Option<u64> {
            (entry.path == "there").then_some(1_000_000)
        }
    }

    #[test]
    fn what_is_there_needs_no_room() {
        let file = |path: &str, bytes| Entry { size: Some(bytes), ..Entry::file(path) };
        let check = |entries: &[Entry], disk: Disk| {
            let mut wanted = Wanted::default();
            entries.iter().for_each(|entry| wanted.add(entry, &disk));
            wanted.check(&disk)
        };
        assert!(check(&[file("a", 5_000), file("b", 1)], Disk(3 * 4_096, 2)).is_ok());
        assert!(check(&[file("a", 5_000), file("b", 1)], Disk(3 * 4_096 - 1, 2)).is_err());
        assert!(check(&[file("a", 0), file("b", 0)], Disk(0, 1)).is_err());
        assert!(check(&[file("there", 900_000)], Disk(0, 0)).is_ok());
    }
}
