//! What mirrors have: objects by name, index entries by pack.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Help, PlannedCopy};
use crate::error::{Error, Result};
use crate::format::index::PackEntry;
use crate::format::name::PackKind;
use crate::id::{ChunkId, ObjectId};
use crate::pipeline::blocking;
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
            let missing: HashSet<ObjectId> = wanted.iter().filter(|pack| !found.contains_key(*pack)).copied().collect();
            for index in indexes_of(&view, missing).await? {
                let entries = view.repository().read_index(&index).await?.into_iter();
                found.extend(entries.filter(|entry| wanted.contains(&entry.pack)).map(|entry| (entry.pack, entry)));
            }
        }
        Ok(found)
    }
}

/// The indexes of a store that name some of these packs.
async fn indexes_of(view: &View, packs: HashSet<ObjectId>) -> Result<BTreeSet<ObjectId>> {
    let index = view.index().clone();
    blocking(move || {
        let mut documents = BTreeSet::new();
        index.named(|document, pack| {
            if packs.contains(&pack) {
                documents.insert(document);
            }
        })?;
        Ok(documents)
    })
    .await
}

/// The packs in which a store holds some of these chunks.
pub(super) fn packs_with(view: &View, chunks: &HashSet<ChunkId>) -> Result<Vec<(PackKind, ObjectId, u64)>> {
    let mut numbers = HashSet::new();
    for chunk in chunks {
        numbers.extend(view.index().get(chunk)?.map(|location| location.pack));
    }
    let packs = numbers.into_iter().map(|number| view.index().pack(number));
    Ok(packs.map(|pack| (pack.kind, pack.id, pack.bytes)).collect())
}
