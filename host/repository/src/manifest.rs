//! The manifest of a snapshot: sorted lines cut into segments, and looked up by path. FORMAT.md section 9.

use std::sync::Arc;

use crate::cache::Cache;
use crate::chunks::ChunkReader;
use crate::entry::{EntryKind, StoredEntry};
use crate::error::{Error, Result};
use crate::format::manifest::{ParsedLine, Totals, head_line, parse_line, tail_line};
use crate::format::snapshot::{Manifest, Segment};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENTS_CACHED};
use crate::path;
use crate::pending::StoreList;
use crate::sort::{Keyed, Sorted};

/// A segment ends, once it is long enough, behind a path whose hash has these bits zero: one in 4,096.
const BOUNDARY: u16 = (1 << 12) - 1;

/// Writes sorted lines as segments, but for those at and under paths that are discarded. `bytes` are those of all lines.
///
/// # Errors
/// [`Invalid`](crate::error::Kind::Invalid) if two entries have the same path, or one lies below another that is no directory:
/// no directory could be restored from these.
pub(crate) fn write(
    mut lines: Sorted,
    (mut bytes, discarded): (u64, &[String]),
    sink: &mut dyn StoreList,
) -> Result<Manifest> {
    let mut segments =
        SegmentWriter { sink, segments: Vec::new(), body: head_line(), entries: 0, first: String::new() };
    let mut last: Option<Keyed> = None;
    let mut entries = 0;
    while let Some(keyed) = lines.next()? {
        if discarded.iter().any(|prefix| path::is_under(&keyed.path, prefix)) {
            bytes = bytes.saturating_sub(bytes_of(&keyed)?);
            continue;
        }
        if let Some(last) = &last {
            may_follow(last, &keyed)?;
        }
        entries += 1;
        segments.push(&keyed)?;
        last = Some(keyed);
    }
    let totals = Totals { entries, bytes };
    segments.body.extend_from_slice(&tail_line(totals));
    segments.close()?;
    Ok(Manifest { segments: segments.segments, totals })
}

/// Bytes of content of the entry of a line.
fn bytes_of(keyed: &Keyed) -> Result<u64> {
    Ok(match parse_line(keyed.line.trim_ascii_end())? {
        ParsedLine::Entry(stored) => stored.entry.size.unwrap_or(0),
        _ => 0,
    })
}

/// What lies below an entry comes right behind it.
fn may_follow(last: &Keyed, next: &Keyed) -> Result<()> {
    if !path::is_under(&next.path, &last.path) {
        return Ok(());
    }
    let shown = path::shown(&next.path);
    if next.path == last.path {
        return Err(Error::invalid(format!("two entries have the path `{shown}`")));
    }
    match parse_line(last.line.trim_ascii_end())? {
        ParsedLine::Entry(stored) if stored.entry.kind != EntryKind::Directory => {
            let above = path::shown(&last.path);
            Err(Error::invalid(format!("the entry `{shown}` lies below `{above}`, which is no directory")))
        }
        _ => Ok(()),
    }
}

struct SegmentWriter<'a> {
    sink: &'a mut dyn StoreList,
    segments: Vec<Segment>,
    body: Vec<u8>,
    entries: u32,
    first: String,
}

impl SegmentWriter<'_> {
    fn push(&mut self, keyed: &Keyed) -> Result<()> {
        if self.entries == 0 {
            self.first.clone_from(&keyed.path);
        }
        self.body.extend_from_slice(&keyed.line);
        self.entries += 1;
        if self.body.len() >= SEGMENT_BYTES_MAX || (self.body.len() >= SEGMENT_BYTES_MIN && ends(&keyed.path)) {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let chunk = self.sink.store_list(&self.body)?;
        let (bytes, entries) = (self.body.len() as u32, std::mem::take(&mut self.entries));
        self.segments.push(Segment { chunk, bytes, entries, first: std::mem::take(&mut self.first) });
        self.body.clear();
        Ok(())
    }
}

fn ends(path: &str) -> bool {
    let hash = blake3::hash(path.as_bytes());
    u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]) & BOUNDARY == 0
}

/// Looks up the entries of one snapshot, a segment at a time.
pub(crate) struct ManifestReader {
    chunks: Arc<ChunkReader>,
    manifest: Manifest,
    segments: Cache<usize, Vec<StoredEntry>>,
}

impl ManifestReader {
    pub(crate) fn new(chunks: Arc<ChunkReader>, manifest: Manifest) -> Self {
        ManifestReader { chunks, manifest, segments: Cache::new(SEGMENTS_CACHED) }
    }

    /// The entry of this path.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<StoredEntry>> {
        let Some(number) = self.segment_of(path) else { return Ok(None) };
        let entries = self.segment(number).await?;
        let found = entries.binary_search_by(|e| path::compare(&e.entry.path, path));
        Ok(found.ok().map(|at| entries[at].clone()))
    }

    /// At most `max` entries that are `prefix` or below it, in order, beginning behind the path `after`.
    pub(crate) async fn page(&self, prefix: &str, after: Option<&str>, max: usize) -> Result<Vec<StoredEntry>> {
        let begin = after.filter(|after| path::compare(after, prefix).is_ge());
        let mut number = self.segment_of(begin.unwrap_or(prefix)).unwrap_or(0);
        let mut page = Vec::new();
        while page.len() < max && number < self.manifest.segments.len() {
            let entries = self.segment(number).await?;
            let start = entries.partition_point(|e| match begin {
                Some(after) => path::compare(&e.entry.path, after).is_le(),
                None => path::compare(&e.entry.path, prefix).is_lt(),
            });
            for entry in &entries[start..] {
                if !path::is_under(&entry.entry.path, prefix) || page.len() == max {
                    return Ok(page);
                }
                page.push(entry.clone());
            }
            number += 1;
        }
        Ok(page)
    }

    /// The segments, for those who read all of them.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.manifest.segments
    }

    /// The entries of one segment.
    pub(crate) async fn segment(&self, number: usize) -> Result<Arc<Vec<StoredEntry>>> {
        if let Some(entries) = self.segments.ready(number) {
            return Ok(entries);
        }
        // Boxed: the many calls that do not get here should not carry room for what reading a pack takes.
        Box::pin(self.segments.get(number, self.read_segment(number))).await
    }

    /// The last segment that may hold the path.
    fn segment_of(&self, path: &str) -> Option<usize> {
        let begins_at_or_before = |s: &Segment| s.entries > 0 && path::compare(&s.first, path).is_le();
        self.manifest.segments.partition_point(begins_at_or_before).checked_sub(1)
    }

    async fn read_segment(&self, number: usize) -> Result<Vec<StoredEntry>> {
        let segment = &self.manifest.segments[number];
        let body = self.chunks.read(&segment.chunk).await.map_err(|e| e.context("read the manifest"))?;
        let position = Position { first: number == 0, last: number + 1 == self.manifest.segments.len() };
        parse_segment(&body, segment, position, self.manifest.totals)
    }
}

#[derive(Clone, Copy)]
struct Position {
    first: bool,
    last: bool,
}

/// Parses a segment and holds it against what the snapshot says of it: lines in order, all there, none too many.
fn parse_segment(body: &[u8], segment: &Segment, position: Position, totals: Totals) -> Result<Vec<StoredEntry>> {
    let bad = |why: &str| Error::corrupt(format!("a segment of the manifest {why}"));
    let lines = body.strip_suffix(b"\n").ok_or_else(|| bad("is cut off"))?.split(|b| *b == b'\n');
    let mut entries: Vec<StoredEntry> = Vec::with_capacity((segment.entries as usize).min(body.len() / 32));
    let (mut head, mut tail) = (false, None);
    for line in lines {
        if tail.is_some() {
            return Err(bad("goes on behind its end"));
        }
        match parse_line(line)? {
            ParsedLine::Head if entries.is_empty() && !head => head = true,
            ParsedLine::Head => return Err(bad("begins twice")),
            ParsedLine::Tail(totals) => tail = Some(totals),
            ParsedLine::Entry(entry) => {
                let before = entries.last().map(|last| path::compare(&last.entry.path, &entry.entry.path));
                if before.is_some_and(|order| !order.is_lt()) {
                    return Err(bad("is not in order"));
                }
                entries.push(*entry);
            }
        }
    }
    let begins = entries.first().map_or("", |e| e.entry.path.as_str());
    let whole = entries.len() == segment.entries as usize
        && begins == segment.first
        && head == position.first
        && tail == position.last.then_some(totals);
    if whole { Ok(entries) } else { Err(bad("is not what its snapshot says")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Content, Entry, Extent};
    use crate::format::any;
    use crate::format::manifest::to_line;
    use crate::id::ChunkId;
    use crate::limits::LINE_BYTES_MAX;
    use crate::sort::Sorter;
    use proptest::prelude::*;

    #[derive(Debug, Default)]
    struct Bodies(Vec<Vec<u8>>);

    impl StoreList for Bodies {
        fn store_list(&mut self, body: &[u8]) -> Result<ChunkId> {
            self.0.push(body.to_vec());
            Ok(ChunkId(blake3::hash(body).into()))
        }
    }

    fn manifest_of(paths: &[String]) -> Result<(Manifest, Bodies)> {
        let mut sorter = Sorter::new(std::env::temp_dir());
        for path in paths {
            let mut entry = Entry::file(path.clone());
            entry.size = Some(0);
            let line = to_line(&StoredEntry { entry, content: Content::EMPTY })?;
            sorter.push(Keyed { path: path.clone(), line })?;
        }
        let mut bodies = Bodies::default();
        Ok((write(sorter.sorted()?, (0, &[]), &mut bodies)?, bodies))
    }

    fn paths(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("usr/share/directory-{}/a-file-with-a-longer-name-{i}", i % 50)).collect()
    }

    fn parse(manifest: &Manifest, bodies: &Bodies, number: usize) -> Result<Vec<StoredEntry>> {
        let position = Position { first: number == 0, last: number + 1 == manifest.segments.len() };
        parse_segment(&bodies.0[number], &manifest.segments[number], position, manifest.totals)
    }

    #[test]
    fn a_change_leaves_the_other_segments_as_they_were() {
        let mut names = paths(40_000);
        let (before, _) = manifest_of(&names).unwrap();
        assert!(before.segments.len() > 4, "{}", before.segments.len());
        names.push("usr/share/directory-7/new".into());
        let (after, _) = manifest_of(&names).unwrap();
        let known: std::collections::HashSet<ChunkId> = before.segments.iter().map(|s| s.chunk).collect();
        let changed = after.segments.iter().filter(|s| !known.contains(&s.chunk)).count();
        // The one with the new line, and the last one with the counts.
        assert!(changed <= 3, "{changed} of {} segments changed", after.segments.len());
    }

    #[test]
    fn what_is_discarded_is_in_no_segment_and_counts_nowhere() {
        let mut sorter = Sorter::new(std::env::temp_dir());
        for (path, size) in [("a", 1), ("b", 0), ("b/c", 0), ("b/c/d", 8), ("b.c", 16), ("bc", 32)] {
            let mut entry = Entry::file(path);
            entry.kind = if size == 0 { EntryKind::Directory } else { EntryKind::File };
            entry.size = (size > 0).then_some(size);
            let extent = Extent { chunk: ChunkId([1; 32]), offset: 0, length: size as u32 };
            let content = if size == 0 { Content::EMPTY } else { Content::Inline(vec![extent]) };
            let line = to_line(&StoredEntry { entry, content }).unwrap();
            sorter.push(Keyed { path: path.into(), line }).unwrap();
        }
        let (mut bodies, discarded) = (Bodies::default(), ["b/c".to_string(), "x".to_string()]);
        let manifest = write(sorter.sorted().unwrap(), (57, &discarded), &mut bodies).unwrap();
        let left = parse(&manifest, &bodies, 0).unwrap();
        assert_eq!(left.iter().map(|e| e.entry.path.as_str()).collect::<Vec<_>>(), ["a", "b", "b.c", "bc"]);
        assert_eq!(manifest.totals, Totals { entries: 4, bytes: 57 - 8 });
    }

    #[test]
    fn the_same_path_twice_is_refused() {
        let error = manifest_of(&["a".into(), "b".into(), "a".into()]).unwrap_err();
        assert!(error.to_string().contains("`a`"), "{error}");
    }

    /// No directory could hold both, so that a restore into one would fail.
    #[test]
    fn an_entry_below_a_file_is_refused() {
        let error = manifest_of(&["a.b".into(), "a/b/c".into(), "a".into()]).unwrap_err();
        assert!(error.to_string().contains("`a/b/c` lies below `a`"), "{error}");
        assert!(manifest_of(&["a.b".into(), "a-".into(), "a".into()]).is_ok());
    }

    #[test]
    fn a_segment_that_lost_a_line_is_refused() {
        let (manifest, bodies) = manifest_of(&paths(20_000)).unwrap();
        for number in 0..manifest.segments.len() {
            assert!(parse(&manifest, &bodies, number).is_ok());
            let lines: Vec<&[u8]> = bodies.0[number].split_inclusive(|b| *b == b'\n').collect();
            for without in [0, 1, lines.len() / 2, lines.len() - 1] {
                let mut fewer = lines.clone();
                fewer.remove(without);
                let short = Bodies(
                    bodies
                        .0
                        .iter()
                        .enumerate()
                        .map(|(n, b)| if n == number { fewer.concat() } else { b.clone() })
                        .collect(),
                );
                assert!(parse(&manifest, &short, number).is_err(), "segment {number} without line {without}");
            }
        }
    }

    #[test]
    fn a_manifest_without_entries_is_whole() {
        let (manifest, bodies) = manifest_of(&[]).unwrap();
        assert_eq!((manifest.segments.len(), manifest.totals.entries), (1, 0));
        assert_eq!(parse(&manifest, &bodies, 0).unwrap(), []);
    }

    /// Entries that can be in one snapshot: paths differ, and what has something below it is a directory. Some lines are so
    /// long that there are several segments.
    fn entries() -> impl Strategy<Value = Vec<StoredEntry>> {
        let padded = (any::stored(), prop_oneof![9 => Just(0), 1 => 0..LINE_BYTES_MAX / 2]);
        proptest::collection::vec(padded, 0..40).prop_map(|all| {
            let mut entries: Vec<StoredEntry> = Vec::new();
            for (mut stored, padding) in all {
                stored.entry.attributes.push(("padding".into(), "x".repeat(padding)));
                entries.push(stored);
            }
            entries.sort_by(|a, b| path::compare(&a.entry.path, &b.entry.path));
            entries.dedup_by(|a, b| a.entry.path == b.entry.path);
            for n in 1..entries.len() {
                let (above, below) = entries.split_at_mut(n);
                let last = above.iter_mut().rfind(|e| path::is_under(&below[0].entry.path, &e.entry.path));
                last.into_iter().for_each(|e| e.entry.kind = EntryKind::Directory);
            }
            entries
        })
    }

    fn written(entries: &[StoredEntry]) -> (Manifest, Bodies) {
        let mut sorter = Sorter::new(std::env::temp_dir());
        // The order in which they come is not to matter.
        for stored in entries.iter().rev() {
            let line = to_line(stored).unwrap();
            sorter.push(Keyed { path: stored.entry.path.clone(), line }).unwrap();
        }
        let mut bodies = Bodies::default();
        (write(sorter.sorted().unwrap(), (7, &[]), &mut bodies).unwrap(), bodies)
    }

    #[test]
    fn whatever_goes_in_comes_out_in_order() {
        any::hold(entries(), |entries| {
            let (manifest, bodies) = written(&entries);
            let mut found = Vec::new();
            for number in 0..manifest.segments.len() {
                found.extend(parse(&manifest, &bodies, number).unwrap());
            }
            prop_assert!(found == entries, "{found:?} of {entries:?}");
            prop_assert_eq!(manifest.totals, Totals { entries: entries.len() as u64, bytes: 7 });
            Ok(())
        });
    }

    #[test]
    fn a_segment_that_was_changed_is_refused_or_in_order_and_of_the_same_length() {
        any::hold((entries(), any::changes(), proptest::prelude::any::<prop::sample::Index>()), |drawn| {
            let (entries, changes, number) = drawn;
            let (manifest, mut bodies) = written(&entries);
            let number = number.index(bodies.0.len());
            changes.iter().for_each(|change| change.apply(&mut bodies.0[number]));
            if let Ok(found) = parse(&manifest, &bodies, number) {
                let in_order = |w: &[StoredEntry]| path::compare(&w[0].entry.path, &w[1].entry.path).is_lt();
                prop_assert!(found.windows(2).all(in_order));
                prop_assert_eq!(found.len(), manifest.segments[number].entries as usize);
            }
            Ok(())
        });
    }
}
