//! The builders of the three services that `object_store` speaks to: what a [`StoreConfig`](super::StoreConfig) says, in
//! its words.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, Checksum};
use object_store::azure::{MicrosoftAzureBuilder, split_sas};
use object_store::client::HttpConnector as _;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::config::{
    Addressing, AzureCredentials, AzurePlace, GcsPlace, S3Credentials, S3Encryption, S3Place, Transport,
};
use super::http::{Connector, options};
use super::thawer::Thawer;
use crate::limits::{RETRIES_MAX, RETRY_PAUSE_MILLISECONDS, RETRY_PAUSE_SECONDS_MAX, RETRY_SECONDS_MAX};

type Built = object_store::Result<Arc<dyn ObjectStore>>;

/// The service, and what asks it for a thaw.
pub(super) fn s3(
    place: &S3Place,
    connector: Connector,
    transport: Transport,
) -> object_store::Result<(Arc<dyn ObjectStore>, Thawer)> {
    let http = connector.connect(&options(transport))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket.name)
        .with_virtual_hosted_style_request(place.addressing == Addressing::Host)
        // The server refuses bytes that changed on the way, whatever it does with signatures.
        .with_checksum_algorithm(Checksum::SHA256)
        // One by one: what came of each is known, and some services know no other way.
        .with_disable_bulk_delete(true)
        .with_client_options(options(transport))
        .with_http_connector(connector)
        .with_retry(retries());
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &place.region {
        builder = builder.with_region(region);
    }
    let encryption: Key = "aws_server_side_encryption".parse()?;
    builder = match &place.encryption {
        None => builder,
        Some(S3Encryption::Aes256) => builder.with_config(encryption, "AES256"),
        Some(S3Encryption::Kms(None)) => builder.with_config(encryption, "aws:kms"),
        Some(S3Encryption::Kms(Some(key))) => builder.with_sse_kms_encryption(key),
    };
    builder = match &place.credentials {
        S3Credentials::Keys { access_key, secret_key, session_token } => {
            let builder = builder.with_access_key_id(access_key.reveal()).with_secret_access_key(secret_key.reveal());
            match session_token {
                Some(token) => builder.with_token(token.reveal()),
                None => builder,
            }
        }
        S3Credentials::WebIdentity { token_file, role } => {
            builder.with_config(Key::WebIdentityTokenFile, token_file).with_config(Key::RoleArn, role)
        }
        S3Credentials::Container { relative_uri } => {
            builder.with_config(Key::ContainerCredentialsRelativeUri, relative_uri)
        }
        S3Credentials::Instance => builder,
    };
    let s3 = builder.build()?;
    let thawer = Thawer { s3: s3.clone(), http, region: place.region.clone(), prefix: place.bucket.prefix.clone() };
    Ok((Arc::new(s3), thawer))
}

pub(super) fn gcs(place: &GcsPlace, connector: Connector, transport: Transport) -> Built {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&place.bucket.name)
        .with_client_options(options(transport))
        .with_http_connector(connector)
        .with_retry(retries());
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(account) = &place.service_account {
        builder = builder.with_service_account_key(account.reveal());
    }
    Ok(Arc::new(builder.build()?))
}

pub(super) fn azure(place: &AzurePlace, connector: Connector, transport: Transport) -> Built {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&place.account)
        .with_container_name(&place.bucket.name)
        .with_client_options(options(transport))
        .with_http_connector(connector)
        .with_retry(retries());
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder = match &place.credentials {
        AzureCredentials::AccessKey(key) => builder.with_access_key(key.reveal()),
        AzureCredentials::Sas(query) => builder.with_sas_authorization(split_sas(query.reveal())?),
        AzureCredentials::Client { tenant, id, secret } => {
            builder.with_client_secret_authorization(id, secret.reveal(), tenant)
        }
        AzureCredentials::Instance => builder,
    };
    Ok(Arc::new(builder.build()?))
}

/// Again and again, longer and longer, and not for ever. Which failures are worth it, `http` says.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(RETRY_PAUSE_MILLISECONDS),
            max_backoff: Duration::from_secs(RETRY_PAUSE_SECONDS_MAX),
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: Duration::from_secs(RETRY_SECONDS_MAX),
    }
}
