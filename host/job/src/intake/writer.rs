//! The content of one entry in the making.

use async_trait::async_trait;
use dozo_repository::{Error, Kind, Result, path};

use super::SharedIntake;
use super::rules::check_text;
use crate::limits::READ_BYTES;
use crate::port::{self, Content};

/// The writer of one entry.
pub(super) struct RunEntryWriter {
    pub(super) intake: SharedIntake,
    pub(super) path: String,
    /// Which of the run's writers it is.
    pub(super) number: u64,
    /// Bytes that it was to have.
    pub(super) expected: Option<u64>,
    /// None while its content is read on another thread.
    pub(super) writer: Option<dozo_repository::EntryWriter>,
    /// Something in it was written to while it was read, and that has been noted.
    pub(super) torn: bool,
}

impl RunEntryWriter {
    fn writer(&mut self) -> Result<&mut dozo_repository::EntryWriter> {
        let gone = || Error::invalid(format!("`{}` was written to after an error", path::shown(&self.path)));
        self.writer.as_mut().ok_or_else(gone)
    }
}

#[async_trait]
impl port::EntryWriter for RunEntryWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let intake = self.intake.clone();
        self.writer()?.write(bytes).await.map_err(|e| intake.0.broke(e))
    }

    async fn append(&mut self, content: Content) -> Result<u64> {
        self.writer()?;
        let (Some(mut writer), intake) = (self.writer.take(), self.intake.clone()) else {
            return Err(Error::internal("a writer that was just there is gone"));
        };
        let appended = tokio::task::spawn_blocking(move || {
            let (mut buffer, before) = (vec![0; READ_BYTES], writer.length());
            let torn = intake.0.append(&mut writer, content, &mut buffer)?;
            let appended = writer.length() - before;
            Ok((writer, appended, torn))
        });
        let appended =
            appended.await.unwrap_or_else(|_| Err(Error::internal("a thread that reads a content panicked")));
        match appended {
            Ok((writer, appended, torn)) => {
                self.writer = Some(writer);
                self.torn |= torn;
                Ok(appended)
            }
            Err(error) => {
                self.intake.0.unresolved(self.path.clone(), error.chain());
                Err(error)
            }
        }
    }

    async fn append_previous(&mut self, path: &str, offset: u64, length: u64) -> Result<()> {
        let Some((reader, stored)) = self.intake.0.find(path).await? else {
            let shown = path::shown(path);
            return Err(Error::invalid(format!("`{shown}` is not in the previous snapshot, or its content is gone")));
        };
        let extents = reader.range(&stored, offset, length).await?;
        let intake = self.intake.clone();
        self.writer()?.append(&extents).await.map_err(|e| match e.kind() {
            // Nothing was appended: the plugin can still write the bytes.
            Kind::Unsupported => e,
            _ => intake.0.broke(e),
        })
    }

    fn set_attribute(&mut self, name: String, value: String) -> Result<()> {
        let intake = self.intake.clone();
        let set = check_text("the name of an attribute", &name)
            .and_then(|()| check_text("the value of an attribute", &value))
            .and_then(|()| self.writer()?.set_attribute(name, value));
        set.map_err(|e| intake.0.broke(e))
    }

    fn cancel(self: Box<Self>) {
        self.intake.0.cancel(self.number, &self.path);
    }

    async fn finish(mut self: Box<Self>, bytes: u64) -> Result<()> {
        let written = self.writer()?.length();
        if written != bytes {
            let shown = path::shown(&self.path);
            return Err(self.intake.0.broke(Error::corrupt(format!(
                "`{shown}` has {written} bytes, but the plugin says that it wrote {bytes}"
            ))));
        }
        let Some(writer) = self.writer.take() else {
            return Err(Error::internal("a writer that was just there is gone"));
        };
        writer.finish().await.map_err(|e| self.intake.0.broke(e))?;
        if !self.torn && self.expected.is_some_and(|expected| expected != bytes) {
            self.intake.0.state().changed.add(&self.path);
        }
        self.intake.0.accept_from(self.number, &self.path);
        Ok(())
    }
}
