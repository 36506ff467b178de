//! The content of one entry.

use futures::future::join;

use crate::bindings;
use crate::bindings::dozo::plugin::{snapshot, streaming};
use crate::{Content, Error, Result};

/// Small writes are gathered to this length before they cross to the host.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes the content of one entry; it is [`std::io::Write`]. Dropped without [`finish`](Writer::finish), the entry is
/// not part of the snapshot, and the run fails unless the entry is omitted.
pub struct Writer {
    inner: snapshot::Writer,
    buffer: Vec<u8>,
    written: u64,
}

impl Writer {
    pub(crate) fn new(inner: snapshot::Writer) -> Self {
        Writer { inner, buffer: Vec::new(), written: 0 }
    }

    /// Content that the host holds; it never enters the plugin. Returns how many bytes it had.
    pub fn append(&mut self, content: Content) -> Result<u64> {
        self.drain()?;
        let appended = self.inner.append_content(content)?;
        self.written += appended;
        Ok(appended)
    }

    /// A range of what the previous snapshot has under a path, by reference.
    pub fn append_previous(&mut self, path: &str, offset: u64, length: u64) -> Result<()> {
        self.drain()?;
        self.inner.append_previous(path, offset, length)?;
        self.written += length;
        Ok(())
    }

    /// Produces bytes while the host consumes them: what the plugin waits for overlaps with the host's work.
    pub async fn produce<F: AsyncFnOnce(Sink) -> Result<()>>(&mut self, produce: F) -> Result<u64> {
        self.drain()?;
        let (writer, reader) = bindings::wit_stream::new();
        let (appended, produced) = join(streaming::append(&self.inner, reader), produce(Sink(writer))).await;
        // The producer's own failure explains more than the short stream that it caused.
        produced?;
        let appended = appended?;
        self.written += appended;
        Ok(appended)
    }

    /// An attribute of the entry that is known only now.
    pub fn set_attribute(&mut self, name: &str, value: &str) -> Result<()> {
        self.inner.set_attribute(name, value)
    }

    /// The word that this was all. Returns the length.
    pub fn finish(mut self) -> Result<u64> {
        self.drain()?;
        snapshot::Writer::finish(self.inner, self.written)?;
        Ok(self.written)
    }

    /// As if the entry had never been begun.
    pub fn cancel(self) {
        snapshot::Writer::cancel(self.inner);
    }

    fn drain(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.inner.write(&self.buffer)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.drain().map_err(std::io::Error::other)?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.inner.write(bytes).map_err(std::io::Error::other)?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.drain().map_err(std::io::Error::other)
    }
}

/// The plugin's end of a stream to the host.
pub struct Sink(wit_bindgen::StreamWriter<u8>);

impl Sink {
    /// Sends a buffer and gives it back, empty, for the next round.
    pub async fn send(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let mut rest = self.0.write_all(bytes).await;
        if !rest.is_empty() {
            return Err(Error::Internal("the host stopped reading".into()));
        }
        rest.clear();
        Ok(rest)
    }
}
