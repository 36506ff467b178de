//! Names of objects. FORMAT.md section 3.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::id::{HostUid, JobUid, LeaseId, ObjectId};

/// The repository's sign, in the clear.
pub const SIGN: &str = "dozo.json";

/// What is sealed in a pack: content, or what describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackKind {
    /// Chunks of entries' content; owners alone can open it.
    Data,
    /// Segments of manifests and lists of extents; hosts can open it too.
    Catalog,
}

impl PackKind {
    /// The directory of such packs.
    pub fn directory(self) -> &'static str {
        match self {
            PackKind::Data => "packs",
            PackKind::Catalog => "catalog",
        }
    }

    /// The object that holds a pack.
    pub fn object(self, id: &ObjectId) -> String {
        let id = id.to_string();
        format!("{}/{}/{id}", self.directory(), &id[..2])
    }
}

/// Where a document belongs. Its message authentication code covers [`Place::prefix`] and [`Place::kind`], so that one
/// document cannot be passed off as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Keys of one epoch for one owner.
    Key {
        /// Which data key.
        epoch: u32,
        /// First 16 hex digits of the SHA-256 of the owner's recipient string.
        owner: String,
    },
    /// Which chunks lie in which packs.
    Index,
    /// A completed run.
    Snapshot {
        /// Who ran.
        host: HostUid,
        /// Which of its jobs.
        job: JobUid,
        /// When the run began.
        started: Timestamp,
    },
    /// What else happened.
    Record {
        /// What kind of thing.
        kind: RecordKind,
        /// When it began.
        started: Timestamp,
    },
    /// Somebody is at work.
    Lease {
        /// Who.
        lease: LeaseId,
        /// The how-manieth renewal.
        number: u32,
    },
    /// Packs that are condemned.
    Tombstone,
    /// Packs that are damaged.
    Damage,
}

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A run, whatever became of it.
    Run,
    /// What was looked at, and how deep.
    Verification,
    /// What retention must not touch.
    Hold,
    /// What is right though it looks suspicious.
    Accept,
    /// What was deleted.
    Prune,
    /// Owners and epochs.
    Key,
    /// Hosts.
    Host,
}

impl RecordKind {
    /// The word in the object's name.
    pub fn word(self) -> &'static str {
        match self {
            RecordKind::Run => "run",
            RecordKind::Verification => "verification",
            RecordKind::Hold => "hold",
            RecordKind::Accept => "accept",
            RecordKind::Prune => "prune",
            RecordKind::Key => "key",
            RecordKind::Host => "host",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        use RecordKind::{Accept, Hold, Host, Key, Prune, Run, Verification};
        [Run, Verification, Hold, Accept, Prune, Key, Host].into_iter().find(|kind| kind.word() == word)
    }
}

impl Place {
    /// The kind that the code covers.
    pub fn kind(&self) -> &'static str {
        match self {
            Place::Key { .. } => "key",
            Place::Index => "index",
            Place::Snapshot { .. } => "snapshot",
            Place::Record { .. } => "record",
            Place::Lease { .. } => "lease",
            Place::Tombstone => "tombstone",
            Place::Damage => "damage",
        }
    }

    /// The object's name without its id.
    pub fn prefix(&self) -> String {
        match self {
            Place::Key { epoch, owner } => format!("keys/{epoch}-{owner}"),
            Place::Index => "index/".to_string(),
            Place::Snapshot { host, job, started } => format!("snapshots/{host}/{job}/{}-", stamp(*started)),
            Place::Record { kind, started } => format!("records/{}/{}-", kind.word(), stamp(*started)),
            Place::Lease { lease, number } => format!("leases/{lease}/{number:06}-"),
            Place::Tombstone => "tombstones/".to_string(),
            Place::Damage => "damage/".to_string(),
        }
    }

    /// The object's whole name.
    pub fn object(&self, id: &ObjectId) -> String {
        match self {
            Place::Key { .. } => format!("{}.age", self.prefix()),
            _ => format!("{}{id}", self.prefix()),
        }
    }
}

/// The place and id that the name of a snapshot tells.
pub fn parse_snapshot(object: &str) -> Result<(Place, ObjectId)> {
    let parse = || {
        let mut parts = object.strip_prefix("snapshots/")?.splitn(3, '/');
        let (host, job) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (time, id) = parts.next()?.split_once('-')?;
        Some((Place::Snapshot { host, job, started: parse_stamp(time)? }, id.parse().ok()?))
    };
    parse().ok_or_else(|| Error::corrupt(format!("`{object}` is not the name of a snapshot")))
}

/// The place and id that the name of a document tells, of any kind but a key, whose name has no id.
pub fn parse_document(object: &str) -> Result<(Place, ObjectId)> {
    let parse = || {
        let (directory, rest) = object.split_once('/')?;
        let place = match directory {
            "index" => Place::Index,
            "tombstones" => Place::Tombstone,
            "damage" => Place::Damage,
            "records" => {
                let (kind, rest) = rest.split_once('/')?;
                let (time, _) = rest.split_once('-')?;
                Place::Record { kind: RecordKind::parse(kind)?, started: parse_stamp(time)? }
            }
            "leases" => {
                let (lease, rest) = rest.split_once('/')?;
                let (number, _) = rest.split_once('-')?;
                Place::Lease { lease: lease.parse().ok()?, number: parse_number(number)? }
            }
            _ => parse_snapshot(object).ok()?.0,
        };
        Some((object.strip_prefix(&place.prefix())?.parse().ok()?, place))
    };
    let (id, place) = parse().ok_or_else(|| Error::corrupt(format!("`{object}` is not the name of a document")))?;
    Ok((place, id))
}

/// Six digits: one number has one spelling.
fn parse_number(text: &str) -> Option<u32> {
    (text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The kind and id that the name of a pack tells.
pub fn parse_pack(object: &str) -> Result<(PackKind, ObjectId)> {
    let kinds = [PackKind::Data, PackKind::Catalog];
    let found = kinds.into_iter().find_map(|kind| {
        let id = object.rsplit_once('/')?.1.parse().ok()?;
        (kind.object(&id) == object).then_some((kind, id))
    });
    found.ok_or_else(|| Error::corrupt(format!("`{object}` is not the name of a pack")))
}

/// The epoch and the owner's name that the name of a key document tells.
pub fn parse_key(object: &str) -> Result<(u32, String)> {
    let parse = || {
        let (epoch, owner) = object.strip_prefix("keys/")?.strip_suffix(".age")?.split_once('-')?;
        let epoch = super::decimal::parse(epoch).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)?;
        let plain = owner.len() == 16 && owner.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        plain.then(|| (epoch, owner.to_string()))
    };
    parse().ok_or_else(|| Error::corrupt(format!("`{object}` is not the name of a key document")))
}

/// The id that ends the name of a pack or an index.
pub fn parse_id(object: &str) -> Result<ObjectId> {
    let (_, id) = object.rsplit_once('/').unwrap_or(("", object));
    id.parse().map_err(|_| Error::corrupt(format!("the name `{object}` does not end with an object id")))
}

/// A time as it stands in an object's name, to the second.
pub fn stamp(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn parse_stamp(text: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (stamp(time) == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_hold() {
        let id = ObjectId::of(b"x");
        assert!(PackKind::Data.object(&id).starts_with("packs/2d/2d711642b726b044"));
        let started: Timestamp = "2026-11-23T01:47:00.5Z".parse().unwrap();
        let place = Place::Snapshot { host: HostUid([1; 8]), job: JobUid([2; 16]), started };
        let (parsed, back) = parse_snapshot(&place.object(&id)).unwrap();
        assert_eq!((parsed.prefix(), back), (place.prefix(), id));
        assert_eq!(Place::Key { epoch: 2, owner: "ab".into() }.object(&id), "keys/2-ab.age");
    }

    #[test]
    fn every_name_is_read_as_it_was_made() {
        let id = ObjectId::of(b"x");
        let started: Timestamp = "2026-11-23T01:47:00Z".parse().unwrap();
        for place in [
            Place::Index,
            Place::Tombstone,
            Place::Damage,
            Place::Snapshot { host: HostUid([1; 8]), job: JobUid([2; 16]), started },
            Place::Record { kind: RecordKind::Run, started },
            Place::Record { kind: RecordKind::Verification, started },
            Place::Record { kind: RecordKind::Hold, started },
            Place::Record { kind: RecordKind::Prune, started },
            Place::Record { kind: RecordKind::Key, started },
            Place::Record { kind: RecordKind::Host, started },
            Place::Lease { lease: LeaseId([3; 16]), number: 17 },
        ] {
            let name = place.object(&id);
            assert_eq!(parse_document(&name).unwrap(), (place, id), "{name}");
            let (head, _) = name.rsplit_once(['/', '-']).unwrap();
            for bad in [
                format!("{name}0"),
                name[..name.len() - 1].to_string(),
                format!("{name}.age"),
                format!("x{name}"),
                format!("{head}/x-{id}"),
                name.replace("000017", "17"),
                name.replace("000017", "0000017"),
                name.replace("000017", "00001x"),
                name.replace("/prune/", "/dance/"),
            ] {
                assert!(bad == name || parse_document(&bad).is_err(), "{bad}");
            }
        }
        for kind in [PackKind::Data, PackKind::Catalog] {
            let name = kind.object(&id);
            assert_eq!(parse_pack(&name).unwrap(), (kind, id));
            let elsewhere = name.replace("/2d/", "/2e/");
            for bad in [elsewhere.as_str(), &name[1..], &format!("{name}#1"), &name.to_uppercase(), "packs/"] {
                assert!(parse_pack(bad).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn names_of_keys_come_back() {
        let id = ObjectId::of(b"x");
        let owner = "00112233445566ff";
        let name = Place::Key { epoch: 12, owner: owner.into() }.object(&id);
        assert_eq!(parse_key(&name).unwrap(), (12, owner.to_string()));
        for bad in ["keys/0-00112233445566ff.age", "keys/01-00112233445566ff.age", "keys/1-0011.age", "keys/1", "x", ""]
        {
            assert!(parse_key(bad).is_err() && parse_document(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_names_are_not_snapshots() {
        let good = Place::Snapshot { host: HostUid([1; 8]), job: JobUid([2; 16]), started: Timestamp::UNIX_EPOCH }
            .object(&ObjectId::of(b"x"));
        for bad in [
            "snapshots/",
            "snapshots/a/b/c",
            &good.replace('Z', ""),
            &good[..good.len() - 1],
            &good.replace("1970", "1x70"),
            &good.replace("T00", "T99"),
            &good.replace("snapshots", "snapshot"),
        ] {
            assert!(parse_snapshot(bad).is_err(), "{bad}");
        }
    }
}
