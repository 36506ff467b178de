//! The first thing that went wrong, where everybody who works on the same run can see it.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};

/// Shared by the threads and tasks of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure(Arc<OnceLock<Error>>);

impl Failure {
    /// Notes an error; the first one stays, because the others follow from it.
    pub(crate) fn note(&self, error: Error) {
        let _ = self.0.set(error);
    }

    /// The first error, if there is one.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.get() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// The first error, or `otherwise` if none was noted.
    pub(crate) fn or(&self, otherwise: Error) -> Error {
        self.0.get().cloned().unwrap_or(otherwise)
    }

    /// Whether work may go on.
    pub(crate) fn is_clear(&self) -> bool {
        self.0.get().is_none()
    }
}
