//! Where a repository lies, and how its store is reached, said on the command line: where there is no configuration, or none yet.

use std::path::PathBuf;

use clap::Args;
use dozo_job::Error;

use crate::args::IdentityArgs;
use crate::config::url_of;

/// How a store is reached.
#[derive(Args, Clone, Default)]
pub(crate) struct StoreArgs {
    /// The address of the store's service, such as https://s3.example.net [default of s3://: AWS_ENDPOINT_URL_S3,
    /// AWS_ENDPOINT_URL, else Amazon's]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The region of an s3:// store [default: that of the environment or the profile, else us-east-1]
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Whether the bucket's name stands in the path of an s3:// store's address (`--path-style`) or before its host's name
    /// (`--path-style=false`) [default: in the path where there is an endpoint]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) path_style: Option<bool>,
    /// A file of certificates (PEM) that the store is believed by, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Let an http:// endpoint be used: names, lengths and times can then be seen on the way
    #[arg(long)]
    pub(crate) allow_http: bool,
}

impl StoreArgs {
    /// Whether anything is said.
    pub(crate) fn is_empty(&self) -> bool {
        let StoreArgs { endpoint, region, path_style, ca, allow_http } = self;
        endpoint.is_none() && region.is_none() && path_style.is_none() && ca.is_none() && !allow_http
    }

    /// These say how the store of a URL is reached that is typed beside them.
    pub(crate) fn go_with(&self, url: Option<&String>, option: &str) -> Result<(), Error> {
        if url.is_some() || self.is_empty() {
            return Ok(());
        }
        let why =
            "`--endpoint`, `--region`, `--path-style`, `--ca` and `--allow-http` go with a URL on the command line";
        let hint = format!("add {option}; in a configuration, [repository.s3] says how the store is reached");
        Err(Error::invalid(why).hinted(hint))
    }
}

/// What a command that only reads needs where there is no configuration, or no host key.
#[derive(Args, Clone)]
pub(crate) struct ReadArgs {
    /// Read this repository, without a configuration: with an owner key alone, on any machine. file:///DIRECTORY,
    /// s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX
    #[arg(long, value_name = "URL", conflicts_with = "from")]
    pub(crate) repository: Option<String>,
    /// The repository's id, 64 digits, where the owner key does not tell it: the recovery kit has it
    #[arg(long, value_name = "ID")]
    pub(crate) repository_id: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// A URL as it is typed: a path from `/` on is one too.
pub(crate) fn typed_url(text: &str) -> String {
    let path = text.starts_with('/').then(|| url_of(text.as_ref())).flatten();
    path.unwrap_or_else(|| text.to_string())
}
