//! Who may do what: the secret and what is derived from it, the host's key, the owner's key. FORMAT.md section 5.

use age::secrecy::ExposeSecret;
use age::x25519;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::format::key::{HostKeyFile, KeyDocument, KeyParts};
use crate::format::name::PackKind;
use crate::id::{ChunkId, HostUid, JobUid, ObjectId, RepositoryId};

/// The comment that pins the repository in an owner's key file.
const PIN: &str = "# dozo repository: ";

/// The 32 bytes from which a repository's keys are derived.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// Takes 32 bytes from a cryptographic random generator.
    pub fn new(entropy: [u8; 32]) -> Self {
        Secret(Zeroizing::new(entropy))
    }

    fn from_hex(digits: &str) -> Result<Self> {
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

/// Keys of a new repository: what its first host and each of its owners get.
pub(crate) struct NewKeys {
    pub(crate) host: HostKey,
    data: x25519::Identity,
}

impl NewKeys {
    /// Fresh identities around a fresh secret.
    pub(crate) fn generate(secret: Secret, host: HostUid) -> Self {
        let (data, catalog) = (x25519::Identity::generate(), x25519::Identity::generate());
        let repository = secret.repository();
        let host = HostKey { repository, host, secret, catalog, epoch: 1, data: data.to_public() };
        NewKeys { host, data }
    }

    /// The key document of one owner.
    pub(crate) fn document(&self, owner: &x25519::Recipient) -> KeyDocument {
        let parts = KeyParts {
            secret: self.host.secret.to_hex(),
            catalog_identity: self.host.catalog.to_string().expose_secret().to_owned(),
            data_identity: self.data.to_string().expose_secret().to_owned(),
        };
        KeyDocument::new(self.host.repository, self.host.epoch, owner.to_string(), parts)
    }
}

/// The name of an owner in the store.
pub(crate) fn owner_name(recipient: &str) -> String {
    ObjectId::of(recipient.as_bytes()).to_string()[..16].to_string()
}

/// An owner's key: opens the key documents of the repository, and with them content.
pub struct OwnerKey {
    identities: Vec<Box<dyn age::Identity + Send + Sync>>,
    /// The repository that the file pins, if it does.
    pub repository: Option<RepositoryId>,
}

impl OwnerKey {
    /// A fresh X25519 identity and the text of its file.
    pub fn generate(repository: RepositoryId) -> (x25519::Recipient, Zeroizing<String>) {
        let identity = x25519::Identity::generate();
        (identity.to_public(), owner_file(&identity, repository))
    }

    /// From the text of an age identity file.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |e: String| Error::invalid("it is not an age identity file").caused_by(std::io::Error::other(e));
        let file = age::IdentityFile::from_buffer(text.as_bytes()).map_err(|e| bad(e.to_string()))?;
        let identities = file.into_identities().map_err(|e| bad(e.to_string()))?;
        if identities.is_empty() {
            return Err(Error::invalid("it holds no age identity"));
        }
        let pin = text.lines().find_map(|line| line.strip_prefix(PIN));
        Ok(OwnerKey { identities, repository: pin.map(|id| id.trim().parse()).transpose()? })
    }

    /// The identities as age wants them.
    pub(crate) fn identities(&self) -> Vec<&dyn age::Identity> {
        self.identities.iter().map(|i| i.as_ref() as &dyn age::Identity).collect()
    }
}

/// The text of an owner's key file.
fn owner_file(identity: &x25519::Identity, repository: RepositoryId) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "# dozo owner key: with it, and the repository, every backup can be read. Keep it offline, and a copy elsewhere.\n\
         {PIN}{repository}\n# public key: {}\n{}\n",
        identity.to_public(),
        identity.to_string().expose_secret(),
    ))
}

/// The data identities of all epochs that an owner's key opened.
pub struct ReadKeys {
    pub(crate) data: Vec<x25519::Identity>,
}

impl ReadKeys {
    /// Takes the data identity out of a key document that was checked.
    pub(crate) fn add(&mut self, document: &KeyDocument) -> Result<()> {
        self.data.push(identity(&document.data_identity, "the key document's data identity")?);
        Ok(())
    }
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
    fn an_owner_key_pins_its_repository() {
        let repository = Secret::new([5; 32]).repository();
        let (_, text) = OwnerKey::generate(repository);
        assert_eq!(OwnerKey::parse(&text).unwrap().repository, Some(repository));
        for bad in ["", "# nothing\n", "age1xyz\n", "AGE-SECRET-KEY-1GARBAGE\n"] {
            assert!(OwnerKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_document_of_another_repository_is_refused() {
        let keys = new_keys();
        let document = keys.document(&x25519::Identity::generate().to_public());
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
