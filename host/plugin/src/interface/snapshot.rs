//! `snapshot`: entries on their way into the snapshot in the making.

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::snapshot;
use crate::bindings::dozo::plugin::types::{Chunking, Entry, Error as Told};
use crate::convert::{self, cutting_from_wit, entry_from_wit, entry_to_wit};
use crate::handles::{ContentHandle, WriterHandle};
use crate::interface::told;
use crate::limits::PAGE_ENTRIES;
use crate::state::State;

impl snapshot::Host for State {
    async fn identify(&mut self, identity: String) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.identify(self.secrets.redact(identity)).await),
            Err(error) => Ok(Err(error)),
        }
    }

    fn answer(&mut self, probe: String, value: String) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.answer(probe, self.secrets.redact(value))),
            Err(error) => Ok(Err(error)),
        }
    }

    fn unanswered(&mut self, probe: String, why: Told) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.unanswered(probe, convert::error_from_wit(why, &self.secrets))),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn put_small(&mut self, batch: Vec<snapshot::SmallEntry>) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => {
                let batch = batch.into_iter().map(|small| (entry_from_wit(small.entry), small.content)).collect();
                told(intake.put_small(batch).await)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn put_contents(&mut self, batch: Vec<snapshot::ContentEntry>) -> Result<Vec<Result<u64, Told>>> {
        let _busy = self.life.enter();
        let intake = match self.intake() {
            Ok(intake) => intake,
            Err(error) => return Ok(batch.iter().map(|_| Err(error.clone())).collect()),
        };
        let mut contents = Vec::with_capacity(batch.len());
        for snapshot::ContentEntry { entry, content } in batch {
            contents.push((entry_from_wit(entry), self.table.delete(content)?.hand_on()));
        }
        let results = intake.put_contents(contents).await;
        Ok(results.into_iter().map(|result| result.map_err(|error| Self::told(&error))).collect())
    }

    async fn keep(&mut self, path: String) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.keep(path).await),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn keep_unchanged(&mut self, batch: Vec<Entry>) -> Result<Result<Vec<bool>, Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.keep_unchanged(batch.into_iter().map(entry_from_wit).collect()).await),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn keep_under(&mut self, prefix: String, expected: u64) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.keep_under(prefix, expected).await),
            Err(error) => Ok(Err(error)),
        }
    }

    fn omit(&mut self, path: String, why: Told) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.omit(path, convert::error_from_wit(why, &self.secrets))),
            Err(error) => Ok(Err(error)),
        }
    }

    fn tolerate(&mut self, path: String, why: Told) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.tolerate(path, convert::error_from_wit(why, &self.secrets))),
            Err(error) => Ok(Err(error)),
        }
    }

    fn vanished(&mut self, path: String) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.vanished(path)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn discard_under(&mut self, prefix: String) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.intake() {
            Ok(intake) => told(intake.discard_under(prefix)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn previous(&mut self, path: String) -> Result<Option<Entry>> {
        let _busy = self.life.enter();
        let Ok(intake) = self.intake() else { return Ok(None) };
        // A previous snapshot that cannot be read is as good as none for the source: what it does not know it reads anew.
        Ok(intake.previous(path).await.ok().flatten().map(entry_to_wit))
    }

    async fn previous_under(&mut self, prefix: String, after: Option<String>, max: u32) -> Result<Vec<Entry>> {
        let _busy = self.life.enter();
        let Ok(intake) = self.intake() else { return Ok(Vec::new()) };
        let max = max.clamp(1, PAGE_ENTRIES) as usize;
        match intake.previous_under(prefix, after, max).await {
            Ok(page) => Ok(page.into_iter().map(entry_to_wit).collect()),
            // A page that cannot be read must not look like the last one.
            Err(error) => Err(wasmtime::format_err!("read the previous snapshot: {}", error.chain())),
        }
    }

    fn previous_attributes(&mut self) -> Result<Vec<(String, String)>> {
        let _busy = self.life.enter();
        Ok(self.intake().map_or_else(|_| Vec::new(), |intake| intake.previous_attributes()))
    }

    fn set_attribute(&mut self, name: String, value: String) -> Result<()> {
        let _busy = self.life.enter();
        let Ok(intake) = self.intake() else { return Ok(()) };
        // The call has no way to say no, and an attribute that is lost, or another, could make a restore impossible.
        if self.secrets.redact(value.clone()) != value {
            return Err(wasmtime::format_err!(
                "the attribute `{name}` holds a secret of this job, or what looks like one: every host could read it"
            ));
        }
        intake.set_attribute(name, value).map_err(|error| wasmtime::format_err!("set an attribute: {}", error.chain()))
    }

    fn note(&mut self, text: String) -> Result<()> {
        let _busy = self.life.enter();
        if let Ok(intake) = self.intake() {
            intake.note(convert::printable(self.secrets.redact(text)));
        }
        Ok(())
    }

    fn progress(&mut self, done: u64, total: Option<u64>) -> Result<()> {
        let _busy = self.life.enter();
        if let Ok(intake) = self.intake() {
            intake.progress(done, total);
        }
        Ok(())
    }

    fn phase(&mut self, words: String) -> Result<()> {
        let _busy = self.life.enter();
        if let Ok(intake) = self.intake() {
            intake.phase(convert::printable(self.secrets.redact(words)).replace('\n', " "));
        }
        Ok(())
    }
}

impl snapshot::HostWriter for State {
    fn new(&mut self, entry: Entry, chunking: Chunking) -> Result<Resource<WriterHandle>> {
        let _busy = self.life.enter();
        let opened = match self.intake() {
            Ok(intake) => intake.open(entry_from_wit(entry), cutting_from_wit(chunking)),
            Err(error) => Err(convert::error_from_wit(error, &self.secrets)),
        };
        self.hold(WriterHandle(Some(opened)))
    }

    async fn write(&mut self, handle: Resource<WriterHandle>, bytes: Vec<u8>) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.writer(&handle)? {
            Ok(writer) => told(writer.write(&bytes).await),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn append_content(
        &mut self,
        handle: Resource<WriterHandle>,
        from: Resource<ContentHandle>,
    ) -> Result<Result<u64, Told>> {
        let _busy = self.life.enter();
        let content = self.table.delete(from)?.hand_on();
        match self.writer(&handle)? {
            Ok(writer) => told(writer.append(content).await),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn append_previous(
        &mut self,
        handle: Resource<WriterHandle>,
        path: String,
        offset: u64,
        length: u64,
    ) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.writer(&handle)? {
            Ok(writer) => told(writer.append_previous(&path, offset, length).await),
            Err(error) => Ok(Err(error)),
        }
    }

    fn set_attribute(
        &mut self,
        handle: Resource<WriterHandle>,
        name: String,
        value: String,
    ) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.writer(&handle)? {
            Ok(writer) => told(writer.set_attribute(name, value)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn finish(&mut self, handle: Resource<WriterHandle>, bytes: u64) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.table.delete(handle)?.0 {
            Some(Ok(writer)) => told(writer.finish(bytes).await),
            Some(Err(error)) => Ok(Err(Self::told(&error))),
            None => Ok(Err(busy())),
        }
    }

    fn cancel(&mut self, handle: Resource<WriterHandle>) -> Result<()> {
        let _busy = self.life.enter();
        if let Some(Ok(writer)) = self.table.delete(handle)?.0 {
            writer.cancel();
        }
        Ok(())
    }

    fn drop(&mut self, handle: Resource<WriterHandle>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl State {
    /// The writer behind a handle, or why there is none.
    fn writer(&mut self, handle: &Resource<WriterHandle>) -> Result<Result<&mut Box<dyn dozo_job::EntryWriter>, Told>> {
        Ok(match &mut self.table.get_mut(handle)?.0 {
            Some(Ok(writer)) => Ok(writer),
            Some(Err(error)) => Err(Self::told(error)),
            None => Err(busy()),
        })
    }
}

/// A writer takes one stream at a time.
pub(crate) fn busy() -> Told {
    Told::Invalid("the writer is busy with a stream".into())
}
