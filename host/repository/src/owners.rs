//! Owners added and removed, and epochs begun. FORMAT.md section 5.
//!
//! The order makes a crash harmless: an epoch counts when its record is there, and that is written after every owner's key
//! document of it was written and read back; a host seals to it only afterwards.

use std::collections::{BTreeMap, BTreeSet};

use age::x25519;
use jiff::Timestamp;

use crate::ask::Asker;
use crate::documents::Documents;
use crate::epochs::{Epochs, prove};
use crate::error::{Error, Result};
use crate::format::circle::{Began, KeyAction, KeyRecord};
use crate::format::name::{Place, RecordKind, parse_key};
use crate::format::snapshot::Named;
use crate::id::HostUid;
use crate::key_document::{Ready, put_key};
use crate::keys::{HostKey, NewKeys};
use crate::limits::RECORD_BODY_MAX;
use crate::owner::OwnerKey;
use crate::recipient::{Recipient, owner_name};
use crate::repository::Repository;
use crate::view::Problem;

/// Who does something to keys, and when.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// This host.
    pub host: Named<HostUid>,
    /// Now.
    pub at: Timestamp,
}

/// An owner, as a host sees them.
#[derive(Clone, Debug)]
pub struct OwnerRow {
    /// The name in the store: 16 hex digits.
    pub name: String,
    /// The recipient string, if a record tells. A host cannot prove it.
    pub recipient: Option<String>,
    /// The epochs of which there is a key document.
    pub epochs: Vec<u32>,
    /// When they became an owner.
    pub since: Option<Timestamp>,
    /// When their key was last tried and opened every epoch.
    pub tested: Option<Timestamp>,
}

/// What adding an owner did.
#[derive(Clone, Debug)]
pub struct Added {
    /// The new owner's recipient string.
    pub owner: String,
    /// The epochs that they can open.
    pub epochs: Vec<u32>,
    /// Key documents that were written for it.
    pub written: usize,
}

/// What a change of owners or epochs left.
pub struct Changed {
    /// This host's new key. Until it is in the key file, the host seals to the old epoch.
    pub key: HostKey,
    /// The recipient strings of the owners now.
    pub owners: Vec<String>,
    /// Key documents of removed owners that could not be deleted.
    pub left: Vec<Problem>,
}

/// Writes the key documents of a new repository and the record of its first epoch.
pub(crate) async fn found(repository: &Repository, keys: &NewKeys, owners: &[Recipient], asker: &Asker) -> Result<()> {
    let owners: BTreeMap<String, &Recipient> = owners.iter().map(|owner| (owner.name(), owner)).collect();
    let mut ready = Vec::with_capacity(owners.len());
    for owner in owners.values() {
        ready.push(Ready::new(owner, asker).await?);
    }
    let mut last = String::new();
    for owner in &ready {
        last = put_key(repository, (1, &keys.data), owner).await?;
    }
    // The first host has no name yet, and the store's time is the only one at hand.
    let host = Named { uid: repository.host(), name: String::new() };
    let missing = || Error::corrupt(format!("{last} was written, and is not there"));
    let at = repository.store().find(&last).await?.ok_or_else(missing)?.modified;
    let stamp = Stamp { host, at };
    let began = Began { after: 0, recipient: keys.host.data.to_string(), owners: strings(owners.into_values()) };
    put_began(repository, &stamp, began, (None, keys)).await
}

impl Repository {
    /// The records about keys, oldest first, and those that cannot be read.
    pub async fn key_records(&self) -> Result<(Vec<KeyRecord>, Vec<Problem>)> {
        let Documents { parsed, problems, .. } = self.lasting_records::<KeyRecord>().await?;
        let mut records: Vec<KeyRecord> = parsed.into_iter().map(|document| document.value).collect();
        records.sort_by_key(|record| record.at);
        Ok((records, problems))
    }

    /// All owners, from the names of key documents and from records; and records that cannot be read.
    pub async fn owners(&self) -> Result<(Vec<OwnerRow>, Vec<Problem>)> {
        let (records, problems) = self.key_records().await?;
        let mut rows = self.key_objects().await?;
        for record in &records {
            let began = record.began.iter().flat_map(|began| &began.owners);
            for string in began.chain(&record.owner) {
                let Some(row) = rows.get_mut(&owner_name(string)) else { continue };
                row.recipient.get_or_insert_with(|| string.clone());
                match record.action {
                    KeyAction::Began | KeyAction::Added => _ = row.since.get_or_insert(record.at),
                    KeyAction::Tested => row.tested = Some(record.at),
                    KeyAction::Removed => {}
                }
            }
        }
        let mut rows: Vec<OwnerRow> = rows.into_values().collect();
        rows.sort_by_key(|row| row.since);
        Ok((rows, problems))
    }

    /// Owners by their names in the store.
    async fn key_objects(&self) -> Result<BTreeMap<String, OwnerRow>> {
        let mut rows: BTreeMap<String, OwnerRow> = BTreeMap::new();
        for object in self.store().list("keys").await? {
            let Ok((epoch, name)) = parse_key(&object.name) else { continue };
            let empty = || OwnerRow { name: name.clone(), recipient: None, epochs: vec![], since: None, tested: None };
            rows.entry(name.clone()).or_insert_with(empty).epochs.push(epoch);
        }
        rows.values_mut().for_each(|row| row.epochs.sort_unstable());
        Ok(rows)
    }

    /// Adds an owner: whoever can open every epoch writes a key document of each for them. Can be done again after a crash.
    pub async fn add_owner(&self, owner: &OwnerKey, new: &Recipient, stamp: &Stamp) -> Result<Added> {
        let epochs = self.open_epochs(owner).await?;
        epochs.whole()?;
        let is_owner = epochs.owners().contains(&new.to_string());
        let there = self.key_objects().await?.remove(&new.name()).map(|row| row.epochs).unwrap_or_default();
        let wanted = epochs.numbers();
        let mut added = Added { owner: new.to_string(), epochs: wanted.clone(), written: 0 };
        if is_owner && wanted.iter().all(|epoch| there.contains(epoch)) {
            return Ok(added);
        }
        let ready = match is_owner {
            true => Ready::known(self, &epochs, new, owner).await?,
            false => Ready::new(new, owner.asker()).await?,
        };
        for (epoch, identity) in &epochs.identities {
            match (is_owner, there.contains(epoch)) {
                (true, true) => continue,
                // Left by an attempt that did not come to its end, or by a stranger: nobody can tell.
                (false, true) => self.store().delete(&[key_object(*epoch, &new.name())]).await?,
                (_, false) => {}
            }
            put_key(self, (*epoch, identity), &ready).await?;
            added.written += 1;
        }
        // A proof is made with the current epoch's identity, so that epoch is named last.
        let epochs_named = wanted.iter().copied().filter(|epoch| *epoch != epochs.current()).chain([epochs.current()]);
        let record = self.event(stamp, KeyAction::Added, Some(new.to_string()), epochs_named.collect());
        let proof = epochs.proof(&record);
        self.put_key_record(KeyRecord { proof: proof.map(|proof| proof.to_hex().to_string()), ..record }).await?;
        Ok(added)
    }

    /// Begins a new epoch for the owners that there are. `known` are owners of whom the operator says so, where no record
    /// proves it.
    pub async fn begin_epoch(&self, owner: &OwnerKey, known: &[Recipient], stamp: &Stamp) -> Result<Changed> {
        let epochs = self.open_epochs(owner).await?;
        epochs.whole()?;
        let staying = self.staying(&epochs, known, &BTreeSet::new()).await?;
        let key = self.next_epoch(&epochs, owner, &staying, stamp).await?;
        Ok(Changed { key, owners: strings(&staying), left: Vec::new() })
    }

    /// Removes owners, each named by recipient string or by name in the store: begins an epoch for those that stay, then
    /// deletes the key documents of those that go. Can be done again after a crash.
    pub async fn remove_owners(
        &self,
        owner: &OwnerKey,
        gone: &[String],
        known: &[Recipient],
        stamp: &Stamp,
    ) -> Result<Changed> {
        let epochs = self.open_epochs(owner).await?;
        epochs.whole()?;
        let objects = self.key_objects().await?;
        let names: BTreeSet<String> = gone.iter().map(|who| find_owner(who, &objects)).collect::<Result<_>>()?;
        let staying = self.staying(&epochs, known, &names).await?;
        if staying.is_empty() {
            return Err(Error::invalid("the last owner cannot be removed: nobody could read any backup")
                .hinted("add another first: `dozo key add`"));
        }
        let owns = |name: &String| {
            let here = objects.get(name).is_some_and(|row| row.epochs.contains(&epochs.current()));
            here || epochs.owners().iter().any(|string| owner_name(string) == *name)
        };
        let key = match names.iter().any(owns) {
            true => self.next_epoch(&epochs, owner, &staying, stamp).await?,
            // A removal that came so far before: only what is left is to be done.
            false => self.current_key(&epochs)?,
        };
        let mut left = Vec::new();
        for row in objects.into_values().filter(|row| names.contains(&row.name)) {
            left.extend(self.delete_owner(row, &epochs, stamp).await?);
        }
        Ok(Changed { key, owners: strings(&staying), left })
    }

    /// The owners of the current epoch without those that go. One that nobody can name to seal to stops everything.
    async fn staying(&self, epochs: &Epochs, known: &[Recipient], gone: &BTreeSet<String>) -> Result<Vec<Recipient>> {
        let mut staying = BTreeMap::new();
        for string in epochs.owners() {
            let recipient = Recipient::parse(string)?;
            staying.insert(recipient.name(), recipient);
        }
        let objects = self.key_objects().await?;
        for recipient in known {
            if !objects.contains_key(&recipient.name()) {
                return Err(Error::invalid(format!("{recipient} is no owner: no key document has its name"))
                    .hinted("`dozo key owners` lists them, `dozo key add` adds one"));
            }
            staying.insert(recipient.name(), recipient.clone());
        }
        staying.retain(|name, _| !gone.contains(name));
        let of_current = objects.values().filter(|row| row.epochs.contains(&epochs.current()));
        let mut unknown = of_current.filter(|row| !staying.contains_key(&row.name) && !gone.contains(&row.name));
        if let Some(row) = unknown.next() {
            let object = key_object(epochs.current(), &row.name);
            return Err(Error::invalid(format!("{object} is of an owner whom no proven record names")).hinted(
                "if it is one, say whom with `--owner RECIPIENT`, or add them again; if not, remove them by this name too",
            ));
        }
        Ok(staying.into_values().collect())
    }

    /// Writes a new epoch's key documents, and then the record with which it counts.
    async fn next_epoch(
        &self,
        epochs: &Epochs,
        owner: &OwnerKey,
        staying: &[Recipient],
        stamp: &Stamp,
    ) -> Result<HostKey> {
        let mut ready = Vec::with_capacity(staying.len());
        for recipient in staying {
            ready.push(Ready::known(self, epochs, recipient, owner).await?);
        }
        // Numbers that an attempt left behind are not used again.
        let used = self.key_objects().await?.into_values().flat_map(|row| row.epochs).chain(epochs.numbers());
        let number =
            used.max().unwrap_or(0).checked_add(1).ok_or_else(|| Error::invalid("there are no more epochs"))?;
        let keys = NewKeys::next(self.key(), number);
        for owner in &ready {
            put_key(self, (number, &keys.data), owner).await?;
        }
        let began = Began { after: epochs.current(), recipient: keys.host.data.to_string(), owners: strings(staying) };
        put_began(self, stamp, began, (epochs.identities.get(&epochs.current()), &keys)).await?;
        Ok(keys.host)
    }

    /// Leaves the record first: while it says what is to be deleted and something is left, it can be done again.
    async fn delete_owner(&self, row: OwnerRow, epochs: &Epochs, stamp: &Stamp) -> Result<Vec<Problem>> {
        let string = epochs.owners().iter().find(|string| owner_name(string) == row.name).cloned();
        let who = string.or(row.recipient).unwrap_or_else(|| row.name.clone());
        self.put_key_record(self.event(stamp, KeyAction::Removed, Some(who), row.epochs.clone())).await?;
        let mut left = Vec::new();
        for object in row.epochs.iter().map(|epoch| key_object(*epoch, &row.name)) {
            if let Err(why) = self.store().delete(std::slice::from_ref(&object)).await {
                left.push(Problem { object, why });
            }
        }
        Ok(left)
    }

    /// A record without a proof.
    pub(crate) fn event(&self, stamp: &Stamp, action: KeyAction, owner: Option<String>, epochs: Vec<u32>) -> KeyRecord {
        let Stamp { host, at } = stamp.clone();
        KeyRecord { schema: KeyRecord::SCHEMA.into(), host, at, action, owner, epochs, began: None, proof: None }
    }

    /// Writes a record, and reads it back.
    pub(crate) async fn put_key_record(&self, record: KeyRecord) -> Result<()> {
        let place = Place::Record { kind: RecordKind::Key, started: record.at };
        let object = place.object(&self.put_record(&record).await?);
        match self.read_document(&object, RECORD_BODY_MAX).await? == Some(record.to_body()) {
            true => Ok(()),
            false => Err(Error::corrupt(format!("{object} is not what was written"))),
        }
    }
}

async fn put_began(
    repository: &Repository,
    stamp: &Stamp,
    began: Began,
    identities: (Option<&x25519::Identity>, &NewKeys),
) -> Result<()> {
    let (before, keys) = identities;
    let record = repository.event(stamp, KeyAction::Began, None, vec![keys.host.epoch]);
    let record = KeyRecord { began: Some(began), ..record };
    let proof = prove(before, &keys.data, &record).to_hex().to_string();
    repository.put_key_record(KeyRecord { proof: Some(proof), ..record }).await
}

pub(crate) fn key_object(epoch: u32, name: &str) -> String {
    format!("{}.age", Place::Key { epoch, owner: name.to_string() }.prefix())
}

/// The name in the store of the owner that the operator means.
fn find_owner(who: &str, objects: &BTreeMap<String, OwnerRow>) -> Result<String> {
    let digits = who.len() >= 4 && who.bytes().all(|b| b.is_ascii_hexdigit());
    let by_name: Vec<&String> = objects.keys().filter(|name| digits && name.starts_with(who)).collect();
    let name = match by_name.as_slice() {
        [name] => (*name).clone(),
        _ => Recipient::parse(who).map(|recipient| recipient.name()).unwrap_or_default(),
    };
    match objects.contains_key(&name) {
        true => Ok(name),
        false => Err(Error::invalid(format!("there is no owner `{who}`")).hinted("`dozo key owners` lists them")),
    }
}

fn strings<'a>(owners: impl IntoIterator<Item = &'a Recipient>) -> Vec<String> {
    owners.into_iter().map(ToString::to_string).collect()
}
