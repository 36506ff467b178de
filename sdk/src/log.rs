//! A plugin's words in the host's log. What matters to the operator is better told by an error, an omission or a note.

use crate::bindings::dozo::plugin::log::{Level, emit};

/// For whoever looks for a fault in the plugin.
pub fn debug(message: impl AsRef<str>) {
    emit(Level::Debug, message.as_ref(), &[]);
}

/// What happens.
pub fn info(message: impl AsRef<str>) {
    emit(Level::Info, message.as_ref(), &[]);
}

/// What should not be so.
pub fn warn(message: impl AsRef<str>) {
    emit(Level::Warn, message.as_ref(), &[]);
}

/// What went wrong.
pub fn error(message: impl AsRef<str>) {
    emit(Level::Error, message.as_ref(), &[]);
}
