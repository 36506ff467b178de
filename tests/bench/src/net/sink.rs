//! A snapshot that counts bytes and keeps nothing.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use dozo_job::port::{Content, Cutting, Entry, EntryWriter, Intake};
use dozo_job::{Error, Result};

/// As the host reads contents.
const PIECE: usize = 256 << 10;
/// A guest's own count is a few digits.
const SAID: usize = 32;

#[derive(Default)]
pub(super) struct Sink(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counted: AtomicU64,
    said: Mutex<Vec<u8>>,
}

impl Sink {
    pub(super) fn counted(&self) -> u64 {
        self.0.counted.load(Ordering::Relaxed)
    }

    /// What the guest wrote, if that is a number.
    pub(super) fn said(&self) -> Option<u64> {
        let said = self.0.said.lock().ok()?;
        std::str::from_utf8(&said).ok()?.parse().ok()
    }
}

struct Writer(Arc<Inner>);

#[async_trait]
impl EntryWriter for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.counted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut said = self.0.said.lock().map_err(|_| Error::internal("a thread panicked"))?;
        let room = SAID.saturating_sub(said.len()).min(bytes.len());
        said.extend_from_slice(&bytes[..room]);
        Ok(())
    }

    async fn append(&mut self, mut content: Content) -> Result<u64> {
        let read = move || -> Result<u64> {
            let (mut buffer, mut total) = (vec![0; PIECE], 0);
            loop {
                match content.read(&mut buffer).map_err(|e| Error::io("read the content", e))? {
                    0 => return Ok(total),
                    read => total += read as u64,
                }
            }
        };
        let total = tokio::task::spawn_blocking(read).await.map_err(|e| Error::internal(e.to_string()))??;
        self.0.counted.fetch_add(total, Ordering::Relaxed);
        Ok(total)
    }

    async fn append_previous(&mut self, _: &str, _: u64, _: u64) -> Result<()> {
        Err(Error::unsupported("there is no previous snapshot"))
    }

    fn set_attribute(&mut self, _: String, _: String) -> Result<()> {
        Ok(())
    }

    fn cancel(self: Box<Self>) {}

    async fn finish(self: Box<Self>, _: u64) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Intake for Sink {
    async fn identify(&self, _: String) -> Result<()> {
        Ok(())
    }
    fn answer(&self, _: String, _: String) -> Result<()> {
        Ok(())
    }
    fn unanswered(&self, _: String, _: Error) -> Result<()> {
        Ok(())
    }
    fn open(&self, _: Entry, _: Cutting) -> Result<Box<dyn EntryWriter>> {
        Ok(Box::new(Writer(self.0.clone())))
    }
    async fn put_small(&self, _: Vec<(Entry, Vec<u8>)>) -> Result<()> {
        Ok(())
    }
    async fn put_contents(&self, batch: Vec<(Entry, Content)>) -> Vec<Result<u64>> {
        batch.iter().map(|_| Err(Error::unsupported("one at a time"))).collect()
    }
    async fn keep(&self, _: String) -> Result<()> {
        Ok(())
    }
    async fn keep_unchanged(&self, batch: Vec<Entry>) -> Result<Vec<bool>> {
        Ok(vec![false; batch.len()])
    }
    async fn keep_under(&self, _: String, _: u64) -> Result<()> {
        Ok(())
    }
    fn omit(&self, _: String, why: Error) -> Result<()> {
        Err(why)
    }
    fn tolerate(&self, _: String, why: Error) -> Result<()> {
        Err(why)
    }
    fn vanished(&self, _: String) -> Result<()> {
        Ok(())
    }
    fn discard_under(&self, _: String) -> Result<()> {
        Ok(())
    }
    async fn previous(&self, _: String) -> Result<Option<Entry>> {
        Ok(None)
    }
    async fn previous_under(&self, _: String, _: Option<String>, _: usize) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }
    fn previous_attributes(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn set_attribute(&self, _: String, _: String) -> Result<()> {
        Ok(())
    }
    fn note(&self, _: String) {}
    fn progress(&self, _: u64, _: Option<u64>) {}
    fn phase(&self, _: String) {}
}
