//! The snapshot in the making.

use std::io::Write as _;

use crate::bindings::dozo::plugin::snapshot;
use crate::writer::Writer;
use crate::{Chunking, Content, ContentEntry, Entry, Error, Kind, Posix, Result, Scope, SmallEntry, Timestamp};

/// A question of the operator's, to be answered inside the backup's own view of the data where the source can.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// The question, in the source's own language.
    pub question: String,
}

/// What [`Source::backup`](crate::Source::backup) writes to.
pub struct Backup {
    /// All of the source, or what is new since the previous snapshot.
    pub scope: Scope,
    /// Questions to answer.
    pub probes: Vec<Probe>,
}

impl Backup {
    /// What this source is, so that another's history is never taken for its own. Before anything else; without it there
    /// is no previous snapshot.
    pub fn identify(&self, identity: &str) -> Result<()> {
        snapshot::identify(identity)
    }

    /// The answer to a probe.
    pub fn answer(&self, probe: &Probe, value: &str) -> Result<()> {
        snapshot::answer(&probe.name, value)
    }

    /// Why a probe is not answered: a note for the operator, and the backup goes on.
    pub fn unanswered(&self, probe: &Probe, why: &Error) -> Result<()> {
        snapshot::unanswered(&probe.name, why)
    }

    /// Begins a file; the path is of escaped names ([`crate::escape`]).
    pub fn file(&self, path: impl Into<String>) -> EntryBuilder {
        EntryBuilder { entry: plain(path.into(), Kind::File), chunking: Chunking::Content }
    }

    /// An entry without content.
    pub fn put(&self, entry: Entry) -> Result<()> {
        self.put_small(&[SmallEntry { entry, content: vec![] }])
    }

    /// Small entries, whole, in one call.
    pub fn put_small(&self, batch: &[SmallEntry]) -> Result<()> {
        snapshot::put_small(batch)
    }

    /// Entries whose content the host holds, in one call; the host reads several at a time. One that could not be read
    /// is to be omitted or put again.
    pub fn put_contents(&self, batch: Vec<ContentEntry>) -> Vec<Result<u64>> {
        snapshot::put_contents(batch)
    }

    /// The entry is as the previous snapshot has it.
    pub fn keep(&self, path: &str) -> Result<()> {
        snapshot::keep(path)
    }

    /// Takes over those of these entries that the previous snapshot has with the same kind, size, time and version, as they
    /// are here, with the content that is stored. Tells of each whether it was; the others are to be put. Many in one call: that
    /// costs a tenth of [`keep`](Backup::keep).
    pub fn keep_unchanged(&self, batch: &[Entry]) -> Result<Vec<bool>> {
        snapshot::keep_unchanged(batch)
    }

    /// All entries at and under a prefix, of which there must be as many as expected.
    pub fn keep_under(&self, prefix: &str, expected: u64) -> Result<()> {
        snapshot::keep_under(prefix, expected)
    }

    /// Something that should be here could not be read: the snapshot will be partial and say so.
    pub fn omit(&self, path: &str, why: &Error) -> Result<()> {
        snapshot::omit(path, why)
    }

    /// The same of something that the configuration says may be missing: a note.
    pub fn tolerate(&self, path: &str, why: &Error) -> Result<()> {
        snapshot::tolerate(path, why)
    }

    /// Something was there when the source was listed, and was gone when it was to be read.
    pub fn vanished(&self, path: &str) -> Result<()> {
        snapshot::vanished(path)
    }

    /// Nothing at and under this path becomes part of the snapshot, whatever of it was put before or is put later: a part of the
    /// source could not be read to its end, and the rest is worth a snapshot. Say what is missing with [`omit`](Backup::omit).
    pub fn discard_under(&self, prefix: &str) -> Result<()> {
        snapshot::discard_under(prefix)
    }

    /// What the previous snapshot has under a path, if its content can be kept.
    pub fn previous(&self, path: &str) -> Option<Entry> {
        snapshot::previous(path)
    }

    /// At most `max` (and at most 1,024) of what the previous snapshot has at and under a path, in order, after `after`.
    pub fn previous_under(&self, prefix: &str, after: Option<&str>, max: u32) -> Vec<Entry> {
        snapshot::previous_under(prefix, after, max)
    }

    /// Takes an entry over from the previous snapshot if that has it with this version, and the operator did not ask for
    /// everything to be read. Returns whether it did; otherwise the entry is to be read.
    ///
    /// ```no_run
    /// # fn backup(backup: dozo_sdk::Backup, objects: Vec<(String, String)>) -> dozo_sdk::Result<()> {
    /// for (name, etag) in objects {
    ///     let path = dozo_sdk::escape(&name);
    ///     if backup.keep_if_unchanged(&path, &etag)? {
    ///         continue;
    ///     }
    ///     let mut writer = backup.file(path).version(etag).create();
    ///     // … the object's bytes …
    ///     writer.finish()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_if_unchanged(&self, path: &str, version: &str) -> Result<bool> {
        if self.scope == Scope::Full {
            return Ok(false);
        }
        let unchanged = self.previous(path).is_some_and(|entry| entry.version.as_deref() == Some(version));
        if unchanged {
            self.keep(path)?;
        }
        Ok(unchanged)
    }

    /// An attribute of the previous snapshot.
    pub fn previous_attribute(&self, name: &str) -> Option<String> {
        snapshot::previous_attributes().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A fact that restore or the next run needs.
    pub fn set_attribute(&self, name: &str, value: &str) {
        snapshot::set_attribute(name, value);
    }

    /// What the operator should know of this run, beside what is missing; it stands in the report.
    pub fn note(&self, text: &str) {
        snapshot::note(text);
    }

    /// How far it is, in the source's own measure.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        snapshot::progress(done, total);
    }

    /// What the source is doing, in a few words, for the person who watches.
    pub fn phase(&self, words: &str) {
        snapshot::phase(words);
    }
}

fn plain(path: String, kind: Kind) -> Entry {
    Entry { path, kind, size: None, modified: None, version: None, posix: None, attributes: vec![] }
}

/// An entry with content, before its first byte.
pub struct EntryBuilder {
    entry: Entry,
    chunking: Chunking,
}

impl EntryBuilder {
    /// Bytes of content, as far as the source knows.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.entry.size = Some(bytes);
        self
    }

    /// When the content last changed.
    #[must_use]
    pub fn modified(mut self, time: Timestamp) -> Self {
        self.entry.modified = Some(time);
        self
    }

    /// Whatever tells that the content is unchanged: an ETag, an LSN.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.entry.version = Some(version.into());
        self
    }

    /// Owner, mode and extended attributes.
    #[must_use]
    pub fn posix(mut self, posix: Posix) -> Self {
        self.entry.posix = Some(posix);
        self
    }

    /// Anything else that a restore needs.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.entry.attributes.push((name.into(), value.into()));
        self
    }

    /// Chunks of so many bytes, 64 KiB to 4 MiB, instead of where the content says.
    #[must_use]
    pub fn fixed_chunks(mut self, bytes: u32) -> Self {
        self.chunking = Chunking::Fixed(bytes);
        self
    }

    /// The whole content in one call, if the plugin has it. Returns its length.
    pub fn write(self, bytes: &[u8]) -> Result<u64> {
        let mut writer = self.create();
        writer.write_all(bytes)?;
        writer.finish()
    }

    /// Opens the entry for writing. What is wrong with it, if anything is, the first write tells.
    pub fn create(self) -> Writer {
        Writer::new(snapshot::Writer::new(&self.entry, self.chunking))
    }

    /// The whole content in one call, without a detour through the plugin. Returns how many bytes it had.
    pub fn copy_from(self, content: Content) -> Result<u64> {
        let mut writer = self.create();
        writer.append(content)?;
        writer.finish()
    }
}
