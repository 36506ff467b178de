//! The packs that the indexes name, held against a listing that goes by: nothing counts because a table says so, only what
//! the store shows, with its length (FORMAT.md section 13). A row for each pack, no names.

use std::io;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;

use super::live::Live;
use super::{IndexedPack, PackState};
use crate::format::name::{PackKind, parse_pack};
use crate::id::ObjectId;
use crate::marks::Marks;
use crate::store::Object;

/// Packs before and while they are looked for.
pub(crate) struct Sought {
    /// Sorted by what tells them apart.
    packs: Vec<IndexedPack>,
    unindexed: Vec<Object>,
}

/// Packs after the listing.
pub(crate) struct Found {
    /// By state, then by id, each id once.
    pub(super) packs: Vec<IndexedPack>,
    /// Packs that no index names with this length, and whatever else lies there.
    pub(crate) unindexed: Vec<Object>,
}

type Identity = (ObjectId, PackKind, u64);

fn identity(pack: &IndexedPack) -> Identity {
    (pack.id, pack.kind, pack.bytes)
}

impl Sought {
    /// The packs that documents which count name.
    pub(super) fn new(tables: &[Live]) -> io::Result<Self> {
        let count = tables.iter().map(|table| table.packs_live().filter(|live| *live).count()).sum();
        let mut packs = Vec::with_capacity(count);
        for named in tables.iter().flat_map(Live::named) {
            let (_, row) = named?;
            packs.push(IndexedPack {
                id: row.id,
                kind: row.kind,
                state: PackState::Absent,
                bytes: u64::from(row.bytes),
                modified: Timestamp::UNIX_EPOCH,
                plain_bytes: row.plain_bytes,
                chunks: row.chunks,
                used: AtomicBool::new(false),
            });
        }
        packs.sort_unstable_by_key(identity);
        packs.dedup_by_key(|pack| identity(pack));
        Ok(Sought { packs, unindexed: Vec::new() })
    }

    /// An object of the listing.
    pub(crate) fn see(&mut self, object: Object) {
        let named = parse_pack(&object.name).ok().and_then(|(kind, id)| {
            let sought = (id, kind, object.bytes);
            self.packs.binary_search_by_key(&sought, identity).ok()
        });
        match named {
            Some(number) => {
                self.packs[number].state = PackState::Sound;
                self.packs[number].modified = object.modified;
            }
            None => self.unindexed.push(object),
        }
    }

    /// The end of the listing. What two indexes name with other lengths counts with the one that is there.
    pub(super) fn settle(self, marks: &Marks) -> Found {
        let Sought { mut packs, mut unindexed } = self;
        for pack in packs.iter_mut().filter(|pack| pack.state == PackState::Sound) {
            pack.state = marks.state(&pack.id).unwrap_or(PackState::Sound);
        }
        packs.sort_unstable_by_key(|pack| (pack.id, pack.state, pack.kind, pack.bytes));
        packs.dedup_by_key(|pack| pack.id);
        packs.sort_unstable_by_key(|pack| (pack.state, pack.id));
        unindexed.sort_unstable();
        unindexed.dedup();
        Found { packs, unindexed }
    }
}
