//! The keys of an epoch as an owner gets them, and a host's key file. FORMAT.md section 5.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::Result;
use crate::id::{HostUid, RepositoryId};

const KEY: &str = "dozo/key/1";
const HOST_KEY: &str = "dozo/host-key/1";

/// What `keys/<epoch>-<owner>.age` holds.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct KeyDocument {
    schema: String,
    /// The repository whose secret this is.
    #[zeroize(skip)]
    pub repository: RepositoryId,
    /// Which data key.
    pub epoch: u32,
    /// The owner's recipient string.
    pub owner: String,
    /// 64 hex digits.
    pub secret: String,
    /// An age identity.
    pub catalog_identity: String,
    /// An age identity.
    pub data_identity: String,
}

/// The secrets of [`KeyDocument`] by name, so that they cannot be swapped.
pub struct KeyParts {
    /// 64 hex digits.
    pub secret: String,
    /// An age identity.
    pub catalog_identity: String,
    /// An age identity.
    pub data_identity: String,
}

impl KeyDocument {
    /// The document for one owner.
    pub fn new(repository: RepositoryId, epoch: u32, owner: String, parts: KeyParts) -> Self {
        let KeyParts { secret, catalog_identity, data_identity } = parts;
        KeyDocument { schema: KEY.into(), repository, epoch, owner, secret, catalog_identity, data_identity }
    }

    /// From a document's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        super::parse(body, KEY, "the key document")
    }

    /// The document's body.
    pub fn to_body(&self) -> Vec<u8> {
        super::to_json(self)
    }
}

/// What a host's key file holds: enough to write, to list and to compare, not to read content.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct HostKeyFile {
    schema: String,
    /// The one repository that this host will open.
    #[zeroize(skip)]
    pub repository: RepositoryId,
    /// This host.
    #[zeroize(skip)]
    pub host: HostUid,
    /// 64 hex digits.
    pub secret: String,
    /// An age identity.
    pub catalog_identity: String,
    /// Which data key is current.
    pub epoch: u32,
    /// Whom content is sealed to: never taken from the store.
    pub data_recipient: String,
}

impl HostKeyFile {
    /// A host's key file.
    pub fn new(
        repository: RepositoryId,
        host: HostUid,
        secret: String,
        catalog_identity: String,
        current: (u32, String),
    ) -> Self {
        let (epoch, data_recipient) = current;
        HostKeyFile { schema: HOST_KEY.into(), repository, host, secret, catalog_identity, epoch, data_recipient }
    }

    /// From the file's text.
    pub fn parse(text: &[u8]) -> Result<Self> {
        super::parse(text, HOST_KEY, "the host key")
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a struct of strings serialises");
        text.push('\n');
        text
    }
}
