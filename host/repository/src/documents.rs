//! Reading many documents of one kind, and records. What is damaged becomes a problem; a store that does not answer is an
//! error, and never fewer documents.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::error::{Error, Kind, Result};
use crate::format;
use crate::format::index::PackEntry;
use crate::format::name::{Place, parse_document};
use crate::format::record::Record;
use crate::id::ObjectId;
use crate::limits::{INDEX_BODY_MAX, LISTED_LOOKS, READS_IN_FLIGHT, RECORD_BODY_MAX};
use crate::repository::Repository;
use crate::store::Object;
use crate::view::Problem;

/// A document that was read.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// Its id.
    pub id: ObjectId,
    /// When it came to the store, by the store's clock.
    pub modified: Timestamp,
    /// What it says.
    pub value: T,
}

/// Documents of one kind.
#[derive(Debug)]
pub struct Documents<T> {
    /// Those that could be read, in the order of their names.
    pub parsed: Vec<Document<T>>,
    /// Those that could not.
    pub problems: Vec<Problem>,
    /// How many were deleted between listing and reading.
    pub(crate) gone: usize,
}

impl Repository {
    /// Reads documents, several at once, each by the place that its name tells.
    pub(crate) async fn read_documents<T>(
        &self,
        objects: Vec<Object>,
        max: usize,
        parse: impl Fn(&Place, &[u8]) -> Result<T>,
    ) -> Result<Documents<T>> {
        let reads = stream::iter(objects.into_iter().map(|object| async {
            let body = self.read_document(&object.name, max).await;
            (object, body)
        }));
        let mut reads = reads.buffered(READS_IN_FLIGHT);
        let mut documents = Documents { parsed: Vec::new(), problems: Vec::new(), gone: 0 };
        while let Some((object, body)) = reads.next().await {
            let parsed = body.and_then(|body| {
                let (place, id) = parse_document(&object.name)?;
                let value = body.map(|body| parse(&place, &body)).transpose()?;
                Ok(value.map(|value| Document { id, modified: object.modified, value }))
            });
            match parsed {
                Ok(Some(document)) => documents.parsed.push(document),
                Ok(None) => documents.gone += 1,
                Err(why) if matches!(why.kind(), Kind::Corrupt | Kind::Unsupported) => {
                    documents.problems.push(Problem { object: object.name, why });
                }
                Err(why) => return Err(why),
            }
        }
        Ok(documents)
    }

    /// Waits until an object that was just put shows in a listing: some stores list late.
    pub(crate) async fn wait_until_listed(&self, name: &str) -> Result<()> {
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut wait = Duration::ZERO;
        for _ in 0..LISTED_LOOKS {
            tokio::time::sleep(wait).await;
            if self.store().list(directory).await?.iter().any(|object| object.name == name) {
                return Ok(());
            }
            wait = (wait * 2).max(Duration::from_millis(50));
        }
        Err(Error::unavailable(format!("{name} was written, but the store does not list it"))
            .hinted("try again; if it stays so, this store is not one to keep backups in"))
    }

    /// The packs that an index names.
    pub(crate) async fn read_index(&self, id: &ObjectId) -> Result<Vec<PackEntry>> {
        let name = Place::Index.object(id);
        let gone = || Error::unavailable(format!("{name} went away since it was listed")).hinted("try again");
        format::index::parse(&self.read_document(&name, INDEX_BODY_MAX).await?.ok_or_else(gone)?)
    }

    /// Leaves a record.
    pub async fn put_record<R: Record>(&self, record: &R) -> Result<ObjectId> {
        let body = record.to_body();
        if body.len() > RECORD_BODY_MAX {
            return Err(Error::internal(format!("a record of {} bytes", body.len())));
        }
        let place = Place::Record { kind: R::KIND, started: record.started() };
        Ok(self.put_document(&place, &body).await?.1)
    }

    /// All records of a kind that came to the store at `since` or later, by its clock.
    pub async fn records<R: Record>(&self, since: Timestamp) -> Result<Documents<R>> {
        let mut objects = self.store().list(&format!("records/{}", R::KIND.word())).await?;
        objects.retain(|object| object.modified >= since);
        self.read_documents(objects, RECORD_BODY_MAX, |_, body| R::parse(body)).await
    }

    /// The newest records of a kind, by the store's clock: at most so many, the newest first.
    pub async fn newest_records<R: Record>(&self, max: usize) -> Result<Documents<R>> {
        let mut objects = self.store().list(&format!("records/{}", R::KIND.word())).await?;
        objects.sort_by(|a, b| (b.modified, &b.name).cmp(&(a.modified, &a.name)));
        objects.truncate(max);
        self.read_documents(objects, RECORD_BODY_MAX, |_, body| R::parse(body)).await
    }

    /// All records of a kind that nobody ever deletes: one that is gone meanwhile is not passed over.
    pub(crate) async fn lasting_records<R: Record>(&self) -> Result<Documents<R>> {
        let records = self.records::<R>(Timestamp::MIN).await?;
        match records.gone {
            0 => Ok(records),
            _ => Err(Error::unavailable(format!("records/{} were deleted while they were read", R::KIND.word()))),
        }
    }
}
