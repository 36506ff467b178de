//! WAL, received by the streaming replication protocol and stored segment by segment.

mod receive;
mod segments;

use dozo_sdk::{Backup, Result};

pub(crate) use receive::{Legs, receive};

use crate::lsn::{Lsn, Segment};

/// The directory of a snapshot that holds it.
pub(crate) const DIRECTORY: &str = "wal";
/// Attribute of a segment: when the first and the last transaction in it ended, in microseconds since 1970.
pub(crate) const COMMITS: &str = "commits";
/// Attribute of a segment: where the last record ends that ends in it.
pub(crate) const RECORDS_END: &str = "records-end";
/// Entries of one page, and of one batch.
const PAGE: u32 = 512;

/// The entry of a file of WAL.
pub(crate) fn path(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

/// Takes over from the previous snapshot the segments from one on, but for those that were received anew, and all
/// histories.
pub(crate) fn keep(backup: &Backup, segment_bytes: u64, from: Lsn, received: &dyn Fn(&str) -> bool) -> Result<()> {
    let mut after = None;
    loop {
        let page = backup.previous_under(DIRECTORY, after.as_deref(), PAGE);
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.path.clone());
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
        let wanted =
            |path: &str| Segment::parse(&name(path), segment_bytes).is_none_or(|segment| segment.start >= from);
        let kept: Vec<_> =
            page.into_iter().filter(|entry| wanted(&entry.path) && !received(&name(&entry.path))).collect();
        let taken = backup.keep_unchanged(&kept)?;
        if let Some((entry, _)) = kept.iter().zip(taken).find(|(_, taken)| !taken) {
            let what = format!("the previous snapshot has `{}`, and its content cannot be taken over", entry.path);
            return Err(dozo_sdk::Error::Corrupt(what));
        }
    }
}
