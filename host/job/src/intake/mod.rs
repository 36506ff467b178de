//! The snapshot in the making, as a source sees it. Holds the source to its word: whatever it began it must finish or
//! omit, every count it names is compared, and the first thing that went wrong decides the run.

mod batch;
mod history;
mod rules;
mod tally;
mod writer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dozo_repository::limits::{CHUNK_BYTES_FIXED_MIN, CHUNK_BYTES_MAX, OMITTED_NAMED_MAX};
use dozo_repository::{
    Cutting, Entry, EntryKind, EntryWriter, Error, Result, SnapshotReader, StoredEntry, Writer, path,
};

use crate::guard::{MEASURE, Measure};
use crate::left_out::VANISHED;
use crate::limits::{NOTES, PAGE_ENTRIES};
use crate::port::{self, Content};
use crate::progress::Progress;

use batch::take_all;
pub(crate) use history::History;
use rules::{check_batch, check_entry, check_text, nothing, push_bounded, unresolved};
use tally::Tally;
use writer::RunEntryWriter;

/// One run's intake.
pub(crate) struct RunIntake {
    writer: Arc<Writer>,
    history: History,
    progress: Arc<Progress>,
    readers: usize,
    /// Entries that are finished or kept.
    accepted: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    source: Option<String>,
    previous: Option<Arc<SnapshotReader>>,
    /// Entries that were begun, or could not be read, and are neither finished nor omitted.
    unresolved: HashMap<String, Unresolved>,
    /// Writers that were begun.
    writers: u64,
    omitted: Vec<(String, String)>,
    omitted_count: u64,
    attributes: Vec<(String, String)>,
    answers: Vec<(String, String)>,
    unanswered: Vec<(String, String)>,
    notes: Vec<String>,
    /// What the source wants the operator to know, and how many more such notes there were.
    told: Vec<String>,
    untold: u64,
    vanished: Tally,
    /// What could not be read, and may be missing.
    tolerated: Tally,
    /// Files that were longer or shorter when they were read than when they were listed.
    changed: Tally,
    /// What no later call can mend.
    broken: Option<Error>,
}

/// Why one path is not settled.
#[derive(Default)]
struct Unresolved {
    /// The writer of it that was begun last: one that was begun before it and is finished after does not settle the path.
    writer: u64,
    /// Why its content could not be read.
    why: Option<String>,
}

/// What a source told beside its entries.
pub(crate) struct Told {
    pub(crate) source: Option<String>,
    pub(crate) previous: Option<Arc<SnapshotReader>>,
    pub(crate) omitted: Vec<(String, String)>,
    pub(crate) omitted_count: u64,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) answers: Vec<(String, String)>,
    /// Probes without an answer, and why.
    pub(crate) unanswered: Vec<(String, String)>,
    pub(crate) notes: Vec<String>,
}

impl RunIntake {
    pub(crate) fn new(writer: Arc<Writer>, history: History, progress: Arc<Progress>, readers: usize) -> Self {
        RunIntake {
            writer,
            history,
            progress,
            readers: readers.max(1),
            accepted: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// Whether the source kept its word. Called once, when it says that it is done.
    pub(crate) fn close(&self) -> Result<Told> {
        let mut state = self.state();
        if let Some(broken) = state.broken.take() {
            return Err(broken);
        }
        if !state.unresolved.is_empty() {
            return Err(unresolved(&state.unresolved));
        }
        if self.accepted.load(Ordering::Relaxed) == 0 {
            return Err(nothing(&state.omitted));
        }
        let mut state = std::mem::take(&mut *state);
        state.notes.append(&mut state.told);
        if state.untold > 0 {
            state.notes.push(format!("{} more notes of the plugin are left out", state.untold));
        }
        state.notes.extend(state.tolerated.note("could not be read, which the job tolerates"));
        if let Some(count) = state.vanished.count() {
            state.attributes.retain(|(name, _)| name != VANISHED);
            state.attributes.push((VANISHED.into(), count.to_string()));
        }
        state.notes.extend(state.vanished.note("vanished while the run went on"));
        state.notes.extend(state.changed.note("are longer or shorter than they were said to be"));
        Ok(Told {
            source: state.source,
            previous: state.previous,
            omitted: state.omitted,
            omitted_count: state.omitted_count,
            attributes: state.attributes,
            answers: state.answers,
            unanswered: state.unanswered,
            notes: state.notes,
        })
    }

    /// The first thing that went wrong in the host, which explains better than what the plugin made of it.
    pub(crate) fn broken(&self) -> Option<Error> {
        self.state().broken.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error that no later call can mend, and hands it on.
    fn broke(&self, error: Error) -> Error {
        self.state().broken.get_or_insert(error).clone()
    }

    fn begin(&self, entry: &Entry) -> Result<u64> {
        check_entry(entry).map_err(|e| self.broke(e))?;
        let mut state = self.state();
        state.writers += 1;
        let writer = state.writers;
        state.unresolved.entry(entry.path.clone()).or_default().writer = writer;
        Ok(writer)
    }

    /// The entry is not there, and is to be.
    fn unresolved(&self, path: String, why: String) {
        self.state().unresolved.entry(path).or_default().why = Some(why);
    }

    /// The entry was finished by this writer.
    fn accept_from(&self, writer: u64, path: &str) {
        let mut state = self.state();
        if state.unresolved.get(path).is_some_and(|unresolved| unresolved.writer == writer) {
            state.unresolved.remove(path);
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// The entry was not to be, unless another writer of it was begun since.
    fn cancel(&self, writer: u64, path: &str) {
        let mut state = self.state();
        if state.unresolved.get(path).is_some_and(|unresolved| unresolved.writer == writer) {
            state.unresolved.remove(path);
        }
    }

    /// The entry is finished or kept.
    fn accept(&self, path: &str) {
        self.state().unresolved.remove(path);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    fn previous_reader(&self) -> Option<Arc<SnapshotReader>> {
        self.state().previous.clone()
    }

    /// An entry of the previous snapshot whose content can be kept.
    async fn find(&self, path: &str) -> Result<Option<(Arc<SnapshotReader>, StoredEntry)>> {
        let Some(reader) = self.previous_reader() else { return Ok(None) };
        match reader.get(path).await? {
            Some(stored) if reader.pin(&stored).await? => Ok(Some((reader, stored))),
            _ => Ok(None),
        }
    }

    fn keep_stored(&self, stored: &StoredEntry) -> Result<()> {
        self.writer.put(stored).map_err(|e| self.broke(e))?;
        self.writer.counters().entries_kept.fetch_add(1, Ordering::Relaxed);
        self.accept(&stored.entry.path);
        Ok(())
    }

    /// Reads one entry's content on a thread that may block.
    fn take(&self, entry: Entry, content: Content, buffer: &mut [u8]) -> Result<u64> {
        let (path, expected) = (entry.path.clone(), entry.size);
        let mut writer = self.writer.entry(entry, Cutting::ByContent);
        let torn = self.append(&mut writer, content, buffer)?;
        if !torn && expected.is_some_and(|expected| expected != writer.length()) {
            self.state().changed.add(&path);
        }
        writer.finish_blocking().map_err(|e| self.broke(e))
    }

    /// Appends a content to its end, holes as holes, on a thread that may block. Returns whether it was written to meanwhile,
    /// and has been noted.
    fn append(&self, writer: &mut EntryWriter, mut content: Content, buffer: &mut [u8]) -> Result<bool> {
        let failed = |e| Error::io("read the content", e);
        loop {
            match content.skip_hole().map_err(failed)? {
                0 => {}
                hole => writer.write_hole_blocking(hole).map_err(|e| self.broke(e))?,
            }
            match content.read(buffer).map_err(failed)? {
                0 => return Ok(content.is_torn()),
                read => writer.write_blocking(&buffer[..read]).map_err(|e| self.broke(e))?,
            }
        }
    }

    /// Takes an entry over with the content that the previous snapshot has, if it is the same; tells whether it did.
    async fn keep_if_same(&self, entry: Entry) -> Result<bool> {
        // A previous snapshot that cannot be read is as good as none: what it does not tell is read anew.
        let found = self.find(&entry.path).await.ok().flatten();
        let Some((_, StoredEntry { entry: previous, content })) = found else { return Ok(false) };
        let told = entry.size.is_some() && entry.modified.is_some() && entry.version.is_some();
        let same = previous.kind == entry.kind
            && (previous.size, previous.modified, &previous.version) == (entry.size, entry.modified, &entry.version);
        if told && same {
            self.keep_stored(&StoredEntry { entry, content })?;
        }
        Ok(told && same)
    }
}

/// A run's intake behind an `Arc`, so that its work can move to other threads.
#[derive(Clone)]
pub(crate) struct SharedIntake(pub(crate) Arc<RunIntake>);

#[async_trait]
impl port::Intake for SharedIntake {
    async fn identify(&self, identity: String) -> Result<()> {
        check_text("the identity of the source", &identity)?;
        let previous = self.0.history.previous(&identity).map(Arc::new);
        let mut state = self.0.state();
        if previous.is_none() && self.0.history.last_run().is_some() {
            state.notes.push(
                "the source is not the one of earlier snapshots, or another plugin made them, or the last is damaged: \
                 everything is read anew"
                    .into(),
            );
        }
        (state.source, state.previous) = (Some(identity), previous);
        Ok(())
    }

    fn answer(&self, probe: String, value: String) -> Result<()> {
        check_text("the answer to a probe", &value)?;
        push_bounded(&mut self.0.state().answers, probe, value, "answers")
    }

    fn unanswered(&self, probe: String, why: Error) -> Result<()> {
        let hint = why.hint().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
        let why = format!("{}{hint}", why.chain());
        check_text("what is said of a probe", &why)?;
        push_bounded(&mut self.0.state().unanswered, probe, why, "probes without an answer")
    }

    fn open(&self, entry: Entry, cutting: Cutting) -> Result<Box<dyn port::EntryWriter>> {
        let number = self.0.begin(&entry)?;
        if let Cutting::Every(bytes) = cutting
            && !(CHUNK_BYTES_FIXED_MIN..=CHUNK_BYTES_MAX as u32).contains(&bytes)
        {
            let shown = path::shown(&entry.path);
            return Err(self
                .0
                .broke(Error::invalid(format!("chunks of {bytes} bytes for `{shown}`: 64 KiB to 4 MiB"))));
        }
        let (path, expected) = (entry.path.clone(), entry.size);
        let writer = self.0.writer.entry(entry, cutting);
        Ok(Box::new(RunEntryWriter { intake: self.clone(), path, number, expected, writer: Some(writer), torn: false }))
    }

    async fn put_small(&self, batch: Vec<(Entry, Vec<u8>)>) -> Result<()> {
        check_batch(batch.len()).map_err(|e| self.0.broke(e))?;
        for (entry, content) in batch {
            check_entry(&entry).map_err(|e| self.0.broke(e))?;
            if !matches!(entry.kind, EntryKind::File) && !content.is_empty() {
                let shown = path::shown(&entry.path);
                return Err(self.0.broke(Error::invalid(format!("`{shown}` has content but is not a file"))));
            }
            let path = entry.path.clone();
            let mut writer = self.0.writer.entry(entry, Cutting::ByContent);
            let written = async {
                writer.write(&content).await?;
                writer.finish().await
            };
            written.await.map_err(|e| self.0.broke(e))?;
            self.0.accept(&path);
        }
        Ok(())
    }

    async fn put_contents(&self, batch: Vec<(Entry, Content)>) -> Vec<Result<u64>> {
        if let Err(error) = check_batch(batch.len()) {
            let error = self.0.broke(error);
            return batch.iter().map(|_| Err(error.clone())).collect();
        }
        take_all(&self.0, batch).await
    }

    async fn keep(&self, path: String) -> Result<()> {
        path::check(&path).map_err(|e| self.0.broke(e))?;
        match self.0.find(&path).await? {
            Some((_, stored)) => self.0.keep_stored(&stored),
            None => {
                let shown = path::shown(&path);
                self.0.unresolved(path, "it is not in the previous snapshot".into());
                Err(Error::invalid(format!("`{shown}` is not in the previous snapshot, or its content is gone")))
            }
        }
    }

    async fn keep_unchanged(&self, batch: Vec<Entry>) -> Result<Vec<bool>> {
        check_batch(batch.len()).map_err(|e| self.0.broke(e))?;
        let mut kept = Vec::with_capacity(batch.len());
        for entry in batch {
            check_entry(&entry).map_err(|e| self.0.broke(e))?;
            kept.push(self.0.keep_if_same(entry).await?);
        }
        Ok(kept)
    }

    async fn keep_under(&self, prefix: String, expected: u64) -> Result<()> {
        let Some(reader) = self.0.previous_reader() else {
            return Err(Error::invalid("there is no previous snapshot to keep entries of"));
        };
        let (mut found, mut after) = (0, None);
        loop {
            let page = reader.page(&prefix, after.as_deref(), PAGE_ENTRIES).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.entry.path.clone());
            for stored in &page {
                if !reader.pin(stored).await? {
                    let shown = path::shown(&stored.entry.path);
                    return Err(self.0.broke(Error::corrupt(format!("the content of `{shown}` is gone"))));
                }
                self.0.keep_stored(stored)?;
                found += 1;
            }
        }
        if found == expected {
            return Ok(());
        }
        let shown = path::shown(&prefix);
        Err(self.0.broke(Error::corrupt(format!(
            "the previous snapshot has {found} entries under `{shown}`, the plugin expects {expected}"
        ))))
    }

    fn omit(&self, path: String, why: Error) -> Result<()> {
        path::check(&path).map_err(|e| self.0.broke(e))?;
        let mut state = self.0.state();
        state.unresolved.remove(&path);
        state.omitted_count += 1;
        if state.omitted.len() < OMITTED_NAMED_MAX {
            state.omitted.push((path, why.chain()));
        }
        Ok(())
    }

    fn tolerate(&self, path: String, why: Error) -> Result<()> {
        path::check(&path).map_err(|e| self.0.broke(e))?;
        let mut state = self.0.state();
        state.unresolved.remove(&path);
        state.tolerated.add(&format!("{} ({})", path::shown(&path), why.chain()));
        Ok(())
    }

    fn vanished(&self, path: String) -> Result<()> {
        path::check(&path).map_err(|e| self.0.broke(e))?;
        let mut state = self.0.state();
        state.unresolved.remove(&path);
        state.vanished.add(&path);
        Ok(())
    }

    fn gone(&self, path: String) -> Result<()> {
        path::check(&path).map_err(|e| self.0.broke(e))?;
        self.0.state().vanished.add(&path);
        Ok(())
    }

    fn discard_under(&self, prefix: String) -> Result<()> {
        path::check(&prefix).map_err(|e| self.0.broke(e))?;
        self.0.state().unresolved.retain(|path, _| !path::is_under(path, &prefix));
        self.0.writer.discard_under(&prefix).map_err(|e| self.0.broke(e))
    }

    async fn previous(&self, path: String) -> Result<Option<Entry>> {
        Ok(self.0.find(&path).await?.map(|(_, stored)| stored.entry))
    }

    async fn previous_under(&self, prefix: String, after: Option<String>, max: usize) -> Result<Vec<Entry>> {
        let Some(reader) = self.0.previous_reader() else { return Ok(Vec::new()) };
        let page = reader.page(&prefix, after.as_deref(), max.min(PAGE_ENTRIES)).await?;
        Ok(page.into_iter().map(|stored| stored.entry).collect())
    }

    fn previous_attributes(&self) -> Vec<(String, String)> {
        self.0.previous_reader().map_or_else(Vec::new, |reader| reader.snapshot().attributes.clone())
    }

    fn set_attribute(&self, name: String, value: String) -> Result<()> {
        check_text("the name of an attribute", &name)?;
        check_text("the value of an attribute", &value)?;
        if name == MEASURE {
            Measure::check(&value)?;
        }
        let mut state = self.0.state();
        state.attributes.retain(|(known, _)| *known != name);
        push_bounded(&mut state.attributes, name, value, "attributes")
    }

    fn note(&self, text: String) {
        let mut state = self.0.state();
        match state.told.len() {
            0..NOTES => state.told.push(text),
            _ => state.untold += 1,
        }
    }

    fn progress(&self, done: u64, total: Option<u64>) {
        self.0.progress.set(done, total);
    }

    fn phase(&self, words: String) {
        self.0.progress.begin_phase(words);
    }
}
