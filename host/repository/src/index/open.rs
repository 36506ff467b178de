//! Reading the indexes of a repository: those that the cache does not have are read, and checked as ever; the packs that
//! all of them name are held against the listing. What is damaged becomes a problem; a store that does not answer is an
//! error.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::build::Builder;
use super::cache::{TableCache, unreadable};
use super::live::Live;
use super::packs::{Found, Sought};
use super::{Counts, Index};
use crate::error::{Error, Kind, Result};
use crate::format::index::parse;
use crate::format::name::{PackKind, parse_document};
use crate::id::ObjectId;
use crate::limits::{INDEX_BODY_MAX, INDEX_READ_BYTES, LISTING_TRIES, READS_IN_FLIGHT};
use crate::marks::Marks;
use crate::pipeline::blocking;
use crate::repository::Repository;
use crate::store::Object;
use crate::view::Problem;

/// What the indexes and the listing of packs say.
pub(crate) struct Opened {
    pub(crate) index: Arc<Index>,
    /// Packs that no index names.
    pub(crate) unindexed: Vec<Object>,
    /// Documents that the cache knew, so that they were not read.
    pub(crate) unread: Vec<String>,
}

/// The tables of all documents that are listed.
struct Tables {
    live: Vec<Live>,
    unread: Vec<String>,
}

/// A document of the index, and its length.
type Listed = (ObjectId, u64);

fn document_of(object: &Object) -> Option<Listed> {
    Some((parse_document(&object.name).ok()?.1, object.bytes))
}

/// Documents as they are read.
struct Reading {
    builder: Builder,
    read: HashSet<Listed>,
    problems: Vec<Problem>,
    gone: usize,
}

impl Repository {
    /// Reads indexes, then lists packs.
    pub(crate) async fn open_index(
        &self,
        counts: Counts,
        marks: &Marks,
        problems: &mut Vec<Problem>,
    ) -> Result<Opened> {
        let cache = TableCache::new(self.keyring().index_cache, self.index_cache());
        self.open_index_with(cache, (counts, marks), problems).await
    }

    pub(super) async fn open_index_with(
        &self,
        cache: TableCache,
        (counts, marks): (Counts, &Marks),
        problems: &mut Vec<Problem>,
    ) -> Result<Opened> {
        let Tables { live, unread } = self.read_tables(cache, problems).await?;
        let (live, mut sought) = blocking(move || {
            let sought = Sought::new(&live).map_err(unreadable)?;
            Ok((live, sought))
        })
        .await?;
        self.each_pack(|object| sought.see(object)).await?;
        let Found { packs, unindexed } = sought.settle(marks);
        let index = Arc::new(blocking(move || Index::new(counts, live, packs)).await?);
        Ok(Opened { index, unindexed, unread })
    }

    /// All objects that should be packs.
    pub(crate) async fn each_pack(&self, mut take: impl FnMut(Object)) -> Result<()> {
        for kind in [PackKind::Catalog, PackKind::Data] {
            self.store().each(kind.directory(), &mut take).await?;
        }
        Ok(())
    }

    async fn read_tables(&self, cache: TableCache, problems: &mut Vec<Problem>) -> Result<Tables> {
        let loading = cache.clone();
        let old = blocking(move || Ok(loading.load())).await?;
        let documents = old.iter().flat_map(super::table::Table::documents);
        let cached: HashSet<Listed> = documents.map(|row| (row.id, u64::from(row.bytes))).collect();
        let mut reading =
            Reading { builder: Builder::new(cache.clone()), read: HashSet::new(), problems: Vec::new(), gone: 0 };
        for _ in 0..LISTING_TRIES {
            let objects = self.store().list("index").await?;
            let listed: HashMap<ObjectId, u64> = objects.iter().filter_map(document_of).collect();
            let is_in =
                |set: &HashSet<Listed>, object: &Object| document_of(object).is_some_and(|it| set.contains(&it));
            let (known, unknown): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| is_in(&cached, object));
            let unknown = unknown.into_iter().filter(|object| !is_in(&reading.read, object)).collect();
            reading = self.read_indexes(unknown, reading).await?;
            // One that is gone was replaced by another that this listing may lack.
            if reading.gone == 0 {
                problems.extend(reading.problems);
                let builder = reading.builder;
                let live = blocking(move || cache.settle(old, builder.finish()?, &listed)).await?;
                return Ok(Tables { live, unread: known.into_iter().map(|object| object.name).collect() });
            }
        }
        Err(Error::unavailable(format!("indexes in {} are replaced faster than they can be read", self.url()))
            .hinted("is a prune at work? try again"))
    }

    /// Reads index documents, several at once.
    async fn read_indexes(&self, objects: Vec<Object>, mut reading: Reading) -> Result<Reading> {
        (reading.problems, reading.gone) = (Vec::new(), 0);
        let longest = objects.iter().map(|object| object.bytes).max().unwrap_or(0);
        let in_flight = (INDEX_READ_BYTES / longest.max(1)).clamp(1, READS_IN_FLIGHT as u64) as usize;
        let reads = stream::iter(objects.into_iter().map(|object| async {
            let body = self.read_document(&object.name, INDEX_BODY_MAX).await;
            (object, body)
        }));
        let mut reads = reads.buffered(in_flight);
        while let Some((object, body)) = reads.next().await {
            let parsed = body.and_then(|body| {
                let (_, id) = parse_document(&object.name)?;
                Ok(body.map(|body| parse(&body)).transpose()?.map(|entries| (id, entries)))
            });
            let Object { name, bytes, .. } = object;
            match parsed {
                Ok(Some((id, entries))) => {
                    reading.read.insert((id, bytes));
                    reading.builder.push((id, bytes), &entries);
                }
                Ok(None) => reading.gone += 1,
                Err(why) if matches!(why.kind(), Kind::Corrupt | Kind::Unsupported) => {
                    reading.problems.push(Problem { object: name, why });
                }
                Err(why) => return Err(why),
            }
            if reading.builder.is_full() {
                reading = blocking(move || {
                    reading.builder.flush()?;
                    Ok(reading)
                })
                .await?;
            }
        }
        Ok(reading)
    }

    /// Reads index documents for their soundness alone: what the cache remembers says nothing of what is in the store.
    pub(crate) async fn check_indexes(&self, names: &[String]) -> Result<Vec<Problem>> {
        let reads = stream::iter(names.iter().map(|name| async move {
            let body = self.read_document(name, INDEX_BODY_MAX).await;
            (name, body.and_then(|body| body.map(|body| parse(&body).map(drop)).transpose()))
        }));
        let mut reads = reads.buffered(READS_IN_FLIGHT);
        let mut problems = Vec::new();
        while let Some((name, checked)) = reads.next().await {
            match checked {
                Ok(_) => {}
                Err(why) if matches!(why.kind(), Kind::Corrupt | Kind::Unsupported) => {
                    problems.push(Problem { object: name.clone(), why });
                }
                Err(why) => return Err(why),
            }
        }
        Ok(problems)
    }
}
