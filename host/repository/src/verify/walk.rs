//! Walking snapshots: which entries cannot be restored whole, and which packs are needed at all. Reads catalogs, no content.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::entry::{Content, StoredEntry};
use crate::error::{Error, Kind, Result};
use crate::extents::Extents;
use crate::format::snapshot::Snapshot;
use crate::id::{ChunkId, ObjectId};
use crate::index::{Index, Location};
use crate::reader::SnapshotReader;
use crate::view::View;

/// Damaged entries that a verification names; the rest are counted.
const ENTRIES_NAMED_MAX: usize = 1_000;

/// Goes through snapshots one after the other.
pub(crate) struct Walk<'a> {
    view: &'a View,
    /// Packs of the index that are damaged.
    broken: HashSet<u32>,
    /// Segments that were looked at, and whether they are without damage and need no second look.
    segments: HashMap<ChunkId, bool>,
    pub(crate) needs: Needs,
    pub(crate) entries: u64,
    pub(crate) damaged: Vec<(ObjectId, String, String)>,
    pub(crate) damaged_count: u64,
}

/// What the snapshots that were walked need.
pub(crate) struct Needs {
    index: Arc<Index>,
    /// Packs by number, absent ones too.
    packs: HashSet<u32>,
    /// Chunks that no index knows.
    pub(crate) nowhere: HashSet<ChunkId>,
    /// Whether a part of a manifest, or a snapshot, could not be read: what it needs is not known.
    pub(crate) blind: bool,
}

impl Needs {
    fn new(view: &View) -> Self {
        let blind = view.problems().iter().any(|problem| problem.object.starts_with("snapshots/"));
        Needs { index: view.index().clone(), packs: HashSet::new(), nowhere: HashSet::new(), blind }
    }

    /// Whether a pack that an index names is needed, as far as that is known.
    pub(crate) fn may_need(&self, pack: &ObjectId) -> bool {
        self.blind || self.index.find(pack).is_some_and(|number| self.packs.contains(&number))
    }

    /// Whether a pack of the index was reached.
    pub(crate) fn reaches(&self, number: u32) -> bool {
        self.packs.contains(&number)
    }

    fn mark(&mut self, chunk: &ChunkId) -> Result<Option<Location>> {
        if let Some(location) = self.index.get(chunk)? {
            self.packs.insert(location.pack);
            return Ok(Some(location));
        }
        let absent = self.index.absent_with(chunk)?;
        if absent.is_empty() {
            self.nowhere.insert(*chunk);
        }
        self.packs.extend(absent);
        Ok(None)
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(view: &'a View, broken: HashSet<u32>) -> Self {
        Walk {
            view,
            broken,
            segments: HashMap::new(),
            needs: Needs::new(view),
            entries: 0,
            damaged: Vec::new(),
            damaged_count: 0,
        }
    }

    /// Walks a snapshot; tells whether all of it can be restored, as far as is known.
    pub(crate) async fn snapshot(&mut self, id: ObjectId, snapshot: &Arc<Snapshot>) -> Result<bool> {
        let reader = self.view.reader(id, snapshot.clone());
        let before = self.damaged_count;
        for (number, segment) in reader.manifest().segments().iter().enumerate() {
            // A segment that several snapshots share is looked at once, unless it touches damage.
            let looked_at = self.segments.get(&segment.chunk).copied();
            if looked_at == Some(true) {
                continue;
            }
            let (damaged, entries) = (self.damaged_count, self.entries);
            self.segment(&reader, number).await?;
            if looked_at.is_some() {
                self.entries = entries;
            }
            self.segments.insert(segment.chunk, self.damaged_count == damaged);
        }
        Ok(self.damaged_count == before)
    }

    async fn segment(&mut self, reader: &SnapshotReader, number: usize) -> Result<()> {
        let segment = &reader.manifest().segments()[number];
        self.needs.mark(&segment.chunk)?;
        let entries = match reader.manifest().segment(number).await {
            Ok(entries) => entries,
            Err(why) if why.kind() == Kind::Corrupt => {
                self.needs.blind = true;
                self.damaged_count += u64::from(segment.entries).max(1);
                let from =
                    if segment.first.is_empty() { "(the end)".into() } else { format!("{} and on", segment.first) };
                self.name_damaged(reader.id(), from, why.chain());
                return Ok(());
            }
            Err(why) => return Err(why),
        };
        for stored in entries.iter() {
            self.entries += 1;
            if let Some(why) = self.entry(reader, stored).await? {
                self.damaged_count += 1;
                self.name_damaged(reader.id(), stored.entry.path.clone(), why);
            }
        }
        Ok(())
    }

    /// Why an entry cannot be restored whole, if so. Goes through all of it, because it marks what is needed.
    async fn entry(&mut self, reader: &SnapshotReader, stored: &StoredEntry) -> Result<Option<String>> {
        if let Content::Listed(lists) = &stored.content {
            for list in lists {
                self.needs.mark(&list.chunk)?;
            }
        }
        let (mut extents, mut wrong) = (Extents::new(reader.catalog().clone(), &stored.content), None);
        loop {
            let extent = match extents.next().await {
                Ok(Some(extent)) => extent,
                Ok(None) => return Ok(wrong),
                Err(why) if why.kind() == Kind::Corrupt => {
                    self.needs.blind = true;
                    return Ok(Some(why.chain()));
                }
                Err(why) => return Err(why),
            };
            let short = extent.chunk.short();
            let why = match self.needs.mark(&extent.chunk)? {
                None => format!("chunk {short} is in no pack of the repository"),
                Some(location) if u64::from(extent.offset) + u64::from(extent.length) > u64::from(location.length) => {
                    format!("an extent reaches beyond chunk {short}")
                }
                Some(location) if self.broken.contains(&location.pack) => format!("chunk {short} is damaged"),
                Some(_) => continue,
            };
            wrong.get_or_insert(why);
        }
    }

    fn name_damaged(&mut self, snapshot: ObjectId, path: String, why: String) {
        if self.damaged.len() < ENTRIES_NAMED_MAX {
            self.damaged.push((snapshot, path, why));
        }
    }
}

/// Which packs single snapshots need. A segment that several share is read once.
pub(crate) struct PacksNeeded<'a> {
    view: &'a View,
    segments: HashMap<ChunkId, Box<[u32]>>,
}

impl<'a> PacksNeeded<'a> {
    pub(crate) fn new(view: &'a View) -> Self {
        PacksNeeded { view, segments: HashMap::new() }
    }

    /// The packs that hold a snapshot's manifest and content, as numbers of the index.
    ///
    /// # Errors
    /// [`Corrupt`](Kind::Corrupt) if some of it is in no pack.
    pub(crate) async fn of(&mut self, id: ObjectId, snapshot: &Arc<Snapshot>) -> Result<HashSet<u32>> {
        let reader = self.view.reader(id, snapshot.clone());
        let mut needed = HashSet::new();
        for (number, segment) in reader.manifest().segments().iter().enumerate() {
            if !self.segments.contains_key(&segment.chunk) {
                let packs = self.of_segment(&reader, number).await?;
                self.segments.insert(segment.chunk, packs.into_iter().collect());
            }
            needed.extend(self.segments[&segment.chunk].iter());
        }
        Ok(needed)
    }

    async fn of_segment(&self, reader: &SnapshotReader, number: usize) -> Result<HashSet<u32>> {
        let mut packs = HashSet::from([self.pack_of(&reader.manifest().segments()[number].chunk)?]);
        for stored in reader.manifest().segment(number).await?.iter() {
            if let Content::Listed(lists) = &stored.content {
                for list in lists {
                    packs.insert(self.pack_of(&list.chunk)?);
                }
            }
            let mut extents = Extents::new(reader.catalog().clone(), &stored.content);
            while let Some(extent) = extents.next().await? {
                packs.insert(self.pack_of(&extent.chunk)?);
            }
        }
        Ok(packs)
    }

    fn pack_of(&self, chunk: &ChunkId) -> Result<u32> {
        let location = self.view.index().get(chunk)?;
        let nowhere = || Error::corrupt(format!("chunk {} is in no pack of the repository", chunk.short()));
        Ok(location.ok_or_else(nowhere)?.pack)
    }
}
