//! Opening key documents, and whom to believe about epochs and owners. FORMAT.md section 5.
//!
//! Whoever holds a host's key can write documents that pass for the repository's. So what an owner's hand acts on (whom to
//! seal to, which epoch is the newest) is believed only with a proof that takes a data identity to make.

use std::collections::{BTreeMap, BTreeSet};

use age::secrecy::ExposeSecret;
use age::x25519;

use crate::document;
use crate::error::{Error, Kind, Result};
use crate::format::circle::{Began, KeyAction, KeyRecord};
use crate::format::key::KeyDocument;
use crate::format::name::{Place, parse_key};
use crate::id::RepositoryId;
use crate::keys::{HostKey, ReadKeys, Secret, check_key, data_identity};
use crate::limits::KEY_BODY_MAX;
use crate::owner::OwnerKey;
use crate::recipient::owner_name;
use crate::repository::Repository;
use crate::store::Store;
use crate::view::Problem;

/// What the proof of an owner is derived from, beside the data identities.
const PROOF: &str = "dozo 2026-11 owners";

/// The key documents that an owner's key opened, and those that should have opened.
pub(crate) struct KeyDocuments {
    pub(crate) opened: Vec<KeyDocument>,
    pub(crate) refused: Vec<Problem>,
}

impl KeyDocuments {
    /// What reads content of every epoch that opened.
    pub(crate) fn read_keys(&self) -> Result<ReadKeys> {
        Ok(ReadKeys { data: self.opened.iter().map(data_identity).collect::<Result<_>>()? })
    }
}

/// Opens every key document that this owner can open. Whoever can write to the store can put others; they must not keep an
/// owner from those that are right.
pub(crate) async fn open_documents(store: &Store, id: RepositoryId, owner: &OwnerKey) -> Result<KeyDocuments> {
    if let Some(pinned) = owner.repository.filter(|pinned| *pinned != id) {
        let (pinned, id) = (pinned.short(), id.short());
        return Err(Error::denied("the owner key belongs to another repository")
            .hinted(format!("the key is for {pinned}, and this is {id}")));
    }
    let mut objects: Vec<String> = store.list("keys").await?.into_iter().map(|object| object.name).collect();
    let names = owner.names();
    let is_own = |object: &String| parse_key(object).is_ok_and(|(_, name)| names.contains(&name));
    if objects.iter().any(is_own) {
        // A document is asked for where it lies, so that a passphrase or a touch is not asked for in vain.
        objects.retain(is_own);
    }
    let mut found = KeyDocuments { opened: Vec::new(), refused: Vec::new() };
    for object in objects {
        match open_document(store, id, &object, owner).await {
            Ok(document) => found.opened.push(document),
            Err(e) if e.kind() == Kind::Denied && !is_own(&object) => {}
            Err(e) if matches!(e.kind(), Kind::Denied | Kind::Corrupt | Kind::Unsupported) => {
                found.refused.push(Problem { why: e.context(format!("open {object}")), object });
            }
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// Opens a key document and holds it against the repository: first what it says, then its code, for which the secret that
/// it brings is needed.
async fn open_document(store: &Store, id: RepositoryId, object: &str, owner: &OwnerKey) -> Result<KeyDocument> {
    let sealed = store.get(object, KEY_BODY_MAX as u64).await?;
    let owner = owner.clone();
    // May wait for a person.
    let document = crate::pipeline::blocking(move || {
        let plaintext = owner.open(&sealed, KEY_BODY_MAX)?;
        let (body, mac) = document::split(&plaintext, KEY_BODY_MAX)?;
        let document = KeyDocument::parse(&body)?;
        check_key(&document, id)?;
        let place = Place::Key { epoch: document.epoch, owner: owner_name(&document.owner) };
        document::check(&place, &body, mac, &Secret::from_hex(&document.secret)?.keyring())?;
        data_identity(&document)?;
        Ok(document)
    })
    .await?;
    let place = Place::Key { epoch: document.epoch, owner: owner_name(&document.owner) };
    if format!("{}.age", place.prefix()) != object {
        return Err(Error::corrupt("the key document does not belong where it lies"));
    }
    Ok(document)
}

impl Repository {
    /// Opens content with an owner's key.
    ///
    /// # Errors
    /// [`Denied`](Kind::Denied) if no key document opens with it, [`Corrupt`](Kind::Corrupt) if those that do are not this
    /// repository's.
    pub async fn unlock(&self, owner: &OwnerKey) -> Result<ReadKeys> {
        let found = open_documents(self.store(), self.id(), owner).await?;
        if found.opened.is_empty() {
            return Err(self.nothing_opens(owner, found).await);
        }
        found.read_keys()
    }

    /// Opens every epoch with an owner's key, and finds out which is the newest and who its owners are.
    ///
    /// # Errors
    /// [`Denied`](Kind::Denied) if the key does not open the epoch of this host's key file; [`Corrupt`](Kind::Corrupt) if
    /// it opens to another recipient than the key file names.
    pub async fn open_epochs(&self, owner: &OwnerKey) -> Result<Epochs> {
        let found = open_documents(self.store(), self.id(), owner).await?;
        if found.opened.is_empty() {
            return Err(self.nothing_opens(owner, found).await);
        }
        let (records, problems) = self.key_records().await?;
        let string = found.opened.last().map(|document| document.owner.clone()).unwrap_or_default();
        let (identities, owners) = (BTreeMap::new(), BTreeSet::new());
        let mut epochs = Epochs { identities, current: self.key().epoch, owners, string, problems };
        epochs.problems.extend(found.refused);
        for document in &found.opened {
            epochs.take(document)?;
        }
        epochs.check_anchor(self.key())?;
        epochs.follow(&records);
        epochs.find_owners(&records);
        epochs.find_missing(&records);
        Ok(epochs)
    }
}

impl Repository {
    /// Why a key opens nothing: whose it was, or who the owners are.
    async fn nothing_opens(&self, owner: &OwnerKey, found: KeyDocuments) -> Error {
        let error = stranger(self.store(), owner, found).await;
        // What cannot be read adds nothing: the error stands.
        let Ok((records, _)) = self.key_records().await else { return error };
        let removal = |record: &&KeyRecord| {
            let is_own = |string: &String| owner.strings().contains(string);
            record.action == KeyAction::Removed && record.owner.as_ref().is_some_and(is_own)
        };
        if let Some(removed) = records.iter().rev().find(removal) {
            let what = format!("this owner was removed on {}", removed.at.strftime("%Y-%m-%d"));
            return error.context(what).hinted(OTHER_OWNER);
        }
        let Ok((rows, _)) = self.owners().await else { return error };
        let known: Vec<String> = rows.into_iter().filter_map(|row| row.recipient).take(OWNERS_NAMED).collect();
        match known.is_empty() {
            true => error,
            false => error.hinted(format!("the owners are {}; `dozo key owners` lists them", known.join(", "))),
        }
    }
}

/// Owners that a message names.
const OWNERS_NAMED: usize = 4;
const OTHER_OWNER: &str = "use the key of an owner who is one still: `dozo key owners` lists them";

/// The error for a key that opens no key document of a store.
pub(crate) async fn stranger(store: &Store, owner: &OwnerKey, found: KeyDocuments) -> Error {
    if let Some(problem) = found.refused.into_iter().next() {
        return problem.why;
    }
    let objects = store.list("keys").await.unwrap_or_default();
    let names: BTreeSet<String> = objects.iter().filter_map(|object| Some(parse_key(&object.name).ok()?.1)).collect();
    let names: Vec<String> = names.into_iter().take(OWNERS_NAMED).collect();
    let own = owner.names().first().map_or_else(String::new, |name| format!("; this key's is {name}"));
    Error::denied("no key document of the repository opens with this owner key")
        .hinted(format!("use the key of one of its owners: their names in the store are {}{own}", names.join(", ")))
}

/// The epochs as an owner sees them.
pub struct Epochs {
    pub(crate) identities: BTreeMap<u32, x25519::Identity>,
    current: u32,
    owners: BTreeSet<String>,
    string: String,
    problems: Vec<Problem>,
}

impl Epochs {
    /// The epoch that hosts should seal to.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Every epoch that opened.
    pub fn numbers(&self) -> Vec<u32> {
        self.identities.keys().copied().collect()
    }

    /// The recipient strings of the owners of the current epoch, as far as they are proven.
    pub fn owners(&self) -> &BTreeSet<String> {
        &self.owners
    }

    /// The string of the owner whose key this is.
    pub fn own(&self) -> &str {
        &self.string
    }

    /// Key documents and records that are damaged or missing.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Refuses to go on where something is damaged: what is not known cannot be handed on.
    pub(crate) fn whole(&self) -> Result<()> {
        let Some(problem) = self.problems.first() else { return Ok(()) };
        let error = problem.why.clone().context(format!("not every epoch and owner can be known: {}", problem.object));
        Err(error
            .hinted("`dozo key test` names all that is wrong; another owner's key may open what this one does not"))
    }

    fn take(&mut self, document: &KeyDocument) -> Result<()> {
        let identity = data_identity(document)?;
        let recipient = identity.to_public();
        let first = self.identities.entry(document.epoch).or_insert(identity);
        if first.to_public() != recipient {
            let object = format!("keys/{}-{}.age", document.epoch, owner_name(&document.owner));
            let why = Error::corrupt(format!("epoch {} has two data identities for this owner", document.epoch));
            self.problems.push(Problem { object, why });
        }
        Ok(())
    }

    /// The host's own key file is the one thing here that did not come from the store.
    fn check_anchor(&self, key: &HostKey) -> Result<()> {
        let Some(identity) = self.identities.get(&key.epoch) else {
            return Err(Error::denied(format!("the owner key does not open epoch {}, this host's", key.epoch)));
        };
        if identity.to_public() != key.data {
            return Err(Error::corrupt(format!(
                "epoch {} in the store is not the one in this host's key file",
                key.epoch
            ))
            .hinted("somebody put key documents of their own there: compare with a copy of the repository"));
        }
        Ok(())
    }

    /// Goes from the current epoch to those that began after it. Of several after the same one the lowest counts: whoever
    /// held the old identity could add another later.
    fn follow(&mut self, records: &[KeyRecord]) {
        loop {
            let after = records.iter().filter(|record| self.begins_after(record, self.current)).filter_map(number);
            let Some(next) = after.filter(|next| *next > self.current).min() else { return };
            self.current = next;
        }
    }

    fn begins_after(&self, record: &KeyRecord, after: u32) -> bool {
        record.began.as_ref().is_some_and(|began| began.after == after) && self.is_proven(record)
    }

    /// The owners with whom the current epoch began, and those that were added to it.
    fn find_owners(&mut self, records: &[KeyRecord]) {
        let of_current = records.iter().filter(|record| number(record) == Some(self.current) && self.is_proven(record));
        let mut owners = BTreeSet::new();
        for record in of_current {
            match record.action {
                KeyAction::Began => owners.extend(record.began.iter().flat_map(|began| began.owners.iter().cloned())),
                KeyAction::Added => owners.extend(record.owner.clone()),
                KeyAction::Removed | KeyAction::Tested => {}
            }
        }
        self.owners = owners;
    }

    /// Epochs that began and do not open, or not as their record says.
    fn find_missing(&mut self, records: &[KeyRecord]) {
        // One whose proof needs an epoch that did not open says nothing beside that.
        let unproven = |record: &&KeyRecord| {
            let known = |began: &Began| began.after == 0 || self.identities.contains_key(&began.after);
            record.began.as_ref().is_some_and(known) && !self.is_proven(record)
        };
        for epoch in records.iter().filter(unproven).filter_map(number).collect::<BTreeSet<u32>>() {
            let object = format!("keys/{epoch}-{}.age", owner_name(&self.string));
            let why = match self.identities.contains_key(&epoch) {
                true => format!("a record says that epoch {epoch} began, and no owner of that epoch wrote it"),
                false => format!("epoch {epoch} began, and this owner has no key document of it"),
            };
            if !self.problems.iter().any(|problem| problem.object == object) {
                self.problems.push(Problem { object, why: Error::corrupt(why) });
            }
        }
    }

    /// Whether a record was made by somebody who held the data identities that it is about.
    fn is_proven(&self, record: &KeyRecord) -> bool {
        let (Some(proof), Some(expected)) = (&record.proof, self.proof(record)) else { return false };
        let recipient_fits = record.began.as_ref().is_none_or(|began| {
            let identity = number(record).and_then(|epoch| self.identities.get(&epoch));
            identity.is_some_and(|identity| identity.to_public().to_string() == began.recipient)
        });
        // `blake3::Hash` compares in constant time.
        recipient_fits && blake3::Hash::from_hex(proof).is_ok_and(|proof| proof == expected)
    }

    /// The proof that belongs to a record.
    pub(crate) fn proof(&self, record: &KeyRecord) -> Option<blake3::Hash> {
        let after = record.began.as_ref().map(|began| began.after).filter(|after| *after > 0);
        let before = after.map(|after| self.identities.get(&after).ok_or(())).transpose().ok()?;
        Some(prove(before, self.identities.get(&number(record)?)?, record))
    }
}

/// The proof of a record: keyed with the data identity of its epoch and, where an epoch began, of the one before. Who was
/// an owner before cannot make it, and who is one now shows that they were one before.
pub(crate) fn prove(before: Option<&x25519::Identity>, epoch: &x25519::Identity, record: &KeyRecord) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key(PROOF);
    for identity in before.into_iter().chain([epoch]) {
        hasher.update(identity.to_string().expose_secret().as_bytes()).update(b"\n");
    }
    let key: [u8; 32] = hasher.finalize().into();
    blake3::keyed_hash(&key, &record.claim())
}

/// The epoch that a record is about last.
fn number(record: &KeyRecord) -> Option<u32> {
    record.epochs.last().copied()
}
