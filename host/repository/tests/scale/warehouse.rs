//! A store whose listing shows packs that it does not hold: as many as no test could write. All else is as it should be:
//! the indexes that name them are sealed documents in a directory. Counts what is read.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path as Directory;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dozo_repository::format::index::{PackEntry, to_body};
use dozo_repository::format::name::PackKind;
use dozo_repository::format::pack::FrameEntry;
use dozo_repository::{ChunkId, HostKey, ObjectId};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// Packs that one run names in one index.
const PACKS_PER_INDEX: u32 = 64;
/// Chunks of a pack.
pub(crate) const CHUNKS_PER_PACK: u32 = 16;
pub(crate) const CHUNK_BYTES: u32 = 1 << 20;
const PACK_BYTES: u64 = (CHUNK_BYTES * CHUNKS_PER_PACK) as u64;

#[derive(Debug)]
pub(crate) struct Warehouse {
    inner: LocalFileSystem,
    packs: u32,
    indexes_read: Arc<AtomicU64>,
}

fn name(of: &str, pack: u32, number: u32) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(of.as_bytes()).update(&pack.to_le_bytes()).update(&number.to_le_bytes());
    hasher.finalize().into()
}

pub(crate) fn chunk(pack: u32, number: u32) -> ChunkId {
    ChunkId(name("chunk", pack, number))
}

fn pack_id(pack: u32) -> ObjectId {
    ObjectId(name("pack", pack, 0))
}

fn entry(pack: u32) -> PackEntry {
    let frame = |number| FrameEntry { bytes: CHUNK_BYTES - 1_000, chunks: vec![(chunk(pack, number), CHUNK_BYTES)] };
    PackEntry {
        pack: pack_id(pack),
        kind: PackKind::Data,
        bytes: PACK_BYTES,
        frames: (0..CHUNKS_PER_PACK).map(frame).collect(),
    }
}

impl Warehouse {
    pub(crate) fn new(directory: &Directory, packs: u32) -> (Self, Arc<AtomicU64>) {
        let (inner, indexes_read) = (LocalFileSystem::new_with_prefix(directory).unwrap(), Arc::new(AtomicU64::new(0)));
        (Warehouse { inner, packs, indexes_read: indexes_read.clone() }, indexes_read)
    }

    fn shown(pack: u32) -> ObjectMeta {
        ObjectMeta {
            location: PackKind::Data.object(&pack_id(pack)).into(),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: PACK_BYTES,
            e_tag: None,
            version: None,
        }
    }
}

/// Writes the indexes of all packs; returns how many.
pub(crate) fn write_indexes(directory: &Directory, key: &HostKey, packs: u32) -> u64 {
    let key: serde_json::Value = serde_json::from_str(&key.to_text()).unwrap();
    let secret = hex::decode(key["secret"].as_str().unwrap()).unwrap();
    let catalog: age::x25519::Identity = key["catalog_identity"].as_str().unwrap().parse().unwrap();
    let mac_key = blake3::derive_key("dozo 2026-11 document mac", &secret);
    fs::create_dir_all(directory.join("index")).unwrap();
    let mut indexes = 0;
    for first in (0..packs).step_by(PACKS_PER_INDEX as usize) {
        let entries: Vec<PackEntry> = (first..(first + PACKS_PER_INDEX).min(packs)).map(entry).collect();
        let sealed = age::encrypt(&catalog.to_public(), &plain(&mac_key, &to_body(&entries))).unwrap();
        fs::write(directory.join("index").join(ObjectId::of(&sealed).to_string()), sealed).unwrap();
        indexes += 1;
    }
    indexes
}

/// A document as FORMAT.md section 6 has it.
fn plain(mac_key: &[u8; 32], body: &[u8]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_keyed(mac_key);
    for part in ["index", "index/"] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mac = hasher.update(body).finalize();
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressor.include_checksum(true).unwrap();
    let mut plain = compressor.compress(body).unwrap();
    plain.extend(0x184D_2A5Du32.to_le_bytes());
    plain.extend(40u32.to_le_bytes());
    plain.extend(b"dozo-mac");
    plain.extend(mac.as_bytes());
    plain
}

impl fmt::Display for Warehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("warehouse")
    }
}

#[async_trait]
impl ObjectStore for Warehouse {
    async fn put_opts(&self, name: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(name, payload, options).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unimplemented!("packs are put in one call")
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        self.indexes_read.fetch_add(u64::from(name.as_ref().starts_with("index/")), Ordering::Relaxed);
        self.inner.get_opts(name, options).await
    }

    async fn get_ranges(&self, _: &Path, _: &[Range<u64>]) -> Result<Vec<Bytes>> {
        unimplemented!("objects are read whole")
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(names)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let shown = if prefix.is_some_and(|prefix| prefix.as_ref() == "packs") { self.packs } else { 0 };
        self.inner.list(prefix).chain(stream::iter((0..shown).map(|pack| Ok(Warehouse::shown(pack))))).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unimplemented!("listings are whole")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unimplemented!("nothing is copied")
    }
}
