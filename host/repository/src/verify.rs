//! Verification: what the repository holds against what it says it holds. A restore without a plugin.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::{self, StreamExt};

use crate::content::Extents;
use crate::entry::StoredEntry;
use crate::error::{Error, Kind, Result};
use crate::format::name::PackKind;
use crate::format::pack::decompress;
use crate::id::{ChunkId, ObjectId};
use crate::index::{Index, IndexedPack, Location};
use crate::keys::ReadKeys;
use crate::limits::{FRAME_BYTES_MAX, PACK_BYTES_MAX};
use crate::reader::SnapshotReader;
use crate::seal;
use crate::view::{Problem, View};

/// Packs verified at once: each takes up to three times its length in memory.
const PACKS_AT_ONCE: usize = 2;
/// Damaged entries that a verification names; the rest are counted.
const ENTRIES_NAMED_MAX: usize = 1_000;

/// How deep to look.
pub enum Depth<'a> {
    /// Snapshots, manifests, indexes, and that every pack is there with its length. No content is read.
    Structure,
    /// Also that every pack has the digest that it is named by: finds rot without any key.
    Scrub(Sample),
    /// Also that every chunk decrypts, decodes and has its id: proves that it can be restored.
    Data(Sample, &'a ReadKeys),
}

/// Which packs to read.
#[derive(Clone, Copy, Debug)]
pub enum Sample {
    /// Every one.
    All,
    /// About so many in a hundred; another seed takes others.
    Percent(u8, u64),
}

impl Sample {
    fn takes(self, pack: &ObjectId) -> bool {
        let Sample::Percent(percent, seed) = self else { return true };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(&pack.0);
        let draw = u32::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 4]));
        draw % 100 < u32::from(percent)
    }
}

/// How far a verification is; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct VerifyCounters {
    /// Entries held against the index.
    pub entries: AtomicU64,
    /// Packs read.
    pub packs: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Entries looked at, those of unchanged segments once.
    pub entries: u64,
    /// Packs that the indexes name and the store holds.
    pub packs: u64,
    /// Packs read.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// Objects that are damaged or missing.
    pub problems: Vec<Problem>,
    /// Entries that cannot be restored whole: snapshot, path, why. The first 1,000.
    pub damaged: Vec<(ObjectId, String, String)>,
    /// How many in all.
    pub damaged_count: u64,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.damaged_count == 0
    }
}

/// Verifies all that the view shows.
///
/// # Errors
/// Only if the store does not answer or a key is missing; what is damaged is found, not an error.
pub async fn verify(view: &View, depth: Depth<'_>, counters: &VerifyCounters) -> Result<Findings> {
    let mut findings = Findings { problems: view.problems().to_vec(), ..Findings::default() };
    findings.problems.extend(view.repository().check_indexes(&view.packs.unread).await?);
    findings.packs = view.index().packs().len() as u64;
    let broken = match depth {
        Depth::Structure => HashSet::new(),
        Depth::Scrub(sample) => read_packs(view, sample, None, counters, &mut findings).await?,
        Depth::Data(sample, keys) => read_packs(view, sample, Some(keys), counters, &mut findings).await?,
    };
    // A segment that several snapshots share is looked at once, unless it touches damage.
    let mut sound: HashSet<ChunkId> = HashSet::new();
    for (id, snapshot) in view.snapshots() {
        findings.snapshots += 1;
        let reader = view.reader(*id, snapshot.clone());
        for (number, segment) in reader.manifest().segments().iter().enumerate() {
            if sound.contains(&segment.chunk) {
                continue;
            }
            let damaged_before = findings.damaged_count;
            check_segment(view, &reader, number, &broken, &mut findings).await?;
            counters.entries.store(findings.entries, Ordering::Relaxed);
            if findings.damaged_count == damaged_before {
                sound.insert(segment.chunk);
            }
        }
    }
    Ok(findings)
}

async fn check_segment(
    view: &View,
    reader: &SnapshotReader,
    number: usize,
    broken: &HashSet<ChunkId>,
    findings: &mut Findings,
) -> Result<()> {
    let entries = match reader.manifest().segment(number).await {
        Ok(entries) => entries,
        Err(why) if why.kind() == Kind::Corrupt => {
            let segment = &reader.manifest().segments()[number];
            findings.damaged_count += u64::from(segment.entries).max(1);
            let from = if segment.first.is_empty() { "(the end)".into() } else { format!("{} and on", segment.first) };
            name_damaged(findings, reader.id(), from, why.chain());
            return Ok(());
        }
        Err(why) => return Err(why),
    };
    for stored in entries.iter() {
        findings.entries += 1;
        if let Some(why) = check_entry(view.index(), reader, stored, broken).await? {
            findings.damaged_count += 1;
            name_damaged(findings, reader.id(), stored.entry.path.clone(), why);
        }
    }
    Ok(())
}

/// Why an entry cannot be restored whole, if so.
async fn check_entry(
    index: &Index,
    reader: &SnapshotReader,
    stored: &StoredEntry,
    broken: &HashSet<ChunkId>,
) -> Result<Option<String>> {
    let mut extents = Extents::new(reader.catalog().clone(), &stored.content);
    loop {
        let extent = match extents.next().await {
            Ok(Some(extent)) => extent,
            Ok(None) => return Ok(None),
            Err(why) if why.kind() == Kind::Corrupt => return Ok(Some(why.chain())),
            Err(why) => return Err(why),
        };
        let short = extent.chunk.short();
        match index.get(&extent.chunk)? {
            None => return Ok(Some(format!("chunk {short} is in no pack of the repository"))),
            Some(location) if extent.offset + extent.length > location.length => {
                return Ok(Some(format!("an extent reaches beyond chunk {short}")));
            }
            Some(_) if broken.contains(&extent.chunk) => return Ok(Some(format!("chunk {short} is damaged"))),
            Some(_) => {}
        }
    }
}

fn name_damaged(findings: &mut Findings, snapshot: ObjectId, path: String, why: String) {
    if findings.damaged.len() < ENTRIES_NAMED_MAX {
        findings.damaged.push((snapshot, path, why));
    }
}

/// Reads packs; returns the chunks that came out damaged.
async fn read_packs(
    view: &View,
    sample: Sample,
    keys: Option<&ReadKeys>,
    counters: &VerifyCounters,
    findings: &mut Findings,
) -> Result<HashSet<ChunkId>> {
    let packs = view.index().packs().iter().enumerate().filter(|(_, pack)| sample.takes(&pack.id));
    let mut broken = HashSet::new();
    for batch in view.index().batches(packs.map(|(number, _)| number as u32)) {
        broken.extend(read_batch(view, batch, keys, counters, findings).await?);
    }
    Ok(broken)
}

/// So many packs as the index tells of at once.
async fn read_batch(
    view: &View,
    packs: HashSet<u32>,
    keys: Option<&ReadKeys>,
    counters: &VerifyCounters,
    findings: &mut Findings,
) -> Result<Vec<ChunkId>> {
    let index = view.index().clone();
    let (packs, mut by_pack) = crate::pipeline::blocking(move || {
        let by_pack = index.chunks_of(&packs)?;
        Ok((packs, by_pack))
    })
    .await?;
    let chosen =
        packs.into_iter().map(|number| (view.index().pack(number), by_pack.remove(&number).unwrap_or_default()));
    let mut reads = stream::iter(chosen.map(|(pack, chunks)| async move {
        let ids: Vec<ChunkId> = chunks.iter().map(|(_, id)| *id).collect();
        let result = read_pack(view, pack, chunks, keys).await;
        counters.packs.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(pack.bytes, Ordering::Relaxed);
        (pack, ids, result)
    }))
    .buffer_unordered(PACKS_AT_ONCE);
    let mut broken = Vec::new();
    while let Some((pack, ids, result)) = reads.next().await {
        findings.packs_read += 1;
        findings.bytes_read += pack.bytes;
        match result {
            Ok(()) => {}
            Err(why) if why.kind() == Kind::Corrupt => {
                findings.problems.push(Problem { object: pack.kind.object(&pack.id), why });
                broken.extend(ids);
            }
            Err(why) => return Err(why),
        }
    }
    Ok(broken)
}

/// Reads a pack and checks every chunk that is read from it.
pub(crate) async fn read_pack(
    view: &View,
    pack: &IndexedPack,
    chunks: Vec<(Location, ChunkId)>,
    keys: Option<&ReadKeys>,
) -> Result<()> {
    let repository = view.repository();
    let sealed = repository.store().get(&pack.kind.object(&pack.id), PACK_BYTES_MAX).await?;
    let (id, kind) = (pack.id, pack.kind);
    let identities = match (kind, keys) {
        (PackKind::Catalog, _) => vec![repository.key().catalog.clone()],
        (PackKind::Data, Some(keys)) => keys.data.clone(),
        (PackKind::Data, None) => Vec::new(),
    };
    let keyring = repository.keyring().clone();
    crate::pipeline::blocking(move || {
        if ObjectId::of(&sealed) != id {
            return Err(Error::corrupt("its bytes do not have the digest that it is named by"));
        }
        if identities.is_empty() {
            return Ok(());
        }
        let identities: Vec<&dyn age::Identity> = identities.iter().map(|i| i as _).collect();
        let plaintext = seal::open(&sealed, &identities, PACK_BYTES_MAX as usize)?;
        for of_frame in chunks.chunk_by(|(a, _), (b, _)| a.frame == b.frame) {
            let frame = of_frame[0].0.frame;
            let start = frame.start as usize;
            let compressed = plaintext.get(start..start + frame.bytes as usize);
            let plain = decompress(compressed.ok_or_else(|| Error::corrupt("it is too short"))?, FRAME_BYTES_MAX)?;
            for (location, id) in of_frame {
                let (start, end) = (location.offset as usize, (location.offset + location.length) as usize);
                if plain.get(start..end).is_none_or(|chunk| keyring.chunk_id(kind, chunk) != *id) {
                    return Err(Error::corrupt(format!("chunk {} is not what its id says", id.short())));
                }
            }
        }
        Ok(())
    })
    .await
}
