//! A page of a listing is held against what it must look like: read leniently, a login page, or what a proxy says, is an
//! empty store. Knows the outermost element of the services' listings and no more.

use std::fmt;

use futures::StreamExt;
use http::Uri;
use object_store::client::{HttpError, HttpErrorKind, HttpResponse};

use crate::limits::LISTING_BYTES_MAX;

/// Of S3 and GCS, and of Azure.
const ELEMENTS: [&str; 2] = ["ListBucketResult", "EnumerationResults"];

/// Whether a request asks for a page of a listing.
pub(super) fn is_asked(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|part| part == "list-type=2" || part == "comp=list")
}

/// The page, read whole: one that breaks off is asked for again, what is no page is an error.
pub(super) async fn checked(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = answer.into_parts();
    let (mut pieces, mut bytes) = (body.bytes_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| HttpError::new(HttpErrorKind::Request, e))?;
        if bytes.len() + piece.len() > LISTING_BYTES_MAX {
            return Err(HttpError::new(HttpErrorKind::Unknown, NoListing));
        }
        bytes.extend_from_slice(&piece);
    }
    if !is_page(&bytes) {
        return Err(HttpError::new(HttpErrorKind::Unknown, NoListing));
    }
    Ok(HttpResponse::from_parts(parts, bytes.into()))
}

fn is_page(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let text = text.trim();
    ELEMENTS.iter().any(|element| {
        let empty = text.contains(&format!("<{element}")) && text.ends_with("/>");
        empty || text.ends_with(&format!("</{element}>"))
    })
}

/// What answered is no store.
#[derive(Debug)]
pub(super) struct NoListing;

impl fmt::Display for NoListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what came back is no listing of a store")
    }
}

impl std::error::Error for NoListing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_other_answers() {
        for page in [
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name></ListBucketResult>\n",
            "<EnumerationResults><Blobs /></EnumerationResults>",
            "<ListBucketResult/>",
        ] {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for other in ["", "{}", "<html>Welcome</html>", "<ListBucketResult><Contents>", "<Error><Code>x</Code></Error>"]
        {
            assert!(!is_page(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn listings_are_told_from_other_requests() {
        let asked = |uri: &str| is_asked(&uri.parse().unwrap());
        assert!(asked("http://h/b?list-type=2&prefix=packs%2F"));
        assert!(asked("http://h/c?restype=container&comp=list"));
        assert!(!asked("http://h/b/packs/list-type=2"));
    }
}
