//! Errors by kind, and how the standard library's errors become them.

use crate::Error;

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        // One of ours, carried through `std::io::Write`, comes out as it went in.
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) => match error.kind() {
                K::PermissionDenied => Error::Denied(error.to_string()),
                K::NotFound | K::InvalidInput => Error::Invalid(error.to_string()),
                K::InvalidData => Error::Corrupt(error.to_string()),
                K::ConnectionRefused | K::ConnectionReset | K::TimedOut | K::UnexpectedEof | K::BrokenPipe => {
                    Error::Unavailable(error.to_string())
                }
                _ => Error::Internal(error.to_string()),
            },
        }
    }
}

impl Error {
    /// What it says, without its kind.
    pub fn message(&self) -> &str {
        match self {
            Error::Unavailable(message)
            | Error::Invalid(message)
            | Error::Denied(message)
            | Error::NotGranted(message)
            | Error::Corrupt(message)
            | Error::Unsupported(message)
            | Error::Internal(message) => message,
        }
    }

    /// The same kind with words before its message.
    #[must_use]
    pub fn context(self, what: &str) -> Self {
        let with = |message: String| format!("{what}: {message}");
        match self {
            Error::Unavailable(message) => Error::Unavailable(with(message)),
            Error::Invalid(message) => Error::Invalid(with(message)),
            Error::Denied(message) => Error::Denied(with(message)),
            Error::NotGranted(message) => Error::NotGranted(with(message)),
            Error::Corrupt(message) => Error::Corrupt(with(message)),
            Error::Unsupported(message) => Error::Unsupported(with(message)),
            Error::Internal(message) => Error::Internal(with(message)),
        }
    }
}
