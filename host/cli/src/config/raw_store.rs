//! The tables of stores as they are written: keys of `[repository.s3]`, `[repository.gcs]`, `[repository.azure]`, and how a
//! secret is referred to. Knows what may stand there, not what it means.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::thaw::TierArg;

/// Amazon S3, or what speaks as it does. Credentials that do not stand here come from the profile, the environment
/// (`AWS_ACCESS_KEY_ID` …), `~/.aws/credentials`, or the machine's role, in this order.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3Table {
    /// The address of the service, such as `"https://s3.example.net"`. Default: `AWS_ENDPOINT_URL_S3`, then
    /// `AWS_ENDPOINT_URL`, else Amazon's.
    pub(crate) endpoint: Option<String>,
    /// The region. Default: that of the environment or the profile, else `us-east-1`.
    pub(crate) region: Option<String>,
    /// Whether the bucket's name stands in the path (true) or before the host's name. Default: true with an endpoint.
    pub(crate) path_style: Option<bool>,
    /// A file of certificates (PEM) that are believed instead of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// Lets an `http://` endpoint be used: names, lengths and times can then be seen on the way.
    #[serde(default)]
    pub(crate) allow_http: bool,
    /// The storage class of data packs, such as `"STANDARD_IA"`. Catalogs stay in the bucket's own.
    pub(crate) storage_class: Option<String>,
    /// On which terms `--thaw` has the store bring back what lies in cold storage. Nothing is asked for without it.
    pub(crate) thaw: Option<ThawTable>,
    /// Encryption by the server, beside ours.
    pub(crate) sse: Option<Sse>,
    /// The key of the key management service, for `sse = "aws:kms"`. Default: the account's.
    pub(crate) kms_key: Option<String>,
    /// The access key.
    pub(crate) access_key: Option<SecretRef>,
    /// The secret key that belongs to it.
    pub(crate) secret_key: Option<SecretRef>,
    /// The token of a temporary pair.
    pub(crate) session_token: Option<SecretRef>,
    /// A section of the credentials file.
    pub(crate) profile: Option<String>,
    /// Another credentials file than `~/.aws/credentials`.
    pub(crate) credentials_file: Option<PathBuf>,
}

/// How what lies in cold storage is brought back.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThawTable {
    /// How fast, and at what price: `"bulk"`, `"standard"` (the default) or `"expedited"`.
    pub(crate) tier: Option<TierArg>,
    /// How many days what was brought back can be read. Default: 7.
    pub(crate) days: Option<u16>,
    /// How long to wait for it, such as `"72h"` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) wait: Option<jiff::SignedDuration>,
}

/// Encryption by the server.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub(crate) enum Sse {
    /// With the service's own keys.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of the key management service.
    #[serde(rename = "aws:kms")]
    Kms,
}

/// Google Cloud Storage. Without a service account, the machine's own is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GcsTable {
    /// The key file (JSON) of a service account. Default: `GOOGLE_APPLICATION_CREDENTIALS`.
    pub(crate) service_account: Option<PathBuf>,
    /// The address of the service. Default: Google's.
    pub(crate) endpoint: Option<String>,
    /// A file of certificates (PEM) that are believed instead of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// Lets an `http://` endpoint be used: names, lengths and times can then be seen on the way.
    #[serde(default)]
    pub(crate) allow_http: bool,
    /// The storage class of data packs, such as `"NEARLINE"`. Catalogs stay in the bucket's own.
    pub(crate) storage_class: Option<String>,
}

/// Azure Blob Storage. Without a key, a signature or an application, the machine's managed identity is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AzureTable {
    /// The storage account. Default: `AZURE_STORAGE_ACCOUNT_NAME`.
    pub(crate) account: Option<String>,
    /// The account's key. Default: `AZURE_STORAGE_ACCOUNT_KEY`.
    pub(crate) access_key: Option<SecretRef>,
    /// A shared access signature.
    pub(crate) sas: Option<SecretRef>,
    /// The tenant of an application.
    pub(crate) tenant: Option<String>,
    /// The id of an application.
    pub(crate) client_id: Option<String>,
    /// The secret of an application.
    pub(crate) client_secret: Option<SecretRef>,
    /// The address of the service. Default: Microsoft's.
    pub(crate) endpoint: Option<String>,
    /// A file of certificates (PEM) that are believed instead of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// Lets an `http://` endpoint be used: names, lengths and times can then be seen on the way.
    #[serde(default)]
    pub(crate) allow_http: bool,
    /// The access tier of data packs, such as `"Cool"`. Catalogs stay in the account's own.
    pub(crate) storage_class: Option<String>,
}

/// A secret's place: `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["PROGRAM", "ARGUMENT"] }`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct SecretRef(#[schemars(with = "SecretSchema")] pub(super) toml::Value);

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A secret that somebody wrote out is refused later; until then it is one.
        f.write_str("SecretRef")
    }
}

/// What the schema says of a secret; read as any value, so that one that is written out is refused with a hint.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum SecretSchema {
    /// The name of a variable of the environment.
    Env(String),
    /// A file.
    File(PathBuf),
    /// A program that prints it, and its arguments.
    Command(Vec<String>),
}
