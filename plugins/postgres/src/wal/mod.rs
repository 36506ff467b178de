//! WAL, received by the streaming replication protocol and stored segment by segment.

mod receive;
mod segments;

use std::collections::HashSet;

use dozo_sdk::{Backup, Error, Result};

pub(crate) use receive::{Legs, receive};

use crate::lsn::{Lsn, Segment};
use crate::timeline::History;

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
/// histories. Returns their names.
pub(crate) fn keep(
    backup: &Backup,
    segment_bytes: u64,
    from: Lsn,
    received: &dyn Fn(&str) -> bool,
) -> Result<HashSet<String>> {
    let (mut after, mut names) = (None, HashSet::new());
    loop {
        let page = backup.previous_under(DIRECTORY, after.as_deref(), PAGE);
        let Some(last) = page.last() else { return Ok(names) };
        after = Some(last.path.clone());
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
        let wanted =
            |path: &str| Segment::parse(&name(path), segment_bytes).is_none_or(|segment| segment.start >= from);
        let kept: Vec<_> =
            page.into_iter().filter(|entry| wanted(&entry.path) && !received(&name(&entry.path))).collect();
        let taken = backup.keep_unchanged(&kept)?;
        if let Some((entry, _)) = kept.iter().zip(taken).find(|(_, taken)| !taken) {
            let what = format!("the previous snapshot has `{}`, and its content cannot be taken over", entry.path);
            return Err(Error::Corrupt(what));
        }
        names.extend(kept.iter().map(|entry| name(&entry.path)));
    }
}

/// Every segment between two positions must be there: what a snapshot says of itself is what it has.
///
/// # Errors
/// [`Error::Internal`] that names the first that is missing.
pub(crate) fn whole(
    (history, segment_bytes): (&History, u64),
    (from, through): (Lsn, Lsn),
    names: &HashSet<String>,
) -> Result<()> {
    let mut start = from.segment_start(segment_bytes);
    while start < through {
        let name = history.segment(start, segment_bytes).name(segment_bytes);
        if !names.contains(&name) {
            return Err(Error::Internal(format!("the WAL segment {name} was neither received nor taken over")));
        }
        start = Lsn(start.0 + segment_bytes);
    }
    Ok(())
}
