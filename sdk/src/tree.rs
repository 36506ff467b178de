//! Granted directories of the host's file system, with everything a file system knows of a file.

pub use crate::bindings::dozo::plugin::tree::{Directory, File, Found, NewEntry, Place, granted, locate};
