//! The store's word for what went wrong, in ours: what the operator would do, without what must not be told.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
use rustls::{CertificateError, Error as Tls};

use super::causes::causes;
use super::http::{Late, Towards};
use super::listing::NoListing;
use super::refusal::Refusal;
use crate::error::{Error, FREE_SPACE, Kind};

/// What failed, in the middle of `what`.
#[allow(clippy::needless_pass_by_value, reason = "it is handed on to here, and ends here")]
pub(super) fn translate(what: String, error: object_store::Error) -> Error {
    if let Some(ours) = causes(&error).find_map(|cause| cause.downcast_ref::<Error>()) {
        return ours.clone().context(what);
    }
    let explained = explain(&error);
    let networked = causes(&error).any(<dyn StdError>::is::<reqwest::Error>);
    let towards = causes(&error).find_map(|cause| cause.downcast_ref::<Towards>());
    let what = match towards.map(|towards| towards.address.as_str()) {
        None | Some("") => what,
        Some(address) => format!("{what} at {address}"),
    };
    match system_error(&error) {
        // The operating system says it best: no space left, permission denied, refused connection.
        Some(code) if explained.is_none() && !matches!(error, object_store::Error::NotFound { .. }) => {
            let hint = networked.then_some(UNREACHABLE);
            hinted(Error::io(what, code), hint.map(str::to_string))
        }
        _ => {
            let (kind, hint) = explained.unwrap_or_else(|| (plain(&error), networked.then(|| UNREACHABLE.into())));
            hinted(Error::new(kind, what).caused_by(Innermost::of(&error)), hint)
        }
    }
}

const IN_COLD_STORAGE: &str =
    "it lies in cold storage: `--thaw` of restore, cat and verify has the store bring back what they need";

/// Whether what failed is that an object cannot be read because it lies in cold storage.
pub(crate) fn lies_cold(error: &Error) -> bool {
    let mut cause = Some(error as &dyn StdError);
    while let Some(error) = cause {
        if let Some(innermost) = error.downcast_ref::<Innermost>() {
            return innermost.cold;
        }
        cause = error.source();
    }
    false
}

const UNREACHABLE: &str = "is the address of the store right, and does it run?";

fn hinted(error: Error, hint: Option<String>) -> Error {
    match hint {
        Some(hint) => error.hinted(hint),
        None => error,
    }
}

fn plain(error: &object_store::Error) -> Kind {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => Kind::Corrupt,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Kind::Denied,
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => Kind::Invalid,
        E::NotSupported { .. } | E::NotImplemented { .. } => Kind::Unsupported,
        _ => Kind::Unavailable,
    }
}

/// What is known about a cause in the chain: its kind, and what to do.
fn explain(error: &object_store::Error) -> Option<(Kind, Option<String>)> {
    let text = Innermost::of(error).text;
    // The addresses at which machines are asked for their role.
    let asked_machine = |text: &str| text.contains("169.254.") || text.contains("metadata.google.internal");
    if causes(error).any(|cause| asked_machine(&cause.to_string())) {
        let hint = "no credentials are configured, and this machine has no role: docs/GUIDE.md, Stores";
        return Some((Kind::Denied, Some(hint.into())));
    }
    causes(error).find_map(|cause| {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return Some(of_refusal(refusal));
        }
        if let Some(tls) = cause.downcast_ref::<Tls>() {
            return Some(of_tls(tls));
        }
        if cause.is::<NoListing>() {
            return Some((
                Kind::Invalid,
                Some("is this the address of a store, and is no proxy or login page before it?".into()),
            ));
        }
        if cause.is::<Late>() {
            return Some((Kind::Unavailable, Some("the store or the line to it is too slow, or hangs".into())));
        }
        if text.contains("scheme is not allowed") || text.contains("URL scheme") {
            let hint =
                "`allow_http = true` (`--allow-http`) lets it go without TLS: names, lengths and times can then be seen on the way";
            return Some((Kind::Invalid, Some(hint.into())));
        }
        None
    })
}

/// What a server's no means to the operator.
fn of_refusal(refusal: &Refusal) -> (Kind, Option<String>) {
    let (kind, hint) = match (refusal.code.as_deref().unwrap_or_default(), refusal.status) {
        ("SignatureDoesNotMatch", _) => (Kind::Denied, "the secret key is not the one that belongs to the access key"),
        ("InvalidAccessKeyId" | "AuthenticationFailed", _) => {
            (Kind::Denied, "the store does not know these credentials")
        }
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) => {
            (Kind::Denied, "the credentials have expired: fetch new ones")
        }
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            (Kind::Denied, "this machine's clock and the store's differ: set this machine's clock (NTP)")
        }
        ("NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName", _) => {
            (Kind::Invalid, "dozo makes no buckets: correct the name in `url`, or make the bucket first")
        }
        (
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        ) => (Kind::Invalid, "the bucket is in another region: set `region`"),
        _ if refusal.is_of_cold() => (Kind::Unavailable, IN_COLD_STORAGE),
        ("GlacierExpeditedRetrievalNotAvailable", _) => {
            (Kind::Unavailable, "the store has no room for expedited thaws now: `--thaw=standard`, or try again later")
        }
        (_, StatusCode::INSUFFICIENT_STORAGE) | ("QuotaExceeded" | "XMinioStorageFull", _) => {
            (Kind::Unavailable, FREE_SPACE)
        }
        (_, StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED) => {
            (Kind::Unsupported, "is this the address of a store, and not of its console?")
        }
        (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            (Kind::Denied, "the credentials do not permit this: docs/GUIDE.md, Stores, lists what a host needs")
        }
        (_, status) if status.is_redirection() => {
            (Kind::Invalid, "the store is elsewhere: correct `endpoint` or `region`")
        }
        _ => return (Kind::Unavailable, None),
    };
    (kind, Some(hint.into()))
}

/// What a failure of TLS means to the operator.
fn of_tls(error: &Tls) -> (Kind, Option<String>) {
    let hint = match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the store's certificate is signed by an authority that is not trusted here: name its certificate with `ca` (`--ca FILE`)"
        }
        Tls::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "the store's certificate has expired, or this machine's clock is wrong",
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the store's certificate is for another name: correct `endpoint`",
        Tls::InvalidCertificate(CertificateError::Other(why)) if why.to_string().contains("CaUsedAsEndEntity") => {
            "the store's certificate says that it is an authority's: it needs one of its own (basicConstraints=CA:FALSE)"
        }
        Tls::InvalidMessage(_) => {
            "it does not speak TLS: `http://` and `allow_http = true` (`--allow-http`), if names, lengths and times may be seen on \
             the way"
        }
        _ => "TLS could not be agreed on with the store",
    };
    (Kind::Invalid, Some(hint.into()))
}

/// The innermost cause alone: those around it repeat it, and name addresses.
#[derive(Debug)]
struct Innermost {
    text: String,
    cold: bool,
}

impl Innermost {
    fn of(error: &object_store::Error) -> Self {
        // Local errors say where in the file system; those of a network are wrapped deeply.
        let mut chain: Vec<_> = causes(error).collect();
        let known = chain.iter().position(|cause| cause.is::<Refusal>() || cause.is::<Late>() || cause.is::<Tls>());
        if let Some(at) = known {
            chain.truncate(at + 1);
        }
        let text = chain.last().map(ToString::to_string).unwrap_or_default();
        // What a server answered stands behind what `object_store` says about it.
        let said = text.rsplit_once("the server answered ").map(|(_, said)| format!("the server answered {said}"));
        let cold = chain.last().and_then(|last| last.downcast_ref::<Refusal>()).is_some_and(Refusal::is_of_cold);
        Innermost { text: said.unwrap_or(text), cold }
    }
}

impl fmt::Display for Innermost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Innermost {}

fn system_error(error: &(dyn StdError + 'static)) -> Option<std::io::Error> {
    let code = |cause: &(dyn StdError + 'static)| cause.downcast_ref::<std::io::Error>()?.raw_os_error();
    causes(error).find_map(code).map(std::io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::parse(status, format!("<Code>{code}</Code>").as_bytes(), &[]);
        translate("read x".into(), object_store::Error::Generic { store: "S3", source: Box::new(refusal) })
    }

    #[test]
    fn what_the_operator_would_do() {
        for (status, code, kind, hint) in [
            (403, "SignatureDoesNotMatch", Kind::Denied, "secret key"),
            (403, "InvalidAccessKeyId", Kind::Denied, "does not know"),
            (403, "AccessDenied", Kind::Denied, "do not permit"),
            (403, "", Kind::Denied, "do not permit"),
            (403, "RequestTimeTooSkewed", Kind::Denied, "clock"),
            (404, "NoSuchBucket", Kind::Invalid, "make the bucket first"),
            (301, "PermanentRedirect", Kind::Invalid, "region"),
            (400, "AuthorizationHeaderMalformed", Kind::Invalid, "region"),
            (403, "InvalidObjectState", Kind::Unavailable, "cold storage"),
            (409, "BlobArchived", Kind::Unavailable, "cold storage"),
            (507, "", Kind::Unavailable, "free space"),
            (501, "NotImplemented", Kind::Unsupported, "console"),
        ] {
            let error = refused(status, code);
            assert_eq!(error.kind(), kind, "{status} {code}");
            assert!(error.hint().is_some_and(|text| text.contains(hint)), "{status} {code}: {:?}", error.hint());
            assert!(error.chain().starts_with(&format!("read x: the server answered {status}")), "{}", error.chain());
            assert_eq!(lies_cold(&error.context("restore y")), hint == "cold storage", "{status} {code}");
        }
    }
}
