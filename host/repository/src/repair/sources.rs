//! What mirrors have: objects by name, index entries by pack.

use std::collections::{HashMap, HashSet};

use super::{Help, PlannedCopy};
use crate::error::{Error, Result};
use crate::format::index::PackEntry;
use crate::format::name::PackKind;
use crate::id::{ChunkId, ObjectId};
use crate::repository::Repository;
use crate::view::View;

impl Help {
    /// A copy of an object, if any mirror has one of that length, or of any where none is known.
    pub(super) async fn copy_of(&self, object: &str, bytes: Option<u64>) -> Result<Option<PlannedCopy>> {
        let mut mirrors = Vec::new();
        for mirror in &self.mirrors {
            let found = mirror.repository.store().find(object).await?;
            if found.is_some_and(|found| bytes.is_none_or(|bytes| bytes == found.bytes)) {
                mirrors.push(mirror.name.clone());
            }
        }
        Ok((!mirrors.is_empty()).then(|| PlannedCopy { object: object.into(), mirrors, replaces: false }))
    }

    /// The mirror of this name.
    pub(super) fn mirror(&self, name: &str) -> Result<&Repository> {
        let mirror = self.mirrors.iter().find(|mirror| mirror.name == name);
        Ok(&mirror.ok_or_else(|| Error::internal(format!("a plan with an unknown mirror `{name}`")))?.repository)
    }

    /// What each mirror shows.
    pub(super) async fn views(&self) -> Result<Vec<View>> {
        let mut views = Vec::new();
        for mirror in &self.mirrors {
            views.push(mirror.repository.view().await?);
        }
        Ok(views)
    }

    /// What the mirrors' indexes say of these packs.
    pub(super) async fn entries(&self, wanted: &HashSet<ObjectId>) -> Result<HashMap<ObjectId, PackEntry>> {
        let mut found = HashMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        for view in self.views().await? {
            for (index, packs) in &view.packs.indexes {
                if !packs.iter().any(|pack| wanted.contains(pack) && !found.contains_key(pack)) {
                    continue;
                }
                let entries = view.repository().read_index(index).await?.into_iter();
                found.extend(entries.filter(|entry| wanted.contains(&entry.pack)).map(|entry| (entry.pack, entry)));
            }
        }
        Ok(found)
    }
}

/// The packs in which a store holds some of these chunks.
pub(super) fn packs_with(view: &View, chunks: &HashSet<ChunkId>) -> Vec<(PackKind, ObjectId, u64)> {
    let numbers: HashSet<u32> = chunks.iter().filter_map(|chunk| Some(view.index().get(chunk)?.pack)).collect();
    let packs = numbers.into_iter().map(|number| view.index().pack(number));
    packs.map(|pack| (pack.kind, pack.id, pack.bytes)).collect()
}
