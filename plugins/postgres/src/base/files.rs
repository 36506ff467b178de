//! Archives in, entries out. Small files go to the host many at a time; of large ones, pages are stored in chunks of one
//! length, so that a page that changed changes the chunk that it is in and no other.

use dozo_sdk::prelude::*;
use dozo_sdk::{Posix, SmallEntry, Timestamp};

use super::expected::{Expected, Lacking};
use super::notices::Notices;
use super::{MANIFEST, is_in_place, like};
use crate::chain::Damaged;
use crate::crc32c::Crc32c;
use crate::failure::Failure;
use crate::lsn::Lsn;
use crate::manifest::{Came, Manifest, Reader};
use crate::pages::{self, Pages};
use crate::server::Server;
use crate::tar::{Event, Kind as Member, Tar};

/// Chunks of relation files: whole pages.
const CHUNK_BYTES: u32 = 128 << 10;
/// Longer files have a writer of their own.
const SMALL_BYTES: u64 = 64 << 10;
/// Gathered before they go to the host.
const PIECE_BYTES: usize = 256 << 10;
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ENTRIES: usize = 256;
/// The only length of pages that there is, but for servers that somebody compiled anew.
const BLOCK_BYTES: u32 = 8192;
/// Files with damaged pages are named one by one as long as there are fewer; the rest is counted.
const DAMAGED: usize = 100;

/// Where archives go.
pub(super) struct Files<'a> {
    backup: &'a Backup,
    root: String,
    start: Lsn,
    tablespaces: Vec<(u32, String)>,
    pages_are_checked: bool,
    tar: Option<Tar>,
    /// What stands before a file's path: among the entries, and in the manifest.
    entry_prefix: String,
    manifest_prefix: String,
    open: Option<Open>,
    small: Vec<SmallEntry>,
    small_bytes: usize,
    /// Whom the server runs as, in all likelihood.
    system_user: Option<String>,
    /// Of the first file that came.
    owner: Option<Posix>,
    /// What the manifest is to list.
    came: Came,
    /// What the catalog names, and has not come yet.
    expected: Expected,
    /// On its way, and what has been read of it.
    manifest: Option<(Writer, Reader)>,
    pub(super) damaged: Vec<Damaged>,
    damaged_more: u64,
    /// Files that have come: the number of each is its version, since what is read in the order in which it was stored is read
    /// once.
    files: u64,
    pub(super) entries: u64,
    /// Bytes of files, the manifest not counted.
    pub(super) content_bytes: u64,
}

/// A file of which not all has come.
struct Open {
    path: String,
    manifest_path: Vec<u8>,
    size: u64,
    crc: Crc32c,
    pages: Option<Pages>,
    content: Content,
}

/// Where its bytes go.
enum Content {
    Small(Box<Entry>, Vec<u8>),
    Large(Writer, Vec<u8>),
}

impl<'a> Files<'a> {
    pub(super) fn begin(
        backup: &'a Backup,
        root: &str,
        (start, expected, tablespaces): (Lsn, Expected, &[(u32, String)]),
        server: &Server,
    ) -> Self {
        Files {
            backup,
            root: root.into(),
            start,
            tablespaces: tablespaces.to_vec(),
            pages_are_checked: server.checksums && server.block_bytes == BLOCK_BYTES,
            tar: None,
            entry_prefix: String::new(),
            manifest_prefix: String::new(),
            open: None,
            small: Vec::new(),
            small_bytes: 0,
            system_user: server.system_user.clone(),
            owner: None,
            came: Came::default(),
            expected,
            manifest: None,
            damaged: Vec::new(),
            damaged_more: 0,
            files: 0,
            entries: 0,
            content_bytes: 0,
        }
    }

    /// An archive begins: of a tablespace, or of the data directory.
    pub(super) fn archive(&mut self, tablespace: Option<u32>) -> Result<()> {
        self.end_archive()?;
        let root = &self.root;
        let in_place =
            |oid: u32| self.tablespaces.iter().any(|(known, location)| *known == oid && is_in_place(location));
        (self.entry_prefix, self.manifest_prefix) = match tablespace {
            None => (format!("{root}/data"), String::new()),
            // It is a directory of the data directory, and its archive is another one all the same.
            Some(oid) if in_place(oid) => (format!("{root}/data/pg_tblspc/{oid}"), format!("pg_tblspc/{oid}/")),
            Some(oid) => (format!("{root}/tablespaces/{oid}"), format!("pg_tblspc/{oid}/")),
        };
        tablespace.into_iter().for_each(|oid| self.expected.archive(oid));
        self.tar = Some(Tar::default());
        Ok(())
    }

    /// It ends, if there is one.
    pub(super) fn end_archive(&mut self) -> Result<()> {
        match self.tar.take() {
            Some(tar) => tar.finish(),
            None => Ok(()),
        }
    }

    /// The next bytes of the archive.
    pub(super) fn bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        let Some(mut tar) = self.tar.take() else {
            return Err(Error::Corrupt("the server sent bytes of no archive".into()));
        };
        while let Some(event) = tar.next(&mut bytes)? {
            match event {
                Event::Begin(member) => self.member(&member)?,
                Event::Data(bytes) => self.content(bytes)?,
                Event::End => self.end_file()?,
            }
        }
        self.tar = Some(tar);
        Ok(())
    }

    /// The next bytes of the manifest, which comes behind the archives. It is stored and compared while it passes.
    pub(super) fn manifest(&mut self, bytes: &[u8]) -> Result<()> {
        let (mut writer, mut reader) = match self.manifest.take() {
            Some(begun) => begun,
            None => {
                let entry = self.backup.file(format!("{}/{MANIFEST}", self.root)).posix(self.owner()?);
                self.entries += 1;
                (entry.create(), Reader::new(std::mem::take(&mut self.came)))
            }
        };
        reader.feed(bytes)?;
        writer.write_all(bytes)?;
        self.manifest = Some((writer, reader));
        Ok(())
    }

    /// Whether it has begun to come.
    pub(super) fn has_manifest(&self) -> bool {
        self.manifest.is_some()
    }

    /// What did not come.
    pub(super) fn lacking(
        &mut self,
        server: &mut Server,
        notices: &Notices,
        tolerate: &[String],
    ) -> Result<Lacking, Failure> {
        let expected = std::mem::take(&mut self.expected);
        expected.lacking(server, &self.root, (notices, &self.tablespaces), tolerate)
    }

    /// Owner and mode of the data directory's files.
    fn owner(&self) -> Result<Posix> {
        self.owner.clone().ok_or_else(|| Error::Corrupt("the server sent no file".into()))
    }

    /// All has come; what the manifest says. The data directory itself is in no archive.
    pub(super) fn finish(&mut self) -> Result<Manifest> {
        self.end_archive()?;
        let missing = || Error::Corrupt("the server sent no manifest".into());
        let (writer, reader) = self.manifest.take().ok_or_else(missing)?;
        let manifest = reader.finish()?;
        writer.finish()?;
        let owner = self.owner()?;
        let group_reads = owner.mode & 0o040 != 0;
        let posix = like(&owner, if group_reads { 0o750 } else { 0o700 });
        let path = format!("{}/data", self.root);
        self.put(Entry { posix: Some(posix), ..directory(path.clone(), None) })?;
        if self.damaged_more > 0 {
            let why = format!("{} more pages fail their checksums", self.damaged_more);
            self.damaged.push(Damaged { what: format!("{path} (other blocks)"), why });
        }
        self.flush()?;
        Ok(manifest)
    }

    fn member(&mut self, member: &crate::tar::Member) -> Result<()> {
        let names: Vec<String> = member.path.split(|byte| *byte == b'/').map(dozo_sdk::escape).collect();
        let path = format!("{}/{}", self.entry_prefix, names.join("/"));
        let modified = Timestamp { seconds: member.modified, nanoseconds: 0 };
        let posix = self.posix(member);
        let entry = match &member.kind {
            Member::Directory => directory(path, Some(modified)),
            Member::Symlink(target) => {
                Entry { kind: Kind::Symlink(target_of(target)), ..directory(path, Some(modified)) }
            }
            Member::File => return self.file(path, modified, posix, member),
        };
        self.put(Entry { posix: Some(posix), ..entry })
    }

    /// By number, and by name where that can be believed: on another machine the server's user has another number.
    fn posix(&self, member: &crate::tar::Member) -> Posix {
        let crate::tar::Member { mode, uid, gid, user, .. } = member;
        let user = self.system_user.clone().filter(|name| name.as_bytes() == user);
        let (mode, group) = (mode & 0o7777, user.clone());
        Posix { mode, uid: *uid, gid: *gid, user, group, xattrs: vec![], links: 1, sparse: false }
    }

    fn file(&mut self, path: String, modified: Timestamp, posix: Posix, member: &crate::tar::Member) -> Result<()> {
        self.owner.get_or_insert_with(|| posix.clone());
        let manifest_path = [self.manifest_prefix.as_bytes(), &member.path].concat();
        let relation = std::str::from_utf8(&manifest_path).ok().and_then(pages::relation_segment);
        let order = self.files.to_string();
        self.files += 1;
        let entry = Entry {
            kind: Kind::File,
            version: Some(order.clone()),
            size: Some(member.size),
            posix: Some(posix.clone()),
            ..directory(path.clone(), Some(modified))
        };
        let content = if member.size <= SMALL_BYTES {
            Content::Small(Box::new(entry), Vec::with_capacity(usize::try_from(member.size).unwrap_or(0)))
        } else {
            let file = self.backup.file(path.clone()).size(member.size).modified(modified).posix(posix).version(order);
            let file = if relation.is_some() { file.fixed_chunks(CHUNK_BYTES) } else { file };
            Content::Large(file.create(), Vec::with_capacity(PIECE_BYTES))
        };
        let pages = relation.filter(|_| self.pages_are_checked);
        let pages = pages.map(|segment| Pages::new(segment.wrapping_mul(pages::SEGMENT_PAGES), self.start.0));
        self.open = Some(Open { path, manifest_path, size: member.size, crc: Crc32c::new(), pages, content });
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        self.content_bytes += bytes.len() as u64;
        open.crc.update(bytes);
        if let Some(pages) = &mut open.pages {
            pages.update(bytes);
        }
        match &mut open.content {
            Content::Small(_, content) => content.extend_from_slice(bytes),
            Content::Large(writer, piece) => {
                piece.extend_from_slice(bytes);
                if piece.len() >= PIECE_BYTES {
                    writer.write_all(piece)?;
                    piece.clear();
                }
            }
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { path, manifest_path, size, crc, pages, content } = open;
        match content {
            Content::Small(entry, content) => {
                self.small_bytes += content.len();
                self.small.push(SmallEntry { entry: *entry, content });
                self.flush_if_full()?;
            }
            Content::Large(mut writer, piece) => {
                writer.write_all(&piece)?;
                writer.finish()?;
            }
        }
        self.entries += 1;
        self.expected.came(&manifest_path);
        self.came.push(&manifest_path, size, crc.finish());
        if let Some(pages) = pages {
            self.judge(&path, pages);
        }
        Ok(())
    }

    /// Names the pages that fail their checksums.
    fn judge(&mut self, path: &str, pages: Pages) {
        let checked = pages.finish();
        if checked.bad_count > 0 && self.damaged.len() >= DAMAGED {
            self.damaged_more += checked.bad_count;
            return;
        }
        for page in &checked.bad {
            let why = format!(
                "damaged at the server, and backed up as it is: the page's checksum is {:04X}, and it says {:04X}; once it is \
                 mended there, `dozo run --full` makes complete snapshots again",
                page.expected, page.found
            );
            self.damaged.push(Damaged { what: format!("{path} (block {})", page.block), why });
        }
        self.damaged_more += checked.bad_count - checked.bad.len() as u64;
    }

    fn put(&mut self, entry: Entry) -> Result<()> {
        self.entries += 1;
        self.small.push(SmallEntry { entry, content: vec![] });
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.small.len() >= BATCH_ENTRIES || self.small_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.small_bytes = 0;
        self.backup.put_small(&std::mem::take(&mut self.small))
    }
}

fn directory(path: String, modified: Option<Timestamp>) -> Entry {
    Entry { path, kind: Kind::Directory, size: None, modified, version: None, posix: None, attributes: vec![] }
}

fn target_of(target: &[u8]) -> String {
    let names = target
        .split(|byte| *byte == b'/')
        .map(|name| if name.is_empty() { String::new() } else { dozo_sdk::escape(name) });
    names.collect::<Vec<_>>().join("/")
}
