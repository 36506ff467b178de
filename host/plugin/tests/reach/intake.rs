//! Where the guests' backups go: memory, at a pace that a test chooses.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dozo_job::port::{Content, Cutting, Entry, EntryWriter, Intake};
use dozo_job::{Error, Result};

/// How slow it is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pace {
    /// For each mebibyte.
    pub(crate) mebibyte: Duration,
    /// Once, after so many bytes, for so long.
    pub(crate) hiccup: Option<(u64, Duration)>,
}

/// Keeps what was finished.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) pace: Pace,
    kept: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Memory {
    pub(crate) fn paced(pace: Pace) -> Self {
        Memory { pace, ..Memory::default() }
    }

    /// The content of an entry, if it was finished.
    pub(crate) fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().get(path).cloned()
    }
}

struct Writer {
    path: String,
    bytes: Vec<u8>,
    pace: Pace,
    kept: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

#[async_trait]
impl EntryWriter for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let (before, mebibytes) = (self.bytes.len() as u64, bytes.len() as f64 / f64::from(1 << 20));
        self.bytes.extend_from_slice(bytes);
        tokio::time::sleep(self.pace.mebibyte.mul_f64(mebibytes)).await;
        match self.pace.hiccup {
            Some((at, long)) if before < at && at <= self.bytes.len() as u64 => tokio::time::sleep(long).await,
            _ => {}
        }
        Ok(())
    }

    async fn append(&mut self, mut content: Content) -> Result<u64> {
        let read = move || {
            let mut all = Vec::new();
            content.read_to_end(&mut all).map(|_| all).map_err(|e| Error::io("read the content", e))
        };
        let all = tokio::task::spawn_blocking(read).await.unwrap()?;
        self.write(&all).await?;
        Ok(all.len() as u64)
    }

    async fn append_previous(&mut self, _: &str, _: u64, _: u64) -> Result<()> {
        unimplemented!("these guests keep nothing")
    }

    fn set_attribute(&mut self, _: String, _: String) -> Result<()> {
        Ok(())
    }

    fn cancel(self: Box<Self>) {}

    async fn finish(self: Box<Self>, bytes: u64) -> Result<()> {
        assert_eq!(bytes, self.bytes.len() as u64);
        self.kept.lock().unwrap().insert(self.path, self.bytes);
        Ok(())
    }
}

#[async_trait]
impl Intake for Memory {
    async fn identify(&self, _: String) -> Result<()> {
        Ok(())
    }
    fn answer(&self, _: String, _: String) -> Result<()> {
        Ok(())
    }
    fn unanswered(&self, _: String, _: Error) -> Result<()> {
        Ok(())
    }
    fn open(&self, entry: Entry, _: Cutting) -> Result<Box<dyn EntryWriter>> {
        Ok(Box::new(Writer { path: entry.path, bytes: Vec::new(), pace: self.pace, kept: self.kept.clone() }))
    }
    async fn put_small(&self, _: Vec<(Entry, Vec<u8>)>) -> Result<()> {
        unimplemented!("these guests put nothing small")
    }
    async fn put_contents(&self, _: Vec<(Entry, Content)>) -> Vec<Result<u64>> {
        unimplemented!("these guests put nothing in batches")
    }
    async fn keep(&self, _: String) -> Result<()> {
        unimplemented!("these guests keep nothing")
    }
    async fn keep_unchanged(&self, _: Vec<Entry>) -> Result<Vec<bool>> {
        unimplemented!("these guests keep nothing")
    }
    async fn keep_under(&self, _: String, _: u64) -> Result<()> {
        unimplemented!("these guests keep nothing")
    }
    fn omit(&self, _: String, _: Error) -> Result<()> {
        Ok(())
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
