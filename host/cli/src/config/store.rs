//! From `url` and the tables of stores to a store. Everything wrong is said with its place in the file; a line that may
//! hold a credential is never shown.

use std::path::{Path, PathBuf};

use dozo_repository::{
    Addressing, AzureCredentials, AzurePlace, Bucket, GcsPlace, Hidden, Network, Proxy, S3Credentials, S3Encryption,
    S3Place, Store, StoreConfig, StorePlace, Traffic, Transport,
};
use url::Url;

use super::aws::{self, Environment, Profile};
use super::bucket_url;
use super::raw_store::{AzureTable, GcsTable, S3Table, SecretRef, Sse};
use super::secret_file::{SecretFileFault, read_secret};
use super::secrets::{self, SECRET_BYTES_MAX, Secrecy};
use super::store_url::{self, KNOWN};
use super::{ConfigError, Loaded};

/// What the configuration says about one store, and where.
pub(crate) struct StoreTables<'a> {
    /// The keys under which it stands.
    pub(crate) keys: &'a [&'a str],
    pub(crate) url: &'a str,
    pub(crate) s3: Option<&'a S3Table>,
    pub(crate) gcs: Option<&'a GcsTable>,
    pub(crate) azure: Option<&'a AzureTable>,
    pub(crate) traffic: Traffic,
}

impl Loaded {
    /// What `[repository]` says about its store.
    pub(crate) fn repository_store(&self) -> StoreTables<'_> {
        let table = &self.config.repository;
        let default = Traffic::default();
        let traffic = Traffic {
            requests_in_flight: table.requests.map_or(default.requests_in_flight, usize::from),
            upload_bytes_per_second: table.limit_upload.map(|rate| rate.as_u64()),
            download_bytes_per_second: table.limit_download.map(|rate| rate.as_u64()),
        };
        StoreTables {
            keys: &["repository"],
            url: &table.url,
            s3: table.s3.as_ref(),
            gcs: table.gcs.as_ref(),
            azure: table.azure.as_ref(),
            traffic,
        }
    }

    /// The store that the tables describe.
    pub(crate) fn open_store(&self, tables: &StoreTables<'_>) -> anyhow::Result<Store> {
        Ok(Store::open(&self.store_config(tables, Secrecy::Fetch)?)?)
    }

    /// The same before it is opened; with [`Secrecy::Pretend`], no secret is fetched and no place of credentials looked at.
    pub(crate) fn store_config(&self, tables: &StoreTables<'_>, secrecy: Secrecy) -> anyhow::Result<StoreConfig> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Reading { loaded: self, tables, secrecy, env: &env }.config()
    }
}

/// One reading of the tables.
struct Reading<'a> {
    loaded: &'a Loaded,
    tables: &'a StoreTables<'a>,
    secrecy: Secrecy,
    env: Environment<'a>,
}

/// What the tables of networked stores have in common.
struct Reach<'a> {
    table: &'static str,
    endpoint: Option<&'a String>,
    /// Whether the table names it, and not the environment.
    is_named: bool,
    ca: Option<&'a PathBuf>,
    allow_http: bool,
}

impl Reading<'_> {
    fn config(&self) -> anyhow::Result<StoreConfig> {
        let url = self.url()?;
        let traffic = self.traffic()?;
        self.only_its_own_table(url.scheme())?;
        self.no_limit_of_a_directory(url.scheme(), &traffic)?;
        let (place, network) = match url.scheme() {
            "file" => {
                let directory = url.to_file_path();
                let directory = directory.map_err(|()| self.fault_url("this is not the URL of a directory".into()))?;
                (StorePlace::Directory(directory), Network::default())
            }
            "s3" => self.s3(&url)?,
            "gs" => self.gcs(&url)?,
            "az" => self.azure(&url)?,
            scheme => return Err(self.fault_url(format!("stores of the kind `{scheme}` are not known")).into()),
        };
        Ok(StoreConfig { url: self.tables.url.to_string(), place, network, traffic })
    }

    fn url(&self) -> Result<Url, ConfigError> {
        store_url::parse(self.tables.url).map_err(|wrong| {
            // One with a secret is pointed at from outside: the line itself must not be shown.
            let keys: &[&str] = if wrong.is_secret { &[] } else { &["url"] };
            self.fault(keys, wrong.message).hinted(wrong.hint)
        })
    }

    fn traffic(&self) -> Result<Traffic, ConfigError> {
        let traffic = self.tables.traffic.clone();
        let rates = [
            ("limit_upload", traffic.upload_bytes_per_second),
            ("limit_download", traffic.download_bytes_per_second),
            ("requests", Some(traffic.requests_in_flight as u64)),
        ];
        match rates.into_iter().find(|(_, rate)| *rate == Some(0)) {
            Some((key, _)) => Err(self.fault(&[key], "this must be more than nothing")),
            None => Ok(traffic),
        }
    }

    /// A directory is reached by no line that could be limited.
    fn no_limit_of_a_directory(&self, scheme: &str, traffic: &Traffic) -> Result<(), ConfigError> {
        let limits =
            [("limit_upload", traffic.upload_bytes_per_second), ("limit_download", traffic.download_bytes_per_second)];
        match limits.into_iter().find(|(_, rate)| rate.is_some() && scheme == "file") {
            Some((key, _)) => {
                Err(self.fault(&[key], format!("`{key}` does not apply to a `file://` store")).hinted("remove it"))
            }
            None => Ok(()),
        }
    }

    /// A table that belongs to another kind of store would be without effect.
    fn only_its_own_table(&self, scheme: &str) -> Result<(), ConfigError> {
        let tables = self.tables;
        let there = [
            ("s3", "s3", tables.s3.is_some()),
            ("gcs", "gs", tables.gcs.is_some()),
            ("azure", "az", tables.azure.is_some()),
        ];
        match there.into_iter().find(|(_, of, there)| *there && *of != scheme) {
            Some((table, _, _)) => {
                Err(self.fault(&[table], format!("this table is not for stores of the kind `{scheme}`")).hinted(KNOWN))
            }
            None => Ok(()),
        }
    }

    fn s3(&self, url: &Url) -> anyhow::Result<(StorePlace, Network)> {
        let default = S3Table::default();
        let table = self.tables.s3.unwrap_or(&default);
        let endpoint = table.endpoint.clone().or_else(|| aws::endpoint(self.env));
        let reach = Reach {
            table: "s3",
            endpoint: endpoint.as_ref(),
            is_named: table.endpoint.is_some(),
            ca: table.ca.as_ref(),
            allow_http: table.allow_http,
        };
        let network = self.network(&reach)?;
        let path_style = table.path_style.unwrap_or(endpoint.is_some());
        let encryption = match (table.sse, &table.kms_key) {
            (None, None) => None,
            (Some(Sse::Aes256), None) => Some(S3Encryption::Aes256),
            (Some(Sse::Kms), key) => Some(S3Encryption::Kms(key.clone())),
            (_, Some(_)) => return Err(self.fault(&["s3", "kms_key"], "this is for `sse = \"aws:kms\"`").into()),
        };
        let thaw = table.thaw.clone().unwrap_or_default();
        if thaw.days == Some(0) || thaw.wait.is_some_and(|wait| !wait.is_positive()) {
            return Err(self.fault(&["s3", "thaw"], "`days` and `wait` must be more than nothing").into());
        }
        let found = self.s3_credentials(table, endpoint.is_some())?;
        let place = S3Place {
            bucket: self.bucket(url, table.storage_class.as_ref())?,
            endpoint,
            region: table.region.clone().or(found.region),
            addressing: if path_style { Addressing::Path } else { Addressing::Host },
            encryption,
            credentials: found.credentials,
        };
        Ok((StorePlace::S3(Box::new(place)), network))
    }

    fn s3_credentials(&self, table: &S3Table, is_elsewhere: bool) -> anyhow::Result<aws::Found> {
        let secret = |key, value| self.secret("s3", key, value);
        let keys = (secret("access_key", table.access_key.as_ref())?, secret("secret_key", table.secret_key.as_ref())?);
        let session_token = secret("session_token", table.session_token.as_ref())?;
        match keys {
            (Some(access_key), Some(secret_key)) => {
                let region = aws::region(self.env);
                let credentials = S3Credentials::Keys { access_key, secret_key, session_token };
                return Ok(aws::Found { credentials, region });
            }
            (None, None) => {}
            (Some(_), None) => return Err(self.fault(&["s3"], "`access_key` wants a `secret_key` beside it").into()),
            (None, Some(_)) => return Err(self.fault(&["s3"], "`secret_key` wants an `access_key` beside it").into()),
        }
        let role = aws::Found { credentials: S3Credentials::Instance, region: None };
        if self.secrecy == Secrecy::Pretend {
            return Ok(aws::Found { region: aws::region(self.env), ..role });
        }
        let file = table.credentials_file.as_ref().map(|file| self.loaded.path(file));
        match aws::find(&Profile { name: table.profile.clone(), file }, self.env)? {
            Some(found) => Ok(found),
            // Only Amazon's own machines have roles.
            None if is_elsewhere => {
                let fault = self.fault(&["s3"], "there are no credentials for this store");
                let hint = match self.loaded.is_typed() {
                    true => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or AWS_PROFILE",
                    false => {
                        "`access_key` and `secret_key` here, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the \
                         environment, or a `profile`"
                    }
                };
                Err(fault.hinted(hint).into())
            }
            None => Ok(role),
        }
    }

    fn gcs(&self, url: &Url) -> anyhow::Result<(StorePlace, Network)> {
        let default = GcsTable::default();
        let table = self.tables.gcs.unwrap_or(&default);
        let reach = Reach {
            table: "gcs",
            endpoint: table.endpoint.as_ref(),
            is_named: true,
            ca: table.ca.as_ref(),
            allow_http: table.allow_http,
        };
        let network = self.network(&reach)?;
        let named = table.service_account.as_ref().map(|file| self.loaded.path(file));
        let file = named.or_else(|| (self.env)("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from));
        let service_account = match file.filter(|_| self.secrecy == Secrecy::Fetch) {
            None => None,
            Some(file) => Some(self.service_account(&file)?.into()),
        };
        let bucket = self.bucket(url, table.storage_class.as_ref())?;
        let place = GcsPlace { bucket, endpoint: table.endpoint.clone(), service_account };
        Ok((StorePlace::Gcs(Box::new(place)), network))
    }

    fn service_account(&self, file: &Path) -> Result<String, ConfigError> {
        let wrong = |wrong: SecretFileFault| self.fault(&["gcs"], wrong.message).hinted(wrong.hint);
        read_secret(file, SECRET_BYTES_MAX).map_err(wrong)
    }

    fn azure(&self, url: &Url) -> anyhow::Result<(StorePlace, Network)> {
        let default = AzureTable::default();
        let table = self.tables.azure.unwrap_or(&default);
        let reach = Reach {
            table: "azure",
            endpoint: table.endpoint.as_ref(),
            is_named: true,
            ca: table.ca.as_ref(),
            allow_http: table.allow_http,
        };
        let network = self.network(&reach)?;
        let account = table.account.clone().or_else(|| (self.env)("AZURE_STORAGE_ACCOUNT_NAME"));
        let Some(account) = account else {
            let fault = self.fault(&[], "there is no storage account for `az://`");
            return Err(fault.hinted("`account` in [repository.azure], or AZURE_STORAGE_ACCOUNT_NAME").into());
        };
        let place = AzurePlace {
            bucket: self.bucket(url, table.storage_class.as_ref())?,
            account,
            endpoint: table.endpoint.clone(),
            credentials: self.azure_credentials(table)?,
        };
        Ok((StorePlace::Azure(Box::new(place)), network))
    }

    fn azure_credentials(&self, table: &AzureTable) -> Result<AzureCredentials, ConfigError> {
        let secret = |key, value| self.secret("azure", key, value);
        let (key, sas) = (secret("access_key", table.access_key.as_ref())?, secret("sas", table.sas.as_ref())?);
        let client = (&table.tenant, &table.client_id, secret("client_secret", table.client_secret.as_ref())?);
        match (key, sas, client) {
            (Some(key), None, (None, None, None)) => Ok(AzureCredentials::AccessKey(key)),
            (None, Some(sas), (None, None, None)) => Ok(AzureCredentials::Sas(sas)),
            (None, None, (Some(tenant), Some(id), Some(secret))) => {
                Ok(AzureCredentials::Client { tenant: tenant.clone(), id: id.clone(), secret })
            }
            (None, None, (None, None, None)) => Ok(match (self.env)("AZURE_STORAGE_ACCOUNT_KEY") {
                Some(key) => AzureCredentials::AccessKey(key.into()),
                None => AzureCredentials::Instance,
            }),
            _ => {
                let message = "one of `access_key`, `sas`, or `tenant` with `client_id` and `client_secret`";
                Err(self.fault(&["azure"], message))
            }
        }
    }

    /// Bucket and prefix of a URL.
    fn bucket(&self, url: &Url, class: Option<&String>) -> Result<Bucket, ConfigError> {
        if url.host_str().is_none_or(str::is_empty) || url.port().is_some() {
            let fault = self.fault(&["url"], "this names no bucket");
            let hint =
                "a bucket stands behind two `/`: `s3://BUCKET/PREFIX`; the address of a service is its `endpoint`";
            return Err(fault.hinted(hint));
        }
        let (name, prefix) = bucket_url::bucket_and_prefix(self.tables.url)
            .map_err(|wrong| self.fault(&["url"], wrong.message).hinted(wrong.hint))?;
        Ok(Bucket { name, prefix, pack_class: class.cloned() })
    }

    fn network(&self, reach: &Reach<'_>) -> anyhow::Result<Network> {
        if let Some(endpoint) = reach.endpoint {
            self.check_endpoint(endpoint, reach)?;
        }
        let ca = match reach.ca.filter(|_| self.secrecy == Secrecy::Fetch) {
            None => None,
            Some(file) => Some(certificates(&self.loaded.path(file))?),
        };
        let transport = if reach.allow_http { Transport::HttpToo } else { Transport::TlsOnly };
        let either = |name: &str| (self.env)(name).or_else(|| (self.env)(&name.to_lowercase()));
        let proxy = either("HTTPS_PROXY").or_else(|| either("ALL_PROXY"));
        let proxy = proxy.map(|url| Proxy { url: url.into(), except: either("NO_PROXY").unwrap_or_default() });
        Ok(Network { ca, transport, proxy })
    }

    fn check_endpoint(&self, endpoint: &str, reach: &Reach<'_>) -> Result<(), ConfigError> {
        let keys = [reach.table, "endpoint"];
        let example = "https://s3.example.net, or https://s3.example.net:9000";
        let is_here = !self.loaded.is_typed() && reach.is_named;
        let named = if is_here { "this endpoint".to_string() } else { format!("the endpoint {endpoint}") };
        let url = Url::parse(endpoint)
            .map_err(|e| self.fault(&keys, format!("the endpoint is not a URL: {e}")).hinted(example))?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err(self.fault(&[reach.table], "a user or password does not belong into `endpoint`"));
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if reach.allow_http => Ok(()),
            "http" => {
                let option = if self.loaded.is_typed() { "`--allow-http`" } else { "`allow_http = true` beside it" };
                let hint =
                    format!("{option}, if names, lengths and times may be seen on the way; contents are encrypted");
                Err(self.fault(&keys, format!("{named} goes without TLS")).hinted(hint))
            }
            scheme => Err(self.fault(&keys, format!("`{scheme}` is no way to reach a store")).hinted(example)),
        }
    }

    /// A secret of one of the tables.
    fn secret(&self, table: &str, key: &str, value: Option<&SecretRef>) -> Result<Option<Hidden>, ConfigError> {
        let Some(SecretRef(value)) = value else { return Ok(None) };
        let mut json = serde_json::to_value(value)
            .map_err(|_| self.fault(&[table], format!("`{key}` is no reference to a secret")))?;
        let schema = serde_json::json!({ "writeOnly": true });
        let directory = self.loaded.file.parent().unwrap_or(Path::new(""));
        secrets::resolve(&mut json, &schema, directory, self.secrecy)
            // The table's line is shown, not the secret's.
            .map_err(|wrong| self.fault(&[table], format!("`{key}`: {}", wrong.message)).hinted(wrong.hint))?;
        Ok(json.as_str().map(|secret| secret.to_string().into()))
    }

    fn fault(&self, keys: &[&str], message: impl Into<String>) -> ConfigError {
        self.loaded.fault(&[self.tables.keys, keys].concat(), message)
    }

    fn fault_url(&self, message: String) -> ConfigError {
        self.fault(&["url"], message).hinted(KNOWN)
    }
}

/// The certificates that the configuration names.
fn certificates(file: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(std::fs::read(file).map_err(|e| {
        let error = dozo_repository::Error::io(format!("read the certificates from {}", file.display()), e);
        error.with_kind(dozo_repository::Kind::Invalid)
    })?)
}
