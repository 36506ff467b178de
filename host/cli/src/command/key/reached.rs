//! How a store is reached, for the recovery kit: as options that can be typed into a shell, and for people.

use std::path::PathBuf;

use dozo_repository::{Addressing, ObjectId, S3Place, StorePlace};

use crate::config::{Loaded, Secrecy, StoreTables};
use crate::ui::words::quoted;

/// A store as the kit names it.
pub(super) struct Reached {
    /// As it is written in the configuration: what a URL escapes stays escaped.
    pub(super) url: String,
    /// Of a store on this machine.
    pub(super) directory: Option<PathBuf>,
    /// What it takes beside the URL, each as an option and its value.
    options: Vec<(&'static str, Option<String>)>,
    /// The certificates that it is believed by: where they are, and what is in the file.
    pub(super) certificates: Option<(PathBuf, Vec<u8>)>,
    /// What stands in the environment when it is asked; secrets left out.
    pub(super) environment: Option<String>,
}

impl Reached {
    pub(super) fn of(loaded: &Loaded, tables: &StoreTables<'_>) -> anyhow::Result<Self> {
        let place = loaded.store_config(tables, Secrecy::Pretend)?.place;
        let ca = match &place {
            StorePlace::Directory(_) => None,
            StorePlace::S3(_) => tables.s3.and_then(|table| table.ca.as_ref()),
            StorePlace::Gcs(_) => tables.gcs.and_then(|table| table.ca.as_ref()),
            StorePlace::Azure(_) => tables.azure.and_then(|table| table.ca.as_ref()),
        };
        let ca = ca.map(|file| loaded.path(file));
        let certificates = ca.map(|file| {
            let text = std::fs::read(&file)
                .map_err(|e| dozo_job::Error::io(format!("read the certificates from {}", file.display()), e))?;
            Ok::<_, dozo_job::Error>((file, text))
        });
        let allows_http = tables.s3.is_some_and(|table| table.allow_http)
            || tables.gcs.is_some_and(|table| table.allow_http)
            || tables.azure.is_some_and(|table| table.allow_http);
        let (mut options, environment) = options(&place);
        if allows_http {
            options.push(("--allow-http", None));
        }
        let directory = match place {
            StorePlace::Directory(directory) => Some(directory),
            _ => None,
        };
        let certificates = certificates.transpose()?;
        Ok(Reached { url: tables.url.to_string(), directory, options, certificates, environment })
    }

    /// URL and options of a command, for a shell; the certificates lie in this file.
    pub(super) fn typed(&self, url_option: &str, certificates: &str) -> String {
        let options = self.options.iter().map(|(option, value)| match value {
            Some(value) => format!(" {option} {}", quoted(value)),
            None => format!(" {option}"),
        });
        let ca = self.certificates.iter().map(|_| format!(" --ca {}", quoted(certificates)));
        let more: String = options.chain(ca).collect();
        format!("{url_option}{}{more}", quoted(&self.url))
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> String {
        let option = |(option, value): &(&str, Option<String>)| {
            let (name, given) = option.split_once('=').unwrap_or((option, "yes"));
            let name = name.trim_start_matches("--").replace('-', " ");
            format!("{name:12}{}\n", value.as_deref().unwrap_or(given))
        };
        let certificates = self
            .certificates
            .iter()
            .map(|(file, text)| format!("{:12}{}, SHA-256 {}\n", "certificates", file.display(), ObjectId::of(text)));
        self.options.iter().map(option).chain(certificates).collect()
    }
}

fn options(place: &StorePlace) -> (Vec<(&'static str, Option<String>)>, Option<String>) {
    let endpoint =
        |endpoint: &Option<String>| endpoint.iter().map(|url| ("--endpoint", Some(url.clone()))).collect::<Vec<_>>();
    match place {
        StorePlace::Directory(_) => (Vec::new(), None),
        StorePlace::S3(place) => (of_s3(place), Some("AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…".into())),
        StorePlace::Gcs(place) => (endpoint(&place.endpoint), Some("GOOGLE_APPLICATION_CREDENTIALS=…".into())),
        StorePlace::Azure(place) => {
            let account = quoted(&place.account);
            let keys = format!("AZURE_STORAGE_ACCOUNT_NAME={account} AZURE_STORAGE_ACCOUNT_KEY=…");
            (endpoint(&place.endpoint), Some(keys))
        }
    }
}

fn of_s3(place: &S3Place) -> Vec<(&'static str, Option<String>)> {
    let mut options = Vec::new();
    options.extend(place.endpoint.iter().map(|url| ("--endpoint", Some(url.clone()))));
    options.extend(place.region.iter().map(|region| ("--region", Some(region.clone()))));
    let in_path = place.addressing == Addressing::Path;
    if in_path != place.endpoint.is_some() {
        options.push((if in_path { "--path-style=true" } else { "--path-style=false" }, None));
    }
    options
}
