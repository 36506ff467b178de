//! One error type for the house: what went wrong, by what the operator can do about it, and a chain of causes.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What to do about a disk that is full.
pub const FREE_SPACE: &str = "free space there and run again";

/// What the operator would do about an error. The test for a new kind: would they act differently?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Try again later: refused connection, timeout, no space.
    Unavailable,
    /// Fix the configuration or the arguments.
    Invalid,
    /// Credentials or privileges are missing.
    Denied,
    /// The operator has not granted this.
    NotGranted,
    /// Somebody else is at work on the same: wait until they are done.
    Busy,
    /// Data is damaged or incomplete.
    Corrupt,
    /// This cannot be done with this source or this version.
    Unsupported,
    /// A bug, in dozo or in a plugin.
    Internal,
}

impl Kind {
    /// The word that reports and messages use.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Unavailable => "unavailable",
            Kind::Invalid => "invalid",
            Kind::Denied => "denied",
            Kind::NotGranted => "not granted",
            Kind::Busy => "busy",
            Kind::Corrupt => "corrupt",
            Kind::Unsupported => "unsupported",
            Kind::Internal => "internal",
        }
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What failed, in lower case, naming the object; the cause is [`source`](StdError::source) and never repeated in it.
/// Clones share the cause, because one failure of the pipeline reaches everyone who waits on it.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The result of nearly everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do where this process is not let in.
pub(crate) const MAY_NOT: &str = "`ls -ld` shows whose it is: run dozo as that user, or give this one access";

/// The same where it is no matter of access rights (EPERM).
const MAY_NOT_EVEN: &str = "`lsattr -d` shows whether it is made immutable (`chattr -i`), `ls -ld` whose it is: run dozo as that user, or as root";
/// EPERM, the same number on every Linux.
const NOT_PERMITTED: i32 = 1;

impl Error {
    /// An error without a cause.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error { kind, what: what.into(), hint: None, source: None }
    }

    /// [`Kind::Unavailable`].
    pub fn unavailable(what: impl Into<String>) -> Self {
        Error::new(Kind::Unavailable, what)
    }

    /// [`Kind::Invalid`].
    pub fn invalid(what: impl Into<String>) -> Self {
        Error::new(Kind::Invalid, what)
    }

    /// [`Kind::Denied`].
    pub fn denied(what: impl Into<String>) -> Self {
        Error::new(Kind::Denied, what)
    }

    /// [`Kind::NotGranted`].
    pub fn not_granted(what: impl Into<String>) -> Self {
        Error::new(Kind::NotGranted, what)
    }

    /// [`Kind::Busy`].
    pub fn busy(what: impl Into<String>) -> Self {
        Error::new(Kind::Busy, what)
    }

    /// [`Kind::Corrupt`].
    pub fn corrupt(what: impl Into<String>) -> Self {
        Error::new(Kind::Corrupt, what)
    }

    /// [`Kind::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> Self {
        Error::new(Kind::Unsupported, what)
    }

    /// [`Kind::Internal`].
    pub fn internal(what: impl Into<String>) -> Self {
        Error::new(Kind::Internal, what)
    }

    /// An input or output error, its kind taken from the operating system's word.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        // An error of ours that travelled through `std::io::Read` or `Write` comes out as it went in.
        let source = match source.downcast::<Error>() {
            Ok(ours) => return ours,
            Err(source) => source,
        };
        let (kind, hint) = match source.kind() {
            K::PermissionDenied if source.raw_os_error() == Some(NOT_PERMITTED) => (Kind::Denied, Some(MAY_NOT_EVEN)),
            K::PermissionDenied => (Kind::Denied, Some(MAY_NOT)),
            K::InvalidData | K::UnexpectedEof => (Kind::Corrupt, None),
            K::NotFound | K::InvalidInput | K::NotADirectory | K::IsADirectory => (Kind::Invalid, None),
            K::StorageFull | K::QuotaExceeded => (Kind::Unavailable, Some(FREE_SPACE)),
            K::ReadOnlyFilesystem => (Kind::Denied, Some("it is mounted read-only")),
            _ => (Kind::Unavailable, None),
        };
        let error = Error::new(kind, what).caused_by(source);
        match hint {
            Some(hint) => error.hinted(hint),
            None => error,
        }
    }

    /// Adds the cause.
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Adds what the operator should do; the hint nearest to the terminal wins.
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts a sentence before this error, which becomes the cause; kind and hint stay.
    pub fn context(self, what: impl Into<String>) -> Self {
        Error { kind: self.kind, what: what.into(), hint: self.hint.clone(), source: Some(Arc::new(self)) }
    }

    /// The same error with another kind.
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// What the operator can do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The hint, if there is one.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether what failed is that there is no room left.
    pub fn is_out_of_space(&self) -> bool {
        let mut cause = Some(self as &(dyn StdError + 'static));
        while let Some(error) = cause {
            let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// The sentence and all its causes in one line, as reports and records keep it.
    pub fn chain(&self) -> String {
        let mut line = self.what.clone();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_io() {
        let ours = Error::corrupt("chunk 12ab is damaged").hinted("restore from a mirror");
        let back = Error::io("write the file", std::io::Error::from(ours));
        assert_eq!(back.kind(), Kind::Corrupt);
        assert_eq!(back.to_string(), "chunk 12ab is damaged");
        assert_eq!(back.hint(), Some("restore from a mirror"));
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = Error::io("read key file a", std::io::Error::other("disk on fire")).context("open the repository");
        assert_eq!(error.chain(), "open the repository: read key file a: disk on fire");
    }
}
