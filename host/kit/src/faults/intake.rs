//! The snapshot in the making, with faults. Calls that have no answer, or whose failure the host turns into a trap, are
//! passed on as they are: what the plugin cannot see it cannot hand on.

use std::sync::Arc;

use async_trait::async_trait;
use dozo_job::port::{Content, Cutting, Entry, EntryWriter, Intake};
use dozo_job::{Error, Result};

use super::Control;

pub(super) struct FaultyIntake {
    pub(super) inner: Arc<dyn Intake>,
    pub(super) control: Arc<Control>,
}

#[async_trait]
impl Intake for FaultyIntake {
    async fn identify(&self, identity: String) -> Result<()> {
        self.control.step("identify").await?;
        self.inner.identify(identity).await
    }

    fn answer(&self, probe: String, value: String) -> Result<()> {
        self.control.count("answer")?;
        self.inner.answer(probe, value)
    }

    fn unanswered(&self, probe: String, why: Error) -> Result<()> {
        self.control.count("unanswered")?;
        self.inner.unanswered(probe, why)
    }

    fn open(&self, entry: Entry, cutting: Cutting) -> Result<Box<dyn EntryWriter>> {
        self.control.count("a new writer")?;
        let inner = self.inner.open(entry, cutting)?;
        Ok(Box::new(FaultyWriter { inner, control: self.control.clone() }))
    }

    async fn put_small(&self, batch: Vec<(Entry, Vec<u8>)>) -> Result<()> {
        self.control.step("put-small").await?;
        self.inner.put_small(batch).await
    }

    async fn put_contents(&self, batch: Vec<(Entry, Content)>) -> Vec<Result<u64>> {
        // An empty batch has no result in which a failure could be told.
        if batch.is_empty() {
            return self.inner.put_contents(batch).await;
        }
        match self.control.step("put-contents").await {
            Ok(()) => self.inner.put_contents(batch).await,
            Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn keep(&self, path: String) -> Result<()> {
        self.control.step("keep").await?;
        self.inner.keep(path).await
    }

    async fn keep_unchanged(&self, batch: Vec<Entry>) -> Result<Vec<bool>> {
        self.control.step("keep-unchanged").await?;
        self.inner.keep_unchanged(batch).await
    }

    async fn keep_under(&self, prefix: String, expected: u64) -> Result<()> {
        self.control.step("keep-under").await?;
        self.inner.keep_under(prefix, expected).await
    }

    fn omit(&self, path: String, why: Error) -> Result<()> {
        self.control.count("omit")?;
        self.inner.omit(path, why)
    }

    fn tolerate(&self, path: String, why: Error) -> Result<()> {
        self.control.count("tolerate")?;
        self.inner.tolerate(path, why)
    }

    fn vanished(&self, path: String) -> Result<()> {
        self.control.count("vanished")?;
        self.inner.vanished(path)
    }

    fn discard_under(&self, prefix: String) -> Result<()> {
        self.control.count("discard-under")?;
        self.inner.discard_under(prefix)
    }

    async fn previous(&self, path: String) -> Result<Option<Entry>> {
        self.inner.previous(path).await
    }

    async fn previous_under(&self, prefix: String, after: Option<String>, max: usize) -> Result<Vec<Entry>> {
        self.inner.previous_under(prefix, after, max).await
    }

    fn previous_attributes(&self) -> Vec<(String, String)> {
        self.inner.previous_attributes()
    }

    fn set_attribute(&self, name: String, value: String) -> Result<()> {
        self.inner.set_attribute(name, value)
    }

    fn note(&self, text: String) {
        self.inner.note(text);
    }

    fn progress(&self, done: u64, total: Option<u64>) {
        self.inner.progress(done, total);
    }

    fn phase(&self, words: String) {
        self.inner.phase(words);
    }
}

struct FaultyWriter {
    inner: Box<dyn EntryWriter>,
    control: Arc<Control>,
}

#[async_trait]
impl EntryWriter for FaultyWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.control.step("write").await?;
        self.inner.write(bytes).await
    }

    async fn append(&mut self, content: Content) -> Result<u64> {
        self.control.step("append").await?;
        self.inner.append(content).await
    }

    async fn append_previous(&mut self, path: &str, offset: u64, length: u64) -> Result<()> {
        self.control.step("append-previous").await?;
        self.inner.append_previous(path, offset, length).await
    }

    fn set_attribute(&mut self, name: String, value: String) -> Result<()> {
        self.control.count("an attribute of an entry")?;
        self.inner.set_attribute(name, value)
    }

    fn cancel(self: Box<Self>) {
        self.inner.cancel();
    }

    async fn finish(self: Box<Self>, bytes: u64) -> Result<()> {
        self.control.step("finish").await?;
        self.inner.finish(bytes).await
    }
}
