//! What a plugin holds in its hands: resources of the contract, kept in the store's table.
#![allow(unreachable_pub, reason = "generated code re-exports these types")]

use dozo_job::Result;
use dozo_job::port::{Content, EntryWriter};

use crate::tree::NewFile;

/// Content; none while it is read elsewhere, and after it failed.
pub struct ContentHandle(pub(crate) Option<Content>);

/// A writer, or why it could not be opened; none while it is written to elsewhere.
pub struct WriterHandle(pub(crate) Option<Result<Box<dyn EntryWriter>>>);

/// A file that the plugin writes; none while it is written to elsewhere, and after a write failed.
pub struct FileHandle(pub(crate) Option<NewFile>);

/// What no plugin can have yet.
pub enum Never {}
