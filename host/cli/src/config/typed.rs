//! A configuration of what was typed on the command line: there is no file, so no complaint has a place.

use super::raw::{Config, RepositoryTable};
use super::raw_store::{AzureTable, GcsTable, S3Table};
use super::{ConfigError, Loaded, Secrecy};
use crate::store_args::{StoreArgs, typed_url};

impl Loaded {
    /// The configuration of one repository, and nothing else.
    pub(crate) fn typed(url: &str, store: &StoreArgs) -> anyhow::Result<Self> {
        let config = Config { repository: table(typed_url(url), store), ..Config::default() };
        let loaded = Loaded { file: "".into(), text: String::new(), config };
        loaded.check_options(store)?;
        // What is wrong with it is known before anything is made or written.
        loaded.store_config(&loaded.repository_store(), Secrecy::Pretend)?;
        Ok(loaded)
    }

    /// Whether it was typed, and no file has it.
    pub(crate) fn is_typed(&self) -> bool {
        self.file.as_os_str().is_empty()
    }

    /// An option without effect would be believed to have one.
    fn check_options(&self, store: &StoreArgs) -> Result<(), ConfigError> {
        let url = &self.config.repository.url;
        let (s3, networked) = (url.starts_with("s3://"), !url.starts_with("file:"));
        let options = [
            ("--endpoint", store.endpoint.is_some(), networked),
            ("--region", store.region.is_some(), s3),
            ("--path-style", store.path_style.is_some(), s3),
            ("--ca", store.ca.is_some(), networked),
            ("--allow-http", store.allow_http, networked),
        ];
        match options.into_iter().find(|(_, given, fits)| *given && !fits) {
            Some((option, ..)) => {
                Err(self.fault(&[], format!("`{option}` means nothing for {url}")).hinted("leave it out"))
            }
            None => Ok(()),
        }
    }
}

fn table(url: String, store: &StoreArgs) -> RepositoryTable {
    let StoreArgs { endpoint, region, path_style, ca, allow_http } = store.clone();
    let mut table = RepositoryTable { url, ..RepositoryTable::default() };
    match table.url.split_once(':').map(|(scheme, _)| scheme) {
        Some("s3") => table.s3 = Some(S3Table { endpoint, region, path_style, ca, allow_http, ..S3Table::default() }),
        Some("gs") => table.gcs = Some(GcsTable { endpoint, ca, allow_http, ..GcsTable::default() }),
        Some("az") => table.azure = Some(AzureTable { endpoint, ca, allow_http, ..AzureTable::default() }),
        _ => {}
    }
    table
}
