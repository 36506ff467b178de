//! Who may do what: the secret and what is derived from it, and the host's key. FORMAT.md section 5.

use age::secrecy::ExposeSecret;
use age::x25519;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::format::key::{HostKeyFile, KeyDocument, KeyParts};
use crate::format::name::PackKind;
use crate::id::{ChunkId, HostUid, JobUid, RepositoryId};

/// The 32 bytes from which a repository's keys are derived.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// Takes 32 bytes from a cryptographic random generator.
    pub fn new(entropy: [u8; 32]) -> Self {
        Secret(Zeroizing::new(entropy))
    }

    pub(crate) fn from_hex(digits: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| Error::corrupt("the secret is not 64 hex digits"))?;
        Ok(Secret(bytes))
    }

    fn to_hex(&self) -> String {
        hex::encode(*self.0)
    }

    fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &*self.0)
    }

    /// What the secret commits to.
    pub fn repository(&self) -> RepositoryId {
        RepositoryId(self.derive("dozo 2026-11 repository id"))
    }

    /// Keys for the ids of chunks, for documents, for cutting and for names.
    pub(crate) fn keyring(&self) -> Keyring {
        Keyring {
            data_chunk: self.derive("dozo 2026-11 data chunk id"),
            catalog_chunk: self.derive("dozo 2026-11 catalog chunk id"),
            document: self.derive("dozo 2026-11 document mac"),
            chunker: self.derive("dozo 2026-11 chunker"),
            name: self.derive("dozo 2026-11 names"),
            index_cache: self.derive("dozo 2026-11 local index cache"),
        }
    }
}

/// What is derived from the secret.
pub(crate) struct Keyring {
    data_chunk: [u8; 32],
    catalog_chunk: [u8; 32],
    pub(crate) document: [u8; 32],
    pub(crate) chunker: [u8; 32],
    name: [u8; 32],
    /// Seals what this machine remembers of the indexes; nothing in a repository depends on it.
    pub(crate) index_cache: [u8; 32],
}

impl Keyring {
    /// The id of a chunk of this kind.
    pub(crate) fn chunk_id(&self, kind: PackKind, plaintext: &[u8]) -> ChunkId {
        let key = match kind {
            PackKind::Data => &self.data_chunk,
            PackKind::Catalog => &self.catalog_chunk,
        };
        ChunkId(blake3::keyed_hash(key, plaintext).into())
    }

    /// The uid of a host's job.
    pub(crate) fn job_uid(&self, host: HostUid, job: &str) -> JobUid {
        let mut hasher = blake3::Hasher::new_keyed(&self.name);
        hasher.update(&host.0).update(&[0]).update(job.as_bytes());
        let mut uid = [0; 16];
        hasher.finalize_xof().fill(&mut uid);
        JobUid(uid)
    }
}

/// A host's key: enough to write, list and compare; not to read content.
#[derive(Clone)]
pub struct HostKey {
    /// The one repository it opens.
    pub repository: RepositoryId,
    /// This host.
    pub host: HostUid,
    pub(crate) secret: Secret,
    pub(crate) catalog: x25519::Identity,
    pub(crate) epoch: u32,
    pub(crate) data: x25519::Recipient,
}

impl HostKey {
    /// From the text of a key file. Refuses one whose secret does not commit to its repository.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let file = HostKeyFile::parse(text)?;
        let secret = Secret::from_hex(&file.secret)?;
        if secret.repository() != file.repository {
            return Err(Error::corrupt("the host key's secret does not belong to its repository"));
        }
        let data = file.data_recipient.parse().map_err(|e| bad_key("the host key's data recipient", e))?;
        let catalog = identity(&file.catalog_identity, "the host key's catalog identity")?;
        Ok(HostKey { repository: file.repository, host: file.host, secret, catalog, epoch: file.epoch, data })
    }

    /// The text of the key file: a secret, to be kept with mode 0600.
    pub fn to_text(&self) -> Zeroizing<String> {
        let current = (self.epoch, self.data.to_string());
        let catalog = self.catalog.to_string().expose_secret().to_owned();
        let file = HostKeyFile::new(self.repository, self.host, self.secret.to_hex(), catalog, current);
        Zeroizing::new(file.to_text())
    }
}

/// Keys of a new epoch: what a host and each owner get.
pub(crate) struct NewKeys {
    pub(crate) host: HostKey,
    pub(crate) data: x25519::Identity,
}

impl NewKeys {
    /// Of a new repository: fresh identities around a fresh secret.
    pub(crate) fn generate(secret: Secret, host: HostUid) -> Self {
        let (data, catalog) = (x25519::Identity::generate(), x25519::Identity::generate());
        let repository = secret.repository();
        let host = HostKey { repository, host, secret, catalog, epoch: 1, data: data.to_public() };
        NewKeys { host, data }
    }

    /// Of another epoch of the same repository: a fresh data identity.
    pub(crate) fn next(host: &HostKey, epoch: u32) -> Self {
        let data = x25519::Identity::generate();
        NewKeys { host: host.in_epoch(epoch, &data), data }
    }
}

impl HostKey {
    /// The uid of a job of this host.
    pub fn job_uid(&self, job: &str) -> JobUid {
        self.secret.keyring().job_uid(self.host, job)
    }

    /// Which data key the host seals content to.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The same host in another epoch.
    pub(crate) fn in_epoch(&self, epoch: u32, data: &x25519::Identity) -> HostKey {
        HostKey { epoch, data: data.to_public(), ..self.clone() }
    }

    /// Another host of the same repository, in the same epoch.
    pub(crate) fn of_host(&self, host: HostUid) -> HostKey {
        HostKey { host, ..self.clone() }
    }

    /// The key document of an epoch for one owner.
    pub(crate) fn document(&self, epoch: u32, data: &x25519::Identity, owner: &str) -> KeyDocument {
        let parts = KeyParts {
            secret: self.secret.to_hex(),
            catalog_identity: self.catalog.to_string().expose_secret().to_owned(),
            data_identity: data.to_string().expose_secret().to_owned(),
        };
        KeyDocument::new(self.repository, epoch, owner.to_string(), parts)
    }

    /// What a key document holds, as the key of a host.
    pub(crate) fn from_document(document: &KeyDocument, host: HostUid) -> Result<Self> {
        let (secret, catalog) = (Secret::from_hex(&document.secret)?, &document.catalog_identity);
        let data = data_identity(document)?.to_public();
        let catalog = identity(catalog, "the key document's catalog identity")?;
        Ok(HostKey { repository: document.repository, host, secret, catalog, epoch: document.epoch, data })
    }
}

/// The data identities of all epochs that an owner's key opened.
pub struct ReadKeys {
    pub(crate) data: Vec<x25519::Identity>,
}

/// The data identity in a key document that was checked.
pub(crate) fn data_identity(document: &KeyDocument) -> Result<x25519::Identity> {
    identity(&document.data_identity, "the key document's data identity")
}

/// Holds what a key document says against the repository that is expected.
pub(crate) fn check_key(document: &KeyDocument, repository: RepositoryId) -> Result<()> {
    let commits = Secret::from_hex(&document.secret)?.repository();
    if document.repository != repository || commits != repository {
        return Err(Error::corrupt("the key document belongs to another repository"));
    }
    Ok(())
}

fn identity(text: &str, noun: &str) -> Result<x25519::Identity> {
    text.parse().map_err(|e| bad_key(noun, e))
}

fn bad_key(noun: &str, why: &'static str) -> Error {
    Error::corrupt(format!("{noun} cannot be read")).caused_by(std::io::Error::other(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_keys() -> NewKeys {
        NewKeys::generate(Secret::new([5; 32]), HostUid([1; 8]))
    }

    #[test]
    fn a_host_key_comes_back_and_cannot_be_mixed() {
        let key = new_keys().host;
        let text = key.to_text();
        let back = HostKey::parse(text.as_bytes()).unwrap();
        assert_eq!((back.repository, back.host, back.epoch), (key.repository, key.host, 1));
        assert!(back.data == key.data);
        let other = Secret::new([6; 32]);
        let mixed = text.replace(&key.secret.to_hex(), &other.to_hex());
        assert!(HostKey::parse(mixed.as_bytes()).is_err(), "another secret under the same id");
        assert!(HostKey::parse(b"{}").is_err());
        assert!(HostKey::parse(b"AGE-SECRET-KEY-1").is_err());
    }

    #[test]
    fn a_key_document_of_another_repository_is_refused() {
        let keys = new_keys();
        let document = keys.host.document(1, &keys.data, "age1owner");
        assert!(check_key(&document, Secret::new([6; 32]).repository()).is_err());
        assert!(check_key(&document, keys.host.repository).is_ok());
    }

    #[test]
    fn derived_keys_differ() {
        let ring = Secret::new([5; 32]).keyring();
        assert_ne!(ring.chunk_id(PackKind::Data, b"x"), ring.chunk_id(PackKind::Catalog, b"x"));
        assert_ne!(ring.job_uid(HostUid([1; 8]), "a"), ring.job_uid(HostUid([2; 8]), "a"));
    }
}
