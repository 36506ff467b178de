//! A finished snapshot, with faults: pages, contents that are opened, and the first read of each.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use dozo_job::Result;
use dozo_job::port::{Content, Entry, ReadContent, Stored};

use super::Control;

pub(super) struct FaultyStored {
    pub(super) inner: Arc<dyn Stored>,
    pub(super) control: Arc<Control>,
}

#[async_trait]
impl Stored for FaultyStored {
    fn attributes(&self) -> Vec<(String, String)> {
        self.inner.attributes()
    }

    async fn entries(&self, prefix: String, after: Option<String>, max: usize) -> Result<Vec<Entry>> {
        self.control.step("entries").await?;
        self.inner.entries(prefix, after, max).await
    }

    async fn narrow(&self, prefixes: Vec<String>) -> Result<()> {
        self.control.step("narrow").await?;
        self.inner.narrow(prefixes).await
    }

    fn settle(&self) -> Result<()> {
        self.inner.settle()
    }

    fn is_above(&self, path: &str) -> bool {
        self.inner.is_above(path)
    }

    async fn read(&self, path: String, offset: u64) -> Result<Content> {
        self.control.step("read").await?;
        let inner = self.inner.read(path, offset).await?;
        Ok(Box::new(FaultyContent { inner, control: self.control.clone(), begun: false }))
    }
}

struct FaultyContent {
    inner: Content,
    control: Arc<Control>,
    begun: bool,
}

impl ReadContent for FaultyContent {
    fn skip_hole(&mut self) -> std::io::Result<u64> {
        self.inner.skip_hole()
    }

    fn is_in(&mut self, there: &File) -> std::io::Result<bool> {
        self.inner.is_in(there)
    }

    fn draw_on(&mut self, there: File) {
        self.inner.draw_on(there);
    }
}

impl Read for FaultyContent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.begun {
            self.control.count("the first bytes of a content")?;
            self.begun = true;
        }
        self.inner.read(buffer)
    }
}
