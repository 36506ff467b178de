//! Reading packs: their digests, and with keys every chunk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::stream::{self, StreamExt};

use super::{BadPack, Depth, Findings, Needs, Sample, VerifyCounters};
use crate::error::{Error, Kind, Result};
use crate::format::name::PackKind;
use crate::frame::Decoder;
use crate::id::{ChunkId, ObjectId};
use crate::index::{IndexedPack, Location, PackState};
use crate::keys::{Keyring, ReadKeys};
use crate::limits::PACK_BYTES_MAX;
use crate::pipeline::blocking;
use crate::seal;
use crate::view::View;

/// Packs verified at once: each takes up to three times its length in memory.
const PACKS_AT_ONCE: usize = 2;

/// What is read from a pack, in the order in which it lies.
type Chunks = Vec<(Location, ChunkId)>;

/// How the word on a pack begins that is as it was stored, and useless: no mirror can help.
pub(crate) const UNDECODABLE: &str = "its digest is right, and its content is not";

/// Packs that an index names, and that are missing or of another length.
pub(crate) fn absent(view: &View) -> Vec<BadPack> {
    let whys: HashMap<&str, &Error> = view.problems().iter().map(|p| (p.object.as_str(), &p.why)).collect();
    let bad = view.index().absent().iter().filter_map(|pack| {
        let why = whys.get(pack.kind.object(&pack.id).as_str())?;
        Some(BadPack { kind: pack.kind, id: pack.id, why: (*why).clone() })
    });
    bad.collect()
}

/// Reads packs; returns those that are damaged, and those that are not read and that a damage document names.
pub(super) async fn read(
    view: &View,
    depth: Depth<'_>,
    only: Option<&Needs>,
    counters: &VerifyCounters,
    findings: &mut Findings,
) -> Result<Vec<(u32, BadPack)>> {
    let (chosen, unread) = chosen(view, depth, only);
    if only.is_none() && matches!(depth.sample(), Some(Sample::Percent(..))) {
        findings.read_to = chosen.last().map(|(pack, _)| pack.id);
    }
    let known: HashMap<ObjectId, &str> = view.damage().map(|(_, id, why)| (id, why)).collect();
    let mut bad: Vec<(u32, BadPack)> = unread
        .into_iter()
        .filter_map(|(pack, number)| {
            let why = Error::corrupt(format!("it was found damaged before: {}", known.get(&pack.id)?));
            Some((number, BadPack { kind: pack.kind, id: pack.id, why }))
        })
        .collect();
    for batch in view.index().batches(chosen.into_iter().map(|(_, number)| number)) {
        bad.extend(read_batch(view, batch, depth.keys(), counters, findings).await?);
    }
    Ok(bad)
}

type Numbered<'a> = Vec<(&'a IndexedPack, u32)>;

/// Packs that are read, and those that are only looked for.
pub(super) fn chosen<'a>(view: &'a View, depth: Depth<'_>, only: Option<&Needs>) -> (Numbered<'a>, Numbered<'a>) {
    let of_interest = |number: u32| only.is_none_or(|needs| needs.reaches(number));
    let packs = view.index().packs().iter().zip(0..).filter(|(_, number)| of_interest(*number)).collect();
    match depth.sample() {
        None => (Vec::new(), packs),
        Some(sample) => sample.divide(packs, |(pack, _)| pack.id),
    }
}

/// So many packs as the index tells of at once.
async fn read_batch(
    view: &View,
    packs: HashSet<u32>,
    keys: Option<&ReadKeys>,
    counters: &VerifyCounters,
    findings: &mut Findings,
) -> Result<Vec<(u32, BadPack)>> {
    let index = view.index().clone();
    let (packs, mut by_pack) = blocking(move || {
        let by_pack = index.chunks_of(&packs)?;
        Ok((packs, by_pack))
    })
    .await?;
    let chosen = packs.into_iter().map(|number| (number, Arc::new(by_pack.remove(&number).unwrap_or_default())));
    let mut reads = stream::iter(chosen.map(|(number, chunks)| async move {
        let pack = view.index().pack(number);
        let result = read_twice(view, pack, chunks, keys).await;
        counters.packs.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(pack.bytes, Ordering::Relaxed);
        (pack, number, result)
    }))
    .buffer_unordered(PACKS_AT_ONCE);
    let mut bad = Vec::new();
    while let Some((pack, number, result)) = reads.next().await {
        findings.packs_read += 1;
        findings.bytes_read += pack.bytes;
        match result {
            Ok(()) => {}
            Err(why) if why.kind() == Kind::Corrupt => {
                if !was_pruned(view, pack).await? {
                    bad.push((number, BadPack { kind: pack.kind, id: pack.id, why }));
                }
            }
            Err(why) => return Err(why),
        }
    }
    Ok(bad)
}

/// Whether a pack was condemned, and a prune has deleted it since the view was taken.
async fn was_pruned(view: &View, pack: &IndexedPack) -> Result<bool> {
    let condemned = pack.state == PackState::Condemned;
    Ok(condemned && view.repository().store().find(&pack.kind.object(&pack.id)).await?.is_none())
}

/// What comes out damaged is read once more: a line that broke must not pass for rot.
async fn read_twice(view: &View, pack: &IndexedPack, chunks: Arc<Chunks>, keys: Option<&ReadKeys>) -> Result<()> {
    match read_pack(view, pack, chunks.clone(), keys).await {
        Err(why) if why.kind() == Kind::Corrupt => read_pack(view, pack, chunks, keys).await,
        read => read,
    }
}

/// Reads a pack and checks its digest; with keys also that every one of these chunks decrypts, decodes and has its id.
pub(crate) async fn read_pack(
    view: &View,
    pack: &IndexedPack,
    chunks: Arc<Chunks>,
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
    blocking(move || {
        if ObjectId::of(&sealed) != id {
            return Err(Error::corrupt("its bytes do not have the digest that it is named by"));
        }
        if identities.is_empty() {
            return Ok(());
        }
        check_content(&sealed, kind, &identities, &chunks, &keyring).map_err(|e| match e.kind() {
            Kind::Corrupt => e.context(UNDECODABLE),
            _ => e,
        })
    })
    .await
}

/// Decodes what is read from a pack, and compares every chunk with its id.
fn check_content(
    sealed: &[u8],
    kind: PackKind,
    identities: &[age::x25519::Identity],
    chunks: &[(Location, ChunkId)],
    keyring: &Keyring,
) -> Result<()> {
    let identities: Vec<&dyn age::Identity> = identities.iter().map(|i| i as _).collect();
    let plaintext = seal::open(sealed, &identities, PACK_BYTES_MAX as usize)?;
    let mut decoder = Decoder::new()?;
    for of_frame in chunks.chunk_by(|(a, _), (b, _)| a.frame == b.frame) {
        let frame = of_frame[0].0.frame;
        let start = frame.start as usize;
        let compressed = plaintext.get(start..start + frame.bytes as usize);
        let plain = decoder.decode(compressed.ok_or_else(|| Error::corrupt("it is too short"))?)?;
        for (location, id) in of_frame {
            let (start, end) = (location.offset as usize, (location.offset + location.length) as usize);
            if plain.get(start..end).is_none_or(|chunk| keyring.chunk_id(kind, chunk) != *id) {
                return Err(Error::corrupt(format!("chunk {} is not what its id says", id.short())));
            }
        }
    }
    Ok(())
}
