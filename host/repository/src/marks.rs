//! What is held against packs: tombstones, which condemn, and damage. One that cannot be read holds nothing against any:
//! its tombstone is then named by no lease, and so never executed while somebody who could not read it is at work.

use std::collections::HashSet;

use crate::documents::Document;
use crate::error::Result;
use crate::format::damage::DamageDocument;
use crate::format::name::Place;
use crate::format::tombstone::TombstoneDocument;
use crate::id::ObjectId;
use crate::index::PackState;
use crate::limits::{DAMAGE_BODY_MAX, TOMBSTONE_BODY_MAX};
use crate::repository::Repository;
use crate::view::Problem;

/// Tombstones and damage, as a listing showed them.
#[derive(Default)]
pub(crate) struct Marks {
    pub(crate) tombstones: Vec<Document<TombstoneDocument>>,
    pub(crate) damage: Vec<DamageNote>,
    pub(crate) problems: Vec<Problem>,
    condemned: HashSet<ObjectId>,
    damaged: HashSet<ObjectId>,
}

/// A damage document in the store.
#[derive(Clone, Debug)]
pub struct DamageNote {
    /// Its id.
    pub id: ObjectId,
    /// What it says.
    pub document: DamageDocument,
}

impl Marks {
    /// What is held against a pack, the worst of it.
    pub(crate) fn state(&self, pack: &ObjectId) -> Option<PackState> {
        match (self.damaged.contains(pack), self.condemned.contains(pack)) {
            (true, _) => Some(PackState::Damaged),
            (false, true) => Some(PackState::Condemned),
            (false, false) => None,
        }
    }

    pub(crate) fn is_condemned(&self, pack: &ObjectId) -> bool {
        self.condemned.contains(pack)
    }

    pub(crate) fn is_damaged(&self, pack: &ObjectId) -> bool {
        self.damaged.contains(pack)
    }

    pub(crate) fn tombstone_ids(&self) -> Vec<ObjectId> {
        self.tombstones.iter().map(|tombstone| tombstone.id).collect()
    }
}

impl Repository {
    /// Reads tombstones, then damage.
    pub(crate) async fn read_marks(&self) -> Result<Marks> {
        let objects = self.store().list("tombstones").await?;
        let read = self.read_documents(objects, TOMBSTONE_BODY_MAX, |_, body| TombstoneDocument::parse(body)).await?;
        let mut marks = Marks { tombstones: read.parsed, problems: read.problems, ..Marks::default() };
        let packs = marks.tombstones.iter().flat_map(|tombstone| &tombstone.value.packs);
        marks.condemned = packs.map(|(_, pack)| *pack).collect();
        let objects = self.store().list("damage").await?;
        let read = self.read_documents(objects, DAMAGE_BODY_MAX, |_, body| DamageDocument::parse(body)).await?;
        let notes = read.parsed.into_iter().map(|note| DamageNote { id: note.id, document: note.value });
        marks.damage = notes.collect();
        marks.damaged = marks.damage.iter().flat_map(|note| &note.document.packs).map(|(_, pack, _)| *pack).collect();
        marks.problems.extend(read.problems);
        Ok(marks)
    }

    /// All damage documents, for whoever repairs.
    pub async fn damage(&self) -> Result<Vec<DamageNote>> {
        Ok(self.read_marks().await?.damage)
    }

    /// Notes that packs are damaged: writers store their chunks again.
    pub async fn put_damage(&self, damage: &DamageDocument) -> Result<ObjectId> {
        Ok(self.put_document(&Place::Damage, &damage.to_body()).await?.1)
    }

    /// Condemns packs.
    pub(crate) async fn put_tombstone(&self, tombstone: &TombstoneDocument) -> Result<ObjectId> {
        Ok(self.put_document(&Place::Tombstone, &tombstone.to_body()).await?.1)
    }
}
