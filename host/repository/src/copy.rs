//! An object on its way from one store to another: read whole, compared with the digest in its name, and only then put. Knows
//! no keys and opens nothing.

use std::collections::HashMap;

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::format::name::{PackKind, parse_document, parse_key, parse_pack};
use crate::id::ObjectId;
use crate::limits::{INDEX_BODY_MAX, KEY_BODY_MAX, LEASE_BODY_MAX, PACK_BYTES_MAX, RECORD_BODY_MAX, SNAPSHOT_BODY_MAX};
use crate::pipeline::blocking;
use crate::seal::Sealed;
use crate::store::Store;

/// The object of this name, if it is there, and is what its name says. What comes out wrong is read once more: a line that
/// broke must not pass for rot.
///
/// # Errors
/// [`Corrupt`](Kind::Corrupt) if its bytes do not have the digest in the name, or end early.
pub(crate) async fn read_proven(store: &Store, name: &str) -> Result<Option<Sealed>> {
    match read_once(store, name).await {
        Err(why) if why.kind() == Kind::Corrupt => read_once(store, name).await,
        read => read,
    }
}

async fn read_once(store: &Store, name: &str) -> Result<Option<Sealed>> {
    let Some(bytes) = store.get_if_there(name, bytes_max(name)?).await? else { return Ok(None) };
    let name = name.to_string();
    blocking(move || prove(&name, bytes)).await.map(Some)
}

fn prove(name: &str, bytes: Bytes) -> Result<Sealed> {
    match id_of(name) {
        Some(id) => Sealed::found(bytes, id),
        None => Sealed::found_key(bytes),
    }
}

/// The digest in a name; none for a key document.
fn id_of(name: &str) -> Option<ObjectId> {
    parse_pack(name).map(|(_, id)| id).or_else(|_| parse_document(name).map(|(_, id)| id)).ok()
}

/// How long an object may be that is copied.
fn bytes_max(name: &str) -> Result<u64> {
    let document = parse_document(name).is_ok();
    let max = match name.split('/').next() {
        Some("packs" | "catalog") if parse_pack(name).is_ok() => return Ok(PACK_BYTES_MAX),
        Some("keys") if parse_key(name).is_ok() => KEY_BODY_MAX,
        Some("index") if document => INDEX_BODY_MAX,
        Some("snapshots") if document => SNAPSHOT_BODY_MAX,
        Some("records") if document => RECORD_BODY_MAX,
        Some("leases") if document => LEASE_BODY_MAX,
        _ => return Err(Error::internal(format!("`{name}` is not an object that is copied"))),
    };
    Ok(max as u64)
}

/// The packs of a store, and their lengths.
pub(crate) async fn pack_lengths(store: &Store) -> Result<HashMap<String, u64>> {
    let mut lengths = HashMap::new();
    for kind in [PackKind::Data, PackKind::Catalog] {
        let listed = store.list(kind.directory()).await?.into_iter();
        lengths.extend(listed.map(|object| (object.name, object.bytes)));
    }
    Ok(lengths)
}
