//! Trying an owner's key before it is needed: every epoch's key document, and of each epoch a pack that it really opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use crate::epochs::Epochs;
use crate::error::{Error, Kind, Result};
use crate::format::circle::KeyAction;
use crate::format::name::PackKind;
use crate::keys::ReadKeys;
use crate::limits::{PACK_BYTES_MAX, PACKS_PROBED_MAX, READS_IN_FLIGHT};
use crate::owner::OwnerKey;
use crate::owners::Stamp;
use crate::pipeline::blocking;
use crate::repository::Repository;
use crate::seal;
use crate::store::lies_cold;
use crate::verify::read_pack;
use crate::view::{Problem, View};

/// An age header with the recipients of a pack is shorter.
const HEADER_BYTES: u64 = 2 << 10;

/// What trying an owner's key showed.
#[derive(Clone, Debug)]
pub struct KeyTest {
    /// The owner's recipient string.
    pub owner: String,
    /// Every epoch that opened.
    pub epochs: Vec<EpochTest>,
    /// What did not open, or is damaged.
    pub problems: Vec<Problem>,
}

/// One epoch that opened.
#[derive(Clone, Debug)]
pub struct EpochTest {
    /// Which.
    pub epoch: u32,
    /// A pack that was opened with it, and every chunk in it checked; none if no pack of the epoch was found.
    pub pack: Option<String>,
    /// How many chunks.
    pub chunks: usize,
}

impl Repository {
    /// Tries an owner's key on all that it must open: a view, and the epochs that there are after it was taken. If nothing is
    /// wrong, leaves a record.
    pub async fn test_owner(&self, owner: &OwnerKey, view: &View, stamp: &Stamp) -> Result<KeyTest> {
        let epochs = self.open_epochs(owner).await?;
        let Probed { found, strange, cold: _ } = probe(view, &epochs).await?;
        let (index, packs) = (view.index().clone(), found.values().copied().collect());
        let mut by_pack = blocking(move || index.chunks_of(&packs)).await?;
        let mut test = KeyTest { owner: epochs.own().into(), epochs: Vec::new(), problems: epochs.problems().to_vec() };
        test.problems.extend(strange);
        for (epoch, identity) in &epochs.identities {
            let Some(number) = found.get(epoch) else {
                test.epochs.push(EpochTest { epoch: *epoch, pack: None, chunks: 0 });
                continue;
            };
            let pack = view.index().pack(*number);
            let (object, chunks) = (pack.kind.object(&pack.id), Arc::new(by_pack.remove(number).unwrap_or_default()));
            let count = chunks.len();
            let keys = ReadKeys { data: vec![identity.clone()] };
            match read_pack(view, pack, chunks, Some(&keys)).await {
                Ok(()) => test.epochs.push(EpochTest { epoch: *epoch, pack: Some(object), chunks: count }),
                Err(why) if matches!(why.kind(), Kind::Corrupt | Kind::Denied) => {
                    test.problems.push(Problem { object, why });
                }
                Err(why) => return Err(why),
            }
        }
        if test.problems.is_empty() {
            let tested = self.event(stamp, KeyAction::Tested, Some(test.owner.clone()), epochs.numbers());
            self.put_key_record(tested).await?;
        }
        Ok(test)
    }
}

/// What the headers of packs say; they alone tell of which epoch a pack is.
#[derive(Default)]
pub(crate) struct Probed {
    /// A data pack of each epoch: its number in the index.
    found: BTreeMap<u32, u32>,
    /// A data pack that an owner of everything should open, and cannot.
    pub(crate) strange: Option<Problem>,
    /// A data pack that could not be looked at, because it lies in cold storage.
    pub(crate) cold: Option<Error>,
}

/// The beginning of a pack.
enum Header {
    There(u32, String, bytes::Bytes),
    /// It cannot be read now.
    Cold(Error),
    /// A prune deleted it since it was listed.
    Gone,
}

/// Looks at data packs with an owner's keys.
pub(crate) async fn probe(view: &View, epochs: &Epochs) -> Result<Probed> {
    let packs = view.index().packs().iter().enumerate().filter(|(_, pack)| pack.kind == PackKind::Data);
    let probes = packs.take(PACKS_PROBED_MAX).map(|(number, pack)| async move {
        let object = pack.kind.object(&pack.id);
        match view.repository().store().get_range(&object, 0..pack.bytes.min(HEADER_BYTES), PACK_BYTES_MAX).await {
            Err(why) if lies_cold(&why) => Ok(Header::Cold(why)),
            header => {
                Ok::<_, Error>(header?.map_or(Header::Gone, |header| Header::There(number as u32, object, header)))
            }
        }
    });
    let mut headers = stream::iter(probes).buffered(READS_IN_FLIGHT);
    let mut probed = Probed::default();
    while let Some(probe) = headers.next().await {
        let (number, object, header) = match probe? {
            Header::There(number, object, header) => (number, object, header),
            Header::Cold(why) => {
                probed.cold.get_or_insert(why);
                continue;
            }
            Header::Gone => continue,
        };
        let mut denied = true;
        for (epoch, identity) in &epochs.identities {
            match seal::reader(&header[..], &[identity]) {
                Ok(_) => _ = probed.found.entry(*epoch).or_insert(number),
                Err(why) if why.kind() == Kind::Denied => continue,
                // Damage is for a verification to find.
                Err(_) => {}
            }
            denied = false;
            break;
        }
        if denied && probed.strange.is_none() {
            let why = Error::corrupt("it opens with none of this owner's epochs");
            probed.strange = Some(Problem { object, why });
        }
    }
    Ok(probed)
}
