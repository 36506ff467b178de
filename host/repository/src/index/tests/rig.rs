//! A repository in memory with indexes, tombstones and damage as they are, and packs that hold nothing: the index never
//! looks into one.

use std::path::PathBuf;

use super::model::{Model, entry, pack};
use crate::format::damage::DamageDocument;
use crate::format::index::to_body;
use crate::format::name::Place;
use crate::format::snapshot::Named;
use crate::format::tombstone::TombstoneDocument;
use crate::id::HostUid;
use crate::index::cache::{Bounds, TableCache};
use crate::index::{Counts, Opened};
use crate::keys::{HostKey, Secret};
use crate::owner::OwnerKey;
use crate::repository::Repository;
use crate::seal::Sealed;
use crate::store::Store;

pub(super) struct Rig {
    pub(super) repository: Repository,
    pub(super) cache: tempfile::TempDir,
    pub(super) model: Model,
    bounds: Bounds,
}

impl Rig {
    pub(super) async fn new(bounds: Bounds) -> Self {
        let (store, secret) = (Store::memory(), Secret::new([7; 32]));
        let (owner, _) = OwnerKey::generate(secret.repository());
        let key = Repository::create(&store, secret, HostUid([1; 8]), &[owner]).await.unwrap();
        let key = HostKey::parse(key.to_text().as_bytes()).unwrap();
        let repository = Repository::open(store, key).await.unwrap();
        Rig { repository, cache: tempfile::tempdir().unwrap(), model: Model::default(), bounds }
    }

    pub(super) fn tables(&self) -> TableCache {
        let key = self.repository.keyring().index_cache;
        TableCache::new(key, Some(self.cache.path())).bounded(self.bounds)
    }

    pub(super) async fn open(&self, counts: Counts) -> Opened {
        let marks = self.repository.read_marks().await.unwrap();
        let mut problems = Vec::new();
        let opened = self.repository.open_index_with(self.tables(), (counts, &marks), &mut problems).await.unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        opened
    }

    /// The names of tables in the cache.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.cache.path()).unwrap().map(|item| item.unwrap().path()).collect();
        files.sort();
        files
    }

    pub(super) async fn put_document(&mut self, packs: &[usize]) {
        let entries: Vec<_> = packs.iter().map(|n| entry(*n)).collect();
        let (name, _) = self.repository.put_document(&Place::Index, &to_body(&entries)).await.unwrap();
        self.model.documents.push((name, packs.to_vec()));
    }

    pub(super) async fn remove_document(&mut self, number: usize) {
        if !self.model.documents.is_empty() {
            let (name, _) = self.model.documents.remove(number % self.model.documents.len());
            self.repository.store().delete(&[name]).await.unwrap();
        }
    }

    pub(super) async fn put_pack(&mut self, n: usize, bytes: u64) {
        if !self.model.there.contains_key(&n) {
            let (name, sealed) = (entry(n).kind.object(&pack(n)), Sealed::sign(vec![0; bytes as usize]));
            self.repository.store().put(&name, &sealed).await.unwrap();
            self.model.there.insert(n, bytes);
        }
    }

    pub(super) async fn remove_pack(&mut self, n: usize) {
        self.repository.store().delete(&[entry(n).kind.object(&pack(n))]).await.unwrap();
        self.model.there.remove(&n);
    }

    fn host(&self) -> Named<HostUid> {
        Named { uid: self.repository.host(), name: "host".into() }
    }

    pub(super) async fn condemn(&mut self, n: usize) {
        let (schema, planned) = (TombstoneDocument::SCHEMA.into(), jiff::Timestamp::UNIX_EPOCH);
        let packs = vec![(entry(n).kind, pack(n))];
        let tombstone = TombstoneDocument { schema, host: self.host(), planned, packs };
        self.repository.put_tombstone(&tombstone).await.unwrap();
        self.model.condemned.insert(n);
    }

    pub(super) async fn damage(&mut self, n: usize) {
        let (schema, found) = (DamageDocument::SCHEMA.into(), jiff::Timestamp::UNIX_EPOCH);
        let packs = vec![(entry(n).kind, pack(n), "rot".into())];
        self.repository.put_damage(&DamageDocument { schema, host: self.host(), found, packs }).await.unwrap();
        self.model.damaged.insert(n);
    }
}
