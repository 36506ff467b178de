//! Mirrors: the same objects in another store, ciphertext to ciphertext. FORMAT.md section 14.5. A snapshot comes last, and
//! only if every pack that it needs is there, so that a mirror that was interrupted never shows one that does not restore
//! (PlakarKorp/plakar#1937). Deletes no object and replaces none: that is for [repair](crate::Repairer).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::copy::{pack_lengths, read_proven};
use crate::error::{Error, Kind, Result};
use crate::format::lease::Purpose;
use crate::format::name::{parse_document, parse_key};
use crate::id::ObjectId;
use crate::lease::{Lease, LeaseRequest};
use crate::leases::{Holder, Standing};
use crate::limits::{COPIES_IN_FLIGHT, LISTED_LOOKS};
use crate::prune::left;
use crate::repository::Repository;
use crate::store::{Object, Store};
use crate::verify::{PacksNeeded, Walk};
use crate::view::{Problem, View};

/// Whether the mirror is expected to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorStart {
    /// It is: a store without it is an error, because it may not be mounted.
    Expect,
    /// It is made if it is not.
    Create,
}

/// How far a mirroring is; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct MirrorCounters {
    /// Objects copied.
    pub copied: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
}

/// What a mirroring did.
#[derive(Debug, Default)]
pub struct MirrorReport {
    /// Objects copied.
    pub copied: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Objects that were there already.
    pub already: u64,
    /// Snapshots of the repository that the mirror shows now.
    pub snapshots: u64,
    /// Snapshots that the mirror does not show, and why.
    pub held_back: Vec<(ObjectId, String)>,
    /// Objects that are damaged, on either side.
    pub problems: Vec<Problem>,
    /// Files that killed writes left in the mirror, and that were removed.
    pub leftovers: u64,
    /// How many of these are damaged in the mirror, and are for a repair there.
    pub damaged_there: u64,
}

impl MirrorReport {
    /// Whether the mirror has all that the repository shows.
    pub fn is_whole(&self) -> bool {
        self.held_back.is_empty() && self.problems.is_empty()
    }
}

/// Copies what the mirror lacks. The lease is put on both sides; its purpose is to mirror, whatever the request says.
///
/// # Errors
/// [`Invalid`](Kind::Invalid) if there is another repository, or none where one is expected; [`Busy`](Kind::Busy) if a prune
/// is at work on either side.
pub async fn mirror(
    from: &Repository,
    to: &Store,
    start: MirrorStart,
    request: LeaseRequest,
    counters: &MirrorCounters,
) -> Result<MirrorReport> {
    // What this machine remembers of an index is of no use to the mirror.
    let from = &from.afresh(from.store());
    let target = match (from.elsewhere(to).await?, start) {
        (Some(target), _) => target,
        (None, MirrorStart::Create) => from.afresh(to),
        (None, MirrorStart::Expect) => {
            return Err(Error::invalid(format!("there is no mirror in {to}"))
                .hinted("is its file system mounted? `dozo mirror --create` makes a new one there"));
        }
    };
    let request = LeaseRequest { purpose: Purpose::Mirror, job: None, ..request };
    let reading = from.lease(request.clone()).await?;
    let done = async {
        let writing = target.lease(request).await?;
        let copying = Mirroring { from, target: &target, writing: &writing, counters, report: MirrorReport::default() };
        let done = copying.all(&reading).await;
        let _ = writing.release().await;
        done
    };
    let done = done.await;
    // Leases that could not be released end by themselves; what was copied is copied.
    let _ = reading.release().await;
    done
}

struct Mirroring<'a> {
    from: &'a Repository,
    target: &'a Repository,
    writing: &'a Lease,
    counters: &'a MirrorCounters,
    report: MirrorReport,
}

/// What became of one object.
enum Copied {
    Bytes(u64),
    Bad(Error),
}

impl Mirroring<'_> {
    /// Neither lease names a tombstone, so that no pack is deleted on either side from here on.
    async fn all(mut self, reading: &Lease) -> Result<MirrorReport> {
        nobody_prunes(self.from, reading).await?;
        nobody_prunes(self.target, self.writing).await?;
        let view = self.from.view().await?;
        self.report.problems.extend(view.problems().iter().cloned());
        self.keys().await?;
        self.from.copy_sign(self.target.store()).await?;
        let packs = view.index().packs().iter().map(|pack| (pack.kind.object(&pack.id), pack.bytes));
        let there = pack_lengths(self.target.store()).await?;
        self.copy(packs.collect(), &there).await?;
        self.copy_directory("index").await?;
        self.copy_directory("records").await?;
        self.snapshots(&view).await?;
        self.recorded_damage().await?;
        reading.assure().await?;
        let now = self.writing.assure().await?;
        self.report.leftovers = self.clear(now).await.unwrap_or_else(|why| {
            tracing::warn!("remove what killed writes left in {}: {}", self.target.url(), why.chain());
            0
        });
        Ok(self.report)
    }

    /// Removes what killed writes left in the mirror: many a mirror is pruned by nobody. These are no objects of a repository.
    async fn clear(&self, now: Timestamp) -> Result<u64> {
        let leases = self.target.leases(now).await?;
        let others: Vec<&Holder> = leases.iter().filter(|h| h.id != self.writing.id() && h.is_live()).collect();
        let names: Vec<String> = left(self.target, &others, now).await?.into_iter().map(|left| left.name).collect();
        let count = names.len() as u64;
        self.target.store().remove_leftovers(names).await.map(|()| count)
    }

    /// Key documents, whose names have no digest, are compared byte for byte.
    async fn keys(&mut self) -> Result<()> {
        let mut objects = self.from.store().list("keys").await?;
        objects.retain(|object| parse_key(&object.name).is_ok());
        let there = lengths(self.target.store().list("keys").await?);
        for object in objects {
            if there.contains_key(&object.name) {
                let max = object.bytes.max(there[&object.name]);
                let here = self.from.store().get(&object.name, max).await?;
                if here == self.target.store().get(&object.name, max).await? {
                    self.report.already += 1;
                } else {
                    let why = Error::corrupt("the mirror has another key document of this name");
                    self.problem(object.name, why);
                }
                continue;
            }
            self.copy(vec![(object.name, object.bytes)], &there).await?;
        }
        Ok(())
    }

    async fn copy_directory(&mut self, directory: &str) -> Result<()> {
        let objects = documents(self.from.store().list(directory).await?);
        let there = lengths(self.target.store().list(directory).await?);
        self.copy(objects, &there).await
    }

    /// Copies what is not there; returns when all of it is durable.
    async fn copy(&mut self, objects: Vec<(String, u64)>, there: &HashMap<String, u64>) -> Result<()> {
        let mut missing = Vec::new();
        for (name, bytes) in objects {
            match there.get(&name) {
                Some(length) if *length == bytes => self.report.already += 1,
                Some(length) => {
                    let why = Error::corrupt(format!("it has {length} bytes in the mirror, and {bytes} here"));
                    self.problem(name, why);
                }
                None => missing.push(name),
            }
        }
        let (from, to) = (self.from.store(), self.target.store());
        let copies = missing.into_iter().map(|name| async move {
            let copied = copy_one(from, to, &name).await;
            (name, copied)
        });
        let mut copies = stream::iter(copies).buffer_unordered(COPIES_IN_FLIGHT);
        while let Some((name, copied)) = copies.next().await {
            match copied? {
                Copied::Bytes(bytes) => {
                    self.report.copied += 1;
                    self.report.bytes += bytes;
                    self.counters.copied.fetch_add(1, Ordering::Relaxed);
                    self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                }
                Copied::Bad(why) => self.report.problems.push(Problem { object: name, why }),
            }
        }
        Ok(())
    }

    /// The mirror is listed again: what counts is what is there, not what was meant to be.
    async fn snapshots(&mut self, view: &View) -> Result<()> {
        let packs = pack_lengths(self.target.store()).await?;
        let there = lengths(self.target.store().list("snapshots").await?);
        let known: HashSet<ObjectId> = view.snapshots().iter().map(|(id, _)| *id).collect();
        let mut objects = documents(self.from.store().list("snapshots").await?);
        // Whoever came since the view was taken comes with the next mirroring.
        objects.retain(|(name, _)| parse_document(name).is_ok_and(|(_, id)| known.contains(&id)));
        let by_id: HashMap<ObjectId, (String, u64)> =
            objects.into_iter().filter_map(|o| Some((parse_document(&o.0).ok()?.1, o))).collect();
        let (mut needed, mut ready) = (PacksNeeded::new(view), Vec::new());
        for (id, snapshot) in view.snapshots() {
            let Some((name, bytes)) = by_id.get(id).cloned() else { continue };
            if !there.contains_key(&name) {
                let lacking = match needed.of(*id, snapshot).await {
                    Ok(numbers) => lacking(view, numbers, &packs),
                    Err(why) if why.kind() == Kind::Corrupt => Some(why.chain()),
                    Err(why) => return Err(why),
                };
                if let Some(why) = lacking {
                    self.report.held_back.push((*id, why));
                    continue;
                }
            }
            ready.push((name, bytes));
        }
        self.writing.assure().await?;
        let mut shown: HashSet<String> = ready.iter().map(|(name, _)| name.clone()).collect();
        self.copy(ready, &there).await?;
        for problem in &self.report.problems {
            shown.remove(&problem.object);
        }
        self.report.snapshots = shown.len() as u64;
        // A prune of the mirror that finds the lease released also finds the snapshots.
        self.wait_until_listed(shown).await
    }

    async fn wait_until_listed(&self, mut names: HashSet<String>) -> Result<()> {
        let mut wait = Duration::ZERO;
        for _ in 0..LISTED_LOOKS {
            tokio::time::sleep(wait).await;
            let listed = self.target.store().list("snapshots").await?;
            for object in listed {
                names.remove(&object.name);
            }
            if names.is_empty() {
                return Ok(());
            }
            wait = (wait * 2).max(Duration::from_millis(50));
        }
        Err(Error::unavailable(format!("{} does not list what was put there", self.target.url()))
            .hinted("try again; if it stays so, this store is not one to keep backups in"))
    }

    /// Packs that were found damaged in the mirror, and that it needs: nothing that is there is ever replaced here.
    async fn recorded_damage(&mut self) -> Result<()> {
        if self.target.damage().await?.is_empty() {
            return Ok(());
        }
        let view = self.target.view().await?;
        let mut walk = Walk::new(&view, HashSet::new());
        for (id, snapshot) in view.snapshots() {
            walk.snapshot(*id, snapshot).await?;
        }
        let needed = view.damage().filter(|(_, id, _)| walk.needs.may_need(id));
        let needed: BTreeMap<String, &str> = needed.map(|(kind, id, why)| (kind.object(&id), why)).collect();
        for (object, why) in needed {
            self.problem(object, Error::corrupt(format!("it was found damaged in the mirror: {why}")));
        }
        Ok(())
    }

    /// Something is wrong in the mirror.
    fn problem(&mut self, object: String, why: Error) {
        self.report.damaged_there += 1;
        self.report.problems.push(Problem { object, why });
    }
}

/// An object that is not there any more, or is not what its name says, is a finding and not a copy.
async fn copy_one(from: &Store, to: &Store, name: &str) -> Result<Copied> {
    let sealed = match read_proven(from, name).await {
        Ok(Some(sealed)) => sealed,
        Ok(None) => return Ok(Copied::Bad(Error::corrupt(format!("it is gone from {from}")))),
        Err(why) if why.kind() == Kind::Corrupt => return Ok(Copied::Bad(why)),
        Err(why) => return Err(why),
    };
    match to.put(name, &sealed).await {
        Ok(()) => Ok(Copied::Bytes(sealed.bytes().len() as u64)),
        Err(why) if why.kind() == Kind::Corrupt => Ok(Copied::Bad(why)),
        Err(why) => Err(why),
    }
}

/// The first pack of these that a store does not have with its length.
fn lacking(view: &View, numbers: HashSet<u32>, there: &HashMap<String, u64>) -> Option<String> {
    let mut packs = numbers.into_iter().map(|number| view.index().pack(number));
    let lacks = packs.find(|pack| there.get(&pack.kind.object(&pack.id)) != Some(&pack.bytes))?;
    Some(format!("{} is not whole in the mirror", lacks.kind.object(&lacks.id)))
}

/// One that began before the lease was put may delete what it does not know to be needed.
async fn nobody_prunes(repository: &Repository, lease: &Lease) -> Result<()> {
    let now = lease.renew().await?;
    let prunes = repository.leases(now).await?.into_iter().find(|holder| {
        let prune = holder.document.as_ref().is_none_or(|document| document.purpose == Purpose::Prune);
        holder.id != lease.id() && holder.standing == Standing::AtWork && prune
    });
    match prunes {
        None => Ok(()),
        Some(holder) => {
            Err(Error::busy(format!("a prune is at work in {}", repository.url())).hinted(holder.busy_hint()))
        }
    }
}

fn lengths(objects: impl IntoIterator<Item = Object>) -> HashMap<String, u64> {
    objects.into_iter().map(|object| (object.name, object.bytes)).collect()
}

/// What has another name than a document is nobody's.
fn documents(objects: Vec<Object>) -> Vec<(String, u64)> {
    let documents = objects.into_iter().filter(|object| parse_document(&object.name).is_ok());
    documents.map(|object| (object.name, object.bytes)).collect()
}

/// On how many of these stores each snapshot is whole, as far as structure tells. The views are of one repository.
pub async fn copies(views: &[&View]) -> Result<HashMap<ObjectId, u32>> {
    let mut copies = HashMap::new();
    for view in views {
        let broken = view.index().packs().iter().zip(0..);
        let broken = broken.filter(|(pack, _)| view.marks.is_damaged(&pack.id)).map(|(_, number)| number);
        let mut walk = Walk::new(view, broken.collect());
        for (id, snapshot) in view.snapshots() {
            let whole = walk.snapshot(*id, snapshot).await?;
            *copies.entry(*id).or_insert(0) += u32::from(whole);
        }
    }
    Ok(copies)
}
