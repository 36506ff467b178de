//! The index entry of a pack from the pack itself. Its trailer says where to look; what is believed is what was decoded and has
//! its id. FORMAT.md section 7.

use crate::copy::read_proven;
use crate::error::{Error, Result};
use crate::format::index::PackEntry;
use crate::format::name::PackKind;
use crate::format::pack::read_trailer;
use crate::frame::Decoder;
use crate::id::ObjectId;
use crate::keys::{Keyring, ReadKeys};
use crate::limits::PACK_BYTES_MAX;
use crate::pack::check_frame;
use crate::pipeline::blocking;
use crate::repository::Repository;
use crate::seal::{self, Sealed};

/// What is in a pack; none if it is gone.
///
/// # Errors
/// [`Corrupt`](crate::Kind::Corrupt) if its trailer does not tell the truth, [`Denied`](crate::Kind::Denied) without the keys.
pub(super) async fn entry_of(
    repository: &Repository,
    kind: PackKind,
    id: ObjectId,
    keys: Option<&ReadKeys>,
) -> Result<Option<PackEntry>> {
    let Some(sealed) = read_proven(repository.store(), &kind.object(&id)).await? else { return Ok(None) };
    entry_from(repository, kind, sealed, keys).await.map(Some)
}

/// The same of a pack in memory.
pub(super) async fn entry_from(
    repository: &Repository,
    kind: PackKind,
    sealed: Sealed,
    keys: Option<&ReadKeys>,
) -> Result<PackEntry> {
    let identities = match (kind, keys) {
        (PackKind::Catalog, _) => vec![repository.key().catalog.clone()],
        (PackKind::Data, Some(keys)) => keys.data.clone(),
        (PackKind::Data, None) => return Err(Error::denied("a data pack opens with an owner's keys alone")),
    };
    let keyring = repository.keyring().clone();
    blocking(move || {
        let identities: Vec<&dyn age::Identity> = identities.iter().map(|i| i as _).collect();
        read(&sealed, kind, &identities, &keyring)
    })
    .await
}

fn read(sealed: &Sealed, kind: PackKind, identities: &[&dyn age::Identity], keyring: &Keyring) -> Result<PackEntry> {
    let plaintext = seal::open(sealed.bytes(), identities, PACK_BYTES_MAX as usize)?;
    let frames = read_trailer(&plaintext)?;
    let (mut rest, mut decoder) = (plaintext.as_slice(), Decoder::new()?);
    for entry in &frames {
        let short = || Error::corrupt("the pack is shorter than its frames");
        let (compressed, tail) = rest.split_at_checked(entry.bytes as usize).ok_or_else(short)?;
        check_frame(decoder.open(compressed, entry)?, entry, kind, keyring)?;
        rest = tail;
    }
    Ok(PackEntry { pack: sealed.id(), kind, bytes: sealed.bytes().len() as u64, frames })
}
