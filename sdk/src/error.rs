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
        let message = format!("{what}: {}", self.message());
        self.with_message(message)
    }

    /// The same kind with another message.
    #[must_use]
    pub fn with_message(self, message: String) -> Self {
        match self {
            Error::Unavailable(_) => Error::Unavailable(message),
            Error::Invalid(_) => Error::Invalid(message),
            Error::Denied(_) => Error::Denied(message),
            Error::NotGranted(_) => Error::NotGranted(message),
            Error::Corrupt(_) => Error::Corrupt(message),
            Error::Unsupported(_) => Error::Unsupported(message),
            Error::Internal(_) => Error::Internal(message),
        }
    }
}
