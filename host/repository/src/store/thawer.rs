//! The one request that `object_store` does not make: S3's RestoreObject. Its own parts sign it and send it.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody};
use object_store::path::Path as Name;
use object_store::signer::Signer;
use object_store::{Error, Result};
use tokio::time::Instant;

use super::cold::{Class, ThawOrder};
use super::refusal::Refusal;
use crate::limits::{RETRY_PAUSE_MILLISECONDS, RETRY_PAUSE_SECONDS_MAX, RETRY_SECONDS_MAX};

/// What `object_store` takes where no region is named.
const REGION: &str = "us-east-1";

/// Asks a bucket to bring back what lies in cold storage.
pub(super) struct Thawer {
    pub(super) s3: AmazonS3,
    pub(super) http: HttpClient,
    pub(super) region: Option<String>,
    /// What all names begin with.
    pub(super) prefix: String,
}

/// What came of a request.
enum Answer {
    /// The store does it, or has done it.
    Done,
    /// The same request may succeed in a moment.
    Again(Error),
}

impl Thawer {
    /// Asks for one object. Tries again as long as other requests do.
    pub(super) async fn ask_for(&self, name: &str, order: &ThawOrder) -> Result<()> {
        let (begun, mut pause) = (Instant::now(), Duration::from_millis(RETRY_PAUSE_MILLISECONDS));
        loop {
            match self.try_once(name, order).await? {
                Answer::Done => return Ok(()),
                Answer::Again(error) if begun.elapsed() + pause > Duration::from_secs(RETRY_SECONDS_MAX) => {
                    return Err(error);
                }
                Answer::Again(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_secs(RETRY_PAUSE_SECONDS_MAX));
        }
    }

    async fn try_once(&self, name: &str, order: &ThawOrder) -> Result<Answer> {
        let request = self.request(name, order).await?;
        let answer = match self.http.execute(request).await {
            Ok(answer) => answer,
            Err(e) => return failed(e),
        };
        if answer.status().is_success() {
            return Ok(Answer::Done);
        }
        let refusal = answer.extensions().get::<Refusal>().cloned();
        let refusal = refusal.unwrap_or_else(|| Refusal::parse(answer.status(), &[], &[]));
        // Asked for before: by a restore that was interrupted, or by somebody else.
        if refusal.code.as_deref() == Some("RestoreAlreadyInProgress") {
            return Ok(Answer::Done);
        }
        let busy = answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS;
        // No room for this tier is a matter of hours or of another tier.
        let full = refusal.code.as_deref() == Some("GlacierExpeditedRetrievalNotAvailable");
        let error = generic(refusal);
        if busy && !full { Ok(Answer::Again(error)) } else { Err(error) }
    }

    async fn request(&self, name: &str, order: &ThawOrder) -> Result<HttpRequest> {
        let name = if self.prefix.is_empty() { name.to_string() } else { format!("{}/{name}", self.prefix) };
        // The address alone is of use: where the bucket's name stands in it is known there.
        let mut url = self.s3.signed_url(Method::POST, &Name::from(name), Duration::from_secs(1)).await?;
        url.set_query(Some("restore"));
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(CONTENT_TYPE, "application/xml")
            .body(HttpRequestBody::from(body(order)))
            .map_err(generic)?;
        let credential = self.s3.credentials().get_credential().await?;
        let region = self.region.as_deref().unwrap_or(REGION);
        AwsAuthorizer::new(&credential, "s3", region).try_authorize(&mut request, None)?;
        Ok(request)
    }
}

fn body(order: &ThawOrder) -> String {
    let days = match order.class {
        Class::Archive => format!("<Days>{}</Days>", order.days),
        // It comes back itself, so there is no copy that could stay.
        Class::Tiered => String::new(),
    };
    let tier = order.tier.word();
    format!(
        "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{days}<GlacierJobParameters><Tier>{tier}</Tier>\
         </GlacierJobParameters></RestoreRequest>"
    )
}

fn failed(error: HttpError) -> Result<Answer> {
    let worth_it = !matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode);
    let error = generic(error);
    if worth_it { Ok(Answer::Again(error)) } else { Err(error) }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "S3", source: Box::new(source) }
}
