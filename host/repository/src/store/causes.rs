//! The chain of an error's causes, through the places where the standard library hides one.

use std::error::Error as StdError;

type Cause<'a> = &'a (dyn StdError + 'static);

/// The error and all that caused it, the outermost first.
pub(super) fn causes<'a>(error: Cause<'a>) -> impl Iterator<Item = Cause<'a>> {
    fn within<'a>(error: Cause<'a>) -> Option<Cause<'a>> {
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            // Its `source` is that of the error within, which would be skipped.
            Some(inner) => Some(inner),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), |error| within(*error))
}
