//! Hosts joined and removed, and the keys that an owner makes for them. FORMAT.md section 5.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::documents::Documents;
use crate::epochs::{Epochs, open_documents, stranger};
use crate::error::{Error, Kind, Result};
use crate::format::circle::{HostAction, HostRecord};
use crate::format::snapshot::Named;
use crate::id::{HostUid, RepositoryId};
use crate::key_test::probe;
use crate::keys::{HostKey, ReadKeys};
use crate::owner::OwnerKey;
use crate::owners::Stamp;
use crate::repository::{Repository, check_sign};
use crate::store::Store;
use crate::view::{Problem, View};

/// A host of the repository.
#[derive(Clone, Debug)]
pub struct HostRow {
    /// Which.
    pub uid: HostUid,
    /// What people call it; the newest name.
    pub name: String,
    /// When it got a key file.
    pub joined: Option<Timestamp>,
    /// When it was removed, if nothing newer says that it joined again.
    pub removed: Option<Timestamp>,
    /// How many snapshots it has.
    pub snapshots: usize,
    /// When the newest of them was begun that is not of the future.
    pub last: Option<Timestamp>,
}

impl Repository {
    /// Opens a repository on a machine that has no key yet, with an owner's: a fresh host in the newest epoch.
    pub async fn join(
        store: Store,
        id: RepositoryId,
        owner: &OwnerKey,
        host: HostUid,
    ) -> Result<(Repository, HostKey)> {
        let (provisional, _) = Repository::open_to_read(store, id, owner, host).await?;
        let epochs = provisional.open_epochs(owner).await?;
        // With no key file to start from, the packs must bear the key documents out.
        let probed = probe(&provisional.view().await?, &epochs).await?;
        if let Some(cold) = probed.cold {
            return Err(cold.context("not every pack can be held against the keys").hinted(
                "bring what lies in cold storage back first (`dozo verify --scrub --thaw` on a host that is there), or make \
                 the key file with `dozo key host` there",
            ));
        }
        if let Some(strange) = probed.strange {
            return Err(strange.why.context(format!("the keys do not fit the repository: {}", strange.object)).hinted(
                "key documents may have been replaced; `dozo key host` on a host makes a key file without this doubt",
            ));
        }
        let key = provisional.current_key(&epochs)?;
        Ok((Repository::open(provisional.store().clone(), key.clone()).await?, key))
    }

    /// Opens a repository with an owner's key alone, on a machine that is no host of it: to list and to read. The host is one
    /// for this process, and is written down nowhere.
    ///
    /// # Errors
    /// [`Denied`](Kind::Denied) if no key document opens with it; [`Invalid`](Kind::Invalid) if another repository, or none, is
    /// in the store.
    pub async fn open_to_read(
        store: Store,
        id: RepositoryId,
        owner: &OwnerKey,
        host: HostUid,
    ) -> Result<(Repository, ReadKeys)> {
        check_sign(&store, id).await?;
        let found = open_documents(&store, id, owner).await?;
        let Some(first) = found.opened.iter().min_by_key(|document| document.epoch) else {
            return Err(stranger(&store, owner, found).await);
        };
        let keys = found.read_keys()?;
        Ok((Repository::open(store, HostKey::from_document(first, host)?).await?, keys))
    }

    /// This host's key in the newest epoch.
    pub fn current_key(&self, epochs: &Epochs) -> Result<HostKey> {
        let identity = epochs.identities.get(&epochs.current());
        let identity = identity.ok_or_else(|| Error::internal("the current epoch was not opened"))?;
        Ok(self.key().in_epoch(epochs.current(), identity))
    }

    /// A key for another host, in the newest epoch.
    pub fn key_for(&self, host: HostUid, epochs: &Epochs) -> Result<HostKey> {
        Ok(self.current_key(epochs)?.of_host(host))
    }

    /// Leaves the record that a host joined or was removed.
    pub async fn put_host_record(&self, action: HostAction, about: Named<HostUid>, stamp: &Stamp) -> Result<()> {
        let Stamp { host, at } = stamp.clone();
        let record = HostRecord { schema: HostRecord::SCHEMA.into(), host, at, action, about };
        self.put_record(&record).await.map(|_| ())
    }

    /// The records about hosts, oldest first, and those that cannot be read.
    pub async fn host_records(&self) -> Result<(Vec<HostRecord>, Vec<Problem>)> {
        let Documents { parsed, problems, .. } = self.lasting_records::<HostRecord>().await?;
        let mut records: Vec<HostRecord> = parsed.into_iter().map(|document| document.value).collect();
        records.sort_by_key(|record| record.at);
        Ok((records, problems))
    }

    /// The hosts that were removed, and when the first word of it came to the store, by the store's clock; and records that
    /// cannot be read. A uid never joins again, so a record that says so lifts nothing: a removed host can write one.
    pub async fn removed_hosts(&self) -> Result<(BTreeMap<HostUid, Timestamp>, Vec<Problem>)> {
        let Documents { parsed, problems, .. } = self.lasting_records::<HostRecord>().await?;
        let mut removed = BTreeMap::new();
        for document in parsed.iter().filter(|document| document.value.action == HostAction::Removed) {
            let first = removed.entry(document.value.about.uid).or_insert(document.modified);
            *first = document.modified.min(*first);
        }
        Ok((removed, problems))
    }

    /// All hosts, from records and snapshots; and records that cannot be read.
    pub async fn hosts(&self, view: &View, now: Timestamp) -> Result<(Vec<HostRow>, Vec<Problem>)> {
        let (records, problems) = self.host_records().await?;
        let mut rows: BTreeMap<HostUid, HostRow> = BTreeMap::new();
        for record in &records {
            let row = row(&mut rows, &record.about);
            match record.action {
                HostAction::Joined => (row.joined, row.removed) = (Some(record.at), None),
                HostAction::Removed => row.removed = Some(record.at),
            }
        }
        for found in view.snapshots() {
            let row = row(&mut rows, &found.1.host);
            row.snapshots += 1;
            if !view.is_ahead(found, now) {
                row.last = Some(found.1.started);
            }
        }
        let mut rows: Vec<HostRow> = rows.into_values().collect();
        rows.sort_by_key(|row| row.joined.or(row.last));
        Ok((rows, problems))
    }

    /// The host that the operator means: by name, or by uid or the eight digits of it that are shown.
    pub async fn find_host(&self, who: &str, view: &View) -> Result<Named<HostUid>> {
        let (rows, _) = self.hosts(view, Timestamp::MAX).await?;
        let fits = |row: &&HostRow| row.name == who || row.uid.to_string() == who || row.uid.short() == who;
        let found: Vec<&HostRow> = rows.iter().filter(fits).collect();
        match found.as_slice() {
            [row] => Ok(Named { uid: row.uid, name: row.name.clone() }),
            [] => Err(Error::invalid(format!("there is no host `{who}`")).hinted("`dozo key hosts` lists them")),
            several => Err(Error::new(Kind::Invalid, format!("{} hosts are called `{who}`", several.len()))
                .hinted("name the one that you mean by its uid: `dozo key hosts`")),
        }
    }
}

fn row<'a>(rows: &'a mut BTreeMap<HostUid, HostRow>, host: &Named<HostUid>) -> &'a mut HostRow {
    let Named { uid, name } = host.clone();
    let empty = HostRow { uid, name: String::new(), joined: None, removed: None, snapshots: 0, last: None };
    let row = rows.entry(uid).or_insert(empty);
    row.name = name;
    row
}
