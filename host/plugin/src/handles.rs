//! What a plugin holds in its hands: resources of the contract, kept in the store's table.
#![allow(unreachable_pub, reason = "generated code re-exports these types")]

use dozo_job::port::{Content, EntryWriter, ReadContent};
use dozo_job::{Error, Kind, Result};

use crate::tree::NewFile;
use crate::unfinished::End;

/// Content; none while it is read elsewhere, and after it failed.
pub struct ContentHandle {
    content: Option<Content>,
    end: End,
}

impl ContentHandle {
    pub(crate) fn new(content: Content, end: End) -> Self {
        ContentHandle { content: Some(content), end }
    }

    /// The content, to be read from once, elsewhere; none if it is not there.
    pub(crate) fn lend(&mut self) -> Option<Content> {
        self.content.take()
    }

    /// Takes it back with what was read, which the plugin is told.
    pub(crate) fn give_back(&mut self, content: Content, read: &Result<Vec<u8>>) {
        match read {
            Ok(bytes) if bytes.is_empty() => self.end.told(),
            Ok(_) => self.end.begun(),
            Err(_) => return self.end.told(),
        }
        self.content = Some(content);
    }

    /// The content, to be handed on: whoever reads it tells how it ended.
    pub(crate) fn hand_on(self) -> Content {
        let (content, mut end) = self.into_parts();
        end.told();
        content
    }

    /// The content, and its end for whoever lets the plugin read it.
    pub(crate) fn into_parts(self) -> (Content, End) {
        (self.content.unwrap_or_else(|| Box::new(Spent)), self.end)
    }
}

/// Content that failed before and was handed on nevertheless.
struct Spent;

impl ReadContent for Spent {}

impl std::io::Read for Spent {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(Error::new(Kind::Corrupt, "this content failed before; it cannot be read on").into())
    }
}

/// A writer, or why it could not be opened; none while it is written to elsewhere.
pub struct WriterHandle(pub(crate) Option<Result<Box<dyn EntryWriter>>>);

/// A file that the plugin writes; none while it is written to elsewhere, and after a write failed. One that is never closed
/// does not appear, so that is an end to be seen.
pub struct FileHandle {
    file: Option<NewFile>,
    end: End,
}

impl FileHandle {
    pub(crate) fn new(file: NewFile, mut end: End) -> Self {
        end.begun();
        FileHandle { file: Some(file), end }
    }

    /// The file, to be written to elsewhere; none after a write failed.
    pub(crate) fn lend(&mut self) -> Option<NewFile> {
        self.file.take()
    }

    /// Takes it back, unless the write, of which the plugin is told, failed.
    pub(crate) fn give_back(&mut self, file: NewFile, written: &Result<()>) {
        match written {
            Ok(()) => self.file = Some(file),
            Err(_) => self.end.told(),
        }
    }

    /// The file, to be closed; none after a write failed.
    pub(crate) fn close(mut self) -> Option<NewFile> {
        self.end.told();
        self.file
    }
}
