//! Where a store is and how it is spoken to, in plain values: whoever reads a configuration makes one of these. Knows no
//! TOML, no environment and no profile files.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::limits::REQUESTS_IN_FLIGHT;

/// All that [`Store::open`](super::Store::open) needs to know.
#[derive(Debug)]
pub struct StoreConfig {
    /// How messages name the store; holds no secret.
    pub url: String,
    /// Where it is.
    pub place: StorePlace,
    /// How it is reached, if over a network.
    pub network: Network,
    /// How much of the line it may take.
    pub traffic: Traffic,
}

/// Where a store is.
#[derive(Debug)]
pub enum StorePlace {
    /// A directory of this machine, which must be there.
    Directory(PathBuf),
    /// Amazon S3, or what speaks as it does.
    S3(Box<S3Place>),
    /// Google Cloud Storage.
    Gcs(Box<GcsPlace>),
    /// Azure Blob Storage.
    Azure(Box<AzurePlace>),
}

/// A bucket or container, and what all names in it begin with.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Empty, or without `/` at either end.
    pub prefix: String,
    /// The storage class of data packs; catalogs and documents stay in the bucket's own, so that they stay warm.
    pub pack_class: Option<String>,
}

/// A bucket of S3, or of what speaks as it does.
#[derive(Debug)]
pub struct S3Place {
    /// The bucket.
    pub bucket: Bucket,
    /// Amazon's, if none is named.
    pub endpoint: Option<String>,
    /// `us-east-1`, if none is named.
    pub region: Option<String>,
    /// How the bucket's name stands in the address.
    pub addressing: Addressing,
    /// Encryption by the server, beside ours.
    pub encryption: Option<S3Encryption>,
    /// Who asks.
    pub credentials: S3Credentials,
}

/// How a bucket's name stands in the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://endpoint/bucket/…`
    Path,
    /// `https://bucket.endpoint/…`; an endpoint that is named must hold the bucket's name already.
    Host,
}

/// Encryption by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Encryption {
    /// With the service's own keys.
    Aes256,
    /// With a key of the key management service, or the account's default.
    Kms(Option<String>),
}

/// Who asks S3.
#[derive(Debug)]
pub enum S3Credentials {
    /// A pair of keys, and a token where the pair is a temporary one.
    Keys {
        /// Names the pair.
        access_key: Hidden,
        /// Signs.
        secret_key: Hidden,
        /// Of a temporary pair.
        session_token: Option<Hidden>,
    },
    /// A token in a file, exchanged for the keys of a role.
    WebIdentity {
        /// The file.
        token_file: String,
        /// The role.
        role: String,
    },
    /// The container's role, from the address that the environment names.
    Container {
        /// Its path.
        relative_uri: String,
    },
    /// The machine's role.
    Instance,
}

/// A bucket of Google Cloud Storage.
#[derive(Debug)]
pub struct GcsPlace {
    /// The bucket.
    pub bucket: Bucket,
    /// Google's, if none is named.
    pub endpoint: Option<String>,
    /// The key of a service account (JSON). Without one, the machine's own account is asked for.
    pub service_account: Option<Hidden>,
}

/// A container of Azure Blob Storage.
#[derive(Debug)]
pub struct AzurePlace {
    /// The container.
    pub bucket: Bucket,
    /// The storage account.
    pub account: String,
    /// Microsoft's, if none is named.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: AzureCredentials,
}

/// Who asks Azure.
#[derive(Debug)]
pub enum AzureCredentials {
    /// The account's key.
    AccessKey(Hidden),
    /// A shared access signature: the query that carries it.
    Sas(Hidden),
    /// An application.
    Client {
        /// Its tenant.
        tenant: String,
        /// Its id.
        id: String,
        /// Its secret.
        secret: Hidden,
    },
    /// The machine's managed identity.
    Instance,
}

/// How a store is reached over a network.
#[derive(Debug, Default)]
pub struct Network {
    /// Certificates (PEM) that are believed instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// Whether names, lengths and times may go in the clear.
    pub transport: Transport,
    /// The proxy, and which hosts are reached without it.
    pub proxy: Option<Proxy>,
}

/// Whether requests may go without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Never.
    #[default]
    TlsOnly,
    /// If the endpoint says `http://`.
    HttpToo,
}

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Its URL, which may hold a password.
    pub url: Hidden,
    /// Hosts that are reached without it, separated by commas.
    pub except: String,
}

/// How much of the line a store may take.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Requests at the same time.
    pub requests_in_flight: usize,
    /// Bytes in a second towards the store.
    pub upload_bytes_per_second: Option<u64>,
    /// Bytes in a second from the store.
    pub download_bytes_per_second: Option<u64>,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            requests_in_flight: REQUESTS_IN_FLIGHT,
            upload_bytes_per_second: None,
            download_bytes_per_second: None,
        }
    }
}

impl StorePlace {
    /// What must not be told.
    pub(super) fn hidden(&self) -> Vec<Hidden> {
        match self {
            StorePlace::Directory(_) => Vec::new(),
            StorePlace::S3(place) => match &place.credentials {
                S3Credentials::Keys { access_key, secret_key, session_token } => {
                    let always = [access_key.clone(), secret_key.clone()];
                    always.into_iter().chain(session_token.clone()).collect()
                }
                _ => Vec::new(),
            },
            StorePlace::Gcs(place) => place.service_account.iter().cloned().collect(),
            StorePlace::Azure(place) => match &place.credentials {
                AzureCredentials::AccessKey(secret)
                | AzureCredentials::Sas(secret)
                | AzureCredentials::Client { secret, .. } => vec![secret.clone()],
                AzureCredentials::Instance => Vec::new(),
            },
        }
    }
}

/// A text that no message, log or debug output shows, and that is wiped from memory.
#[derive(Clone)]
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    /// The text, for whoever must send it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// The text with every occurrence of this taken out.
    pub(super) fn taken_out_of(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_string() } else { text.replace(self.0.as_str(), "…") }
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Hidden(Zeroizing::new(text))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
