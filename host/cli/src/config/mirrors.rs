//! Mirrors: other stores of the same repository, by name.

use dozo_repository::{Store, Traffic};

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

    /// Names tell mirrors apart, and no mirror is the repository itself.
    pub(super) fn check_mirrors(&self) -> Result<(), ConfigError> {
        let table = &self.config.repository;
        for (number, mirror) in table.mirrors.iter().enumerate() {
            let before = &table.mirrors[..number];
            let message = if mirror.name.is_empty() || mirror.name.starts_with('-') {
                format!("`{}` cannot be the name of a mirror", mirror.name)
            } else if before.iter().any(|other| other.name == mirror.name) {
                format!("two mirrors have the name `{}`", mirror.name)
            } else if mirror.url == table.url || before.iter().any(|other| other.url == mirror.url) {
                format!("the mirror `{}` lies where the repository or another mirror does", mirror.name)
            } else {
                continue;
            };
            return Err(self.fault(&KEYS, message));
        }
        Ok(())
    }
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
