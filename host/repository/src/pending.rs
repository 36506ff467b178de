//! An entry whose chunks are on their way. Chunks get their ids in any order; when the last has its id and the writer
//! was finished, the entry's line goes to the manifest. An entry that is never finished never gets there.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::entry::{Content, Entry, Extent, ExtentList, StoredEntry};
use crate::error::{Error, Result};
use crate::format::manifest::extents_to_body;
use crate::id::ChunkId;
use crate::limits::{EXTENTS_INLINE_MAX, EXTENTS_PER_CHUNK_MAX};
use crate::pack::lock;

/// Lists of extents end where a chunk's id says so, so that a change in the middle of a large file changes few lists.
const LIST_EXTENTS_MIN: usize = EXTENTS_PER_CHUNK_MAX / 16;
const LIST_MASK: u8 = 0b11;

/// Where lists of extents are stored.
pub(crate) trait StoreList {
    /// Stores a catalog chunk.
    fn store_list(&mut self, body: &[u8]) -> Result<ChunkId>;
}

/// The entry, its extents so far, and how many still lack an id.
pub(crate) struct Pending(Mutex<State>);

struct State {
    entry: Option<Entry>,
    extents: VecDeque<Slot>,
    /// Extents that went to lists already.
    listed: usize,
    lists: Vec<ExtentList>,
    unresolved: usize,
    finished: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    chunk: Option<ChunkId>,
    offset: u32,
    length: u32,
}

impl Pending {
    pub(crate) fn new(entry: Entry) -> Self {
        Pending(Mutex::new(State {
            entry: Some(entry),
            extents: VecDeque::new(),
            listed: 0,
            lists: Vec::new(),
            unresolved: 0,
            finished: false,
        }))
    }

    /// Adds an attribute to the entry, in place of one of that name.
    pub(crate) fn set_attribute(&self, name: String, value: String) {
        if let Some(entry) = &mut lock(&self.0).entry {
            entry.attributes.retain(|(known, _)| *known != name);
            entry.attributes.push((name, value));
        }
    }

    /// A chunk of this length comes next; returns its number.
    pub(crate) fn expect(&self, length: u32) -> usize {
        let mut state = lock(&self.0);
        state.unresolved += 1;
        state.extents.push_back(Slot { chunk: None, offset: 0, length });
        state.listed + state.extents.len() - 1
    }

    /// A piece of a chunk that the repository already has comes next.
    pub(crate) fn append(&self, extent: Extent) {
        let Extent { chunk, offset, length } = extent;
        lock(&self.0).extents.push_back(Slot { chunk: Some(chunk), offset, length });
    }

    /// Whether so many extents are in hand that some should be stored.
    pub(crate) fn is_long(&self) -> bool {
        lock(&self.0).extents.len() >= 2 * EXTENTS_PER_CHUNK_MAX
    }

    /// Stores what is known of the extents in hand.
    pub(crate) fn store_lists(&self, lists: &mut dyn StoreList) -> Result<()> {
        lock(&self.0).store_resolved_lists(lists)
    }

    /// The chunk of this number has this id. Returns the entry if that was all it waited for.
    pub(crate) fn resolve(&self, number: usize, id: ChunkId, lists: &mut dyn StoreList) -> Result<Option<StoredEntry>> {
        let mut state = lock(&self.0);
        let at = number - state.listed;
        state.extents[at].chunk = Some(id);
        state.unresolved -= 1;
        if state.extents.len() >= 2 * EXTENTS_PER_CHUNK_MAX {
            state.store_resolved_lists(lists)?;
        }
        state.complete(lists)
    }

    /// The writer's word that no more will come. Returns the entry if it waits for nothing and has its extents at hand;
    /// one with many is completed by [`Pending::complete`], where storing may wait.
    pub(crate) fn finish(&self) -> Finished {
        let mut state = lock(&self.0);
        state.finished = true;
        if state.unresolved > 0 {
            return Finished::Waiting;
        }
        if !state.lists.is_empty() || state.extents.len() > EXTENTS_INLINE_MAX {
            return Finished::Large;
        }
        state.take_inline().map_or(Finished::Waiting, |entry| Finished::Now(Box::new(entry)))
    }

    /// Completes an entry with many extents.
    pub(crate) fn complete(&self, lists: &mut dyn StoreList) -> Result<Option<StoredEntry>> {
        lock(&self.0).complete(lists)
    }
}

/// What became of an entry when its writer finished.
pub(crate) enum Finished {
    /// Some chunk has no id yet; whoever gives it one completes the entry.
    Waiting,
    /// All extents are known, and must be stored in lists.
    Large,
    /// It is complete.
    Now(Box<StoredEntry>),
}

impl State {
    fn complete(&mut self, lists: &mut dyn StoreList) -> Result<Option<StoredEntry>> {
        if !self.finished || self.unresolved > 0 {
            return Ok(None);
        }
        if self.lists.is_empty() && self.extents.len() <= EXTENTS_INLINE_MAX {
            return Ok(self.take_inline());
        }
        while !self.extents.is_empty() {
            let count = list_length(&self.extents).unwrap_or(self.extents.len());
            self.store_list(count, lists)?;
        }
        let content = Content::Listed(std::mem::take(&mut self.lists));
        self.take(content)
    }

    fn take_inline(&mut self) -> Option<StoredEntry> {
        let extents = self.extents.drain(..).map(resolved).collect::<Option<Vec<_>>>()?;
        self.take(Content::Inline(extents)).ok().flatten()
    }

    fn take(&mut self, content: Content) -> Result<Option<StoredEntry>> {
        let Some(mut entry) = self.entry.take() else { return Ok(None) };
        let length = content.length().ok_or_else(|| Error::internal("an entry is longer than 2^64 bytes"))?;
        entry.size = matches!(entry.kind, crate::entry::EntryKind::File).then_some(length);
        Ok(Some(StoredEntry { entry, content }))
    }

    /// Stores lists from the front as long as their extents are resolved and their ends are found.
    fn store_resolved_lists(&mut self, lists: &mut dyn StoreList) -> Result<()> {
        while let Some(count) = list_length(&self.extents) {
            if self.extents.iter().take(count).any(|slot| slot.chunk.is_none()) {
                break;
            }
            self.store_list(count, lists)?;
        }
        Ok(())
    }

    fn store_list(&mut self, count: usize, lists: &mut dyn StoreList) -> Result<()> {
        let extents = self.extents.drain(..count).map(resolved).collect::<Option<Vec<_>>>();
        let extents = extents.ok_or_else(|| Error::internal("an extent was stored before its chunk had an id"))?;
        let body = extents_to_body(&extents);
        let covered = extents.iter().map(|e| u64::from(e.length)).sum();
        let chunk = lists.store_list(&body)?;
        self.lists.push(ExtentList { chunk, bytes: body.len() as u32, covered });
        self.listed += count;
        Ok(())
    }
}

fn resolved(slot: Slot) -> Option<Extent> {
    Some(Extent { chunk: slot.chunk?, offset: slot.offset, length: slot.length })
}

/// How many extents the next list takes, or none if its end has not come yet.
fn list_length(extents: &VecDeque<Slot>) -> Option<usize> {
    for (at, slot) in extents.iter().enumerate().take(EXTENTS_PER_CHUNK_MAX) {
        let count = at + 1;
        let ends = slot.chunk.is_some_and(|id| id.0[0] == 0 && id.0[1] & LIST_MASK == 0);
        if count == EXTENTS_PER_CHUNK_MAX || (count >= LIST_EXTENTS_MIN && ends) {
            return Some(count);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::parse_extents;

    #[derive(Default)]
    struct Lists(Vec<Vec<u8>>);

    impl StoreList for Lists {
        fn store_list(&mut self, body: &[u8]) -> Result<ChunkId> {
            self.0.push(body.to_vec());
            Ok(ChunkId([0xee; 32]))
        }
    }

    fn id(n: usize) -> ChunkId {
        ChunkId(blake3::hash(&n.to_le_bytes()).into())
    }

    #[test]
    fn an_entry_completes_when_its_last_chunk_is_known() {
        let (pending, mut lists) = (Pending::new(Entry::file("a")), Lists::default());
        let (one, two) = (pending.expect(10), pending.expect(20));
        assert!(pending.resolve(two, id(2), &mut lists).unwrap().is_none());
        assert!(matches!(pending.finish(), Finished::Waiting));
        let stored = pending.resolve(one, id(1), &mut lists).unwrap().unwrap();
        assert_eq!(stored.entry.size, Some(30));
        let Content::Inline(extents) = stored.content else { panic!("few extents stand in the line") };
        assert_eq!(extents.iter().map(|e| e.chunk).collect::<Vec<_>>(), [id(1), id(2)]);
    }

    #[test]
    fn an_unfinished_entry_never_completes() {
        let (pending, mut lists) = (Pending::new(Entry::file("a")), Lists::default());
        let one = pending.expect(10);
        assert!(pending.resolve(one, id(1), &mut lists).unwrap().is_none());
    }

    #[test]
    fn many_extents_move_into_lists_and_stay_in_order() {
        let (pending, mut lists) = (Pending::new(Entry::file("a")), Lists::default());
        let total = 20_000;
        let mut waiting = Vec::new();
        for n in 0..total {
            waiting.push((pending.expect(7), n));
            // Chunks are resolved out of order, a few at a time, as workers do.
            if waiting.len() == 5 {
                for (number, n) in waiting.drain(..).rev() {
                    assert!(pending.resolve(number, id(n), &mut lists).unwrap().is_none());
                }
            }
        }
        assert!(!lists.0.is_empty(), "lists are stored while the entry grows");
        assert!(matches!(pending.finish(), Finished::Large));
        let stored = pending.complete(&mut lists).unwrap().unwrap();
        let found: Vec<ChunkId> = lists.0.iter().flat_map(|b| parse_extents(b).unwrap()).map(|e| e.chunk).collect();
        assert_eq!(found, (0..total).map(id).collect::<Vec<_>>());
        assert_eq!(stored.content.length(), Some(7 * total as u64));
    }
}
