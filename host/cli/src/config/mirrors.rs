//! Mirrors: other stores of the same repository, by name.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use dozo_repository::{Store, Traffic};
use url::Url;

use super::place::did_you_mean;
use super::raw::MirrorTable;
use super::store::StoreTables;
use super::{ConfigError, Loaded};

/// The keys under which mirrors stand.
const KEYS: [&str; 2] = ["repository", "mirrors"];

impl Loaded {
    /// The mirrors that were named, or all of them.
    pub(crate) fn mirrors<'a>(&'a self, named: &[String]) -> Result<Vec<&'a MirrorTable>, ConfigError> {
        let all = &self.config.repository.mirrors;
        if named.is_empty() {
            if all.is_empty() {
                let line = "mirrors = [{ name = \"nas\", url = \"file:///mnt/nas/dozo\" }]";
                return Err(self.fault(&["repository"], "the repository has no mirror").hinted(line));
            }
            return Ok(all.iter().collect());
        }
        named.iter().map(|name| self.mirror(name)).collect()
    }

    /// The mirror of this name.
    pub(crate) fn mirror(&self, name: &str) -> Result<&MirrorTable, ConfigError> {
        let all = &self.config.repository.mirrors;
        all.iter().find(|mirror| mirror.name == name).ok_or_else(|| {
            let error = self.fault(&["repository"], format!("there is no mirror `{name}`"));
            error.hinted(did_you_mean(name, all.iter().map(|mirror| mirror.name.as_str())))
        })
    }

    /// The store of a mirror.
    pub(crate) fn open_mirror(&self, mirror: &MirrorTable) -> anyhow::Result<Store> {
        self.open_store(&mirror_store(mirror))
    }

    /// Names tell mirrors apart, and no mirror is the repository itself, or lies in it.
    pub(super) fn check_mirrors(&self) -> Vec<ConfigError> {
        let table = &self.config.repository;
        let mut mistakes = Vec::new();
        for (number, mirror) in table.mirrors.iter().enumerate() {
            let before = &table.mirrors[..number];
            let meets = |url: &str| lies_in(&mirror.url, url) || lies_in(url, &mirror.url);
            let message = if mirror.name.is_empty() || mirror.name.starts_with('-') {
                format!("`{}` cannot be the name of a mirror", mirror.name)
            } else if before.iter().any(|other| other.name == mirror.name) {
                format!("two mirrors have the name `{}`", mirror.name)
            } else if meets(&table.url) || before.iter().any(|other| meets(&other.url)) {
                format!("the mirror `{}` lies where the repository or another mirror does", mirror.name)
            } else {
                continue;
            };
            mistakes.push(self.fault(&KEYS, message));
        }
        mistakes
    }

    /// Copies that one accident takes together: those on one file system, or on one server that is named. Nothing is wrong with
    /// them but that they count as one.
    pub(crate) fn copies_together(&self) -> Vec<String> {
        let table = &self.config.repository;
        let repository = ("the repository".to_string(), place_of(&self.repository_store()));
        let mirrors = table.mirrors.iter();
        let mirrors = mirrors.map(|mirror| (format!("the mirror `{}`", mirror.name), place_of(&mirror_store(mirror))));
        let all: Vec<(String, Option<StorePlace>)> = std::iter::once(repository).chain(mirrors).collect();
        let mut notes = Vec::new();
        for (number, (name, place)) in all.iter().enumerate() {
            let Some(place) = place else { continue };
            if let Some((other, _)) = all[..number].iter().find(|(_, other)| other.as_ref() == Some(place)) {
                notes.push(format!("{other} and {name} lie on {place}: what takes one takes both"));
            }
        }
        notes
    }
}

/// Whether one URL is another, or a place within it.
fn lies_in(inner: &str, outer: &str) -> bool {
    let outer = outer.trim_end_matches('/');
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What holds a store, and may hold another one too.
#[derive(PartialEq)]
enum StorePlace {
    Server(String),
    FileSystem(u64),
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorePlace::Server(host) => write!(f, "the server {host}"),
            StorePlace::FileSystem(_) => write!(f, "one file system"),
        }
    }
}

/// None where that cannot be told from here.
fn place_of(tables: &StoreTables<'_>) -> Option<StorePlace> {
    let endpoint = tables.s3.and_then(|s3| s3.endpoint.as_ref()).or(tables.gcs.and_then(|gcs| gcs.endpoint.as_ref()));
    let endpoint = endpoint.or(tables.azure.and_then(|azure| azure.endpoint.as_ref()));
    if let Some(endpoint) = endpoint {
        return Some(StorePlace::Server(Url::parse(endpoint).ok()?.host_str()?.to_string()));
    }
    let directory = Url::parse(tables.url).ok()?.to_file_path().ok()?;
    // One that is not mounted, or not made yet, says nothing.
    Some(StorePlace::FileSystem(std::fs::metadata(directory).ok()?.dev()))
}

/// What the configuration says about the store of a mirror.
pub(crate) fn mirror_store(mirror: &MirrorTable) -> StoreTables<'_> {
    let default = Traffic::default();
    let traffic = Traffic {
        requests_in_flight: mirror.requests.map_or(default.requests_in_flight, usize::from),
        upload_bytes_per_second: mirror.limit_upload.map(|rate| rate.as_u64()),
        download_bytes_per_second: mirror.limit_download.map(|rate| rate.as_u64()),
    };
    StoreTables {
        keys: &KEYS,
        url: &mirror.url,
        s3: mirror.s3.as_ref(),
        gcs: mirror.gcs.as_ref(),
        azure: mirror.azure.as_ref(),
        traffic,
    }
}
