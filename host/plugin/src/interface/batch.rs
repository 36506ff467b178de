//! Batches of entries that are created in a granted directory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dozo_job::limits::READ_BYTES;
use dozo_job::port::{Content, Entry, EntryKind};
use wasmtime::Result;

use crate::interface::blocking;
use crate::tree::{Directory, Role};

/// Threads that create files of one batch.
const CREATORS: usize = 4;

/// An entry, what it is to the restore, and its content.
pub(super) type Item = (Entry, Role, Option<Content>);

/// An item, and its place in the batch.
type Numbered = (usize, Item);
type Done = Vec<(usize, dozo_job::Result<u64>)>;

/// Creates a batch: directories first, in order, then the rest on several threads, then hard links, when what they are names of
/// is there.
pub(super) async fn create_all(directory: Directory, items: Vec<Item>) -> Result<Vec<dozo_job::Result<u64>>> {
    let count = items.len();
    let (mut directories, mut others, mut links) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (entry, role, content)) in items.into_iter().enumerate() {
        let group = match entry.kind {
            EntryKind::Directory => &mut directories,
            EntryKind::Hardlink(_) => &mut links,
            _ => &mut others,
        };
        group.push((number, (entry, role, content)));
    }
    let mut done = create(&directory, directories, 1).await?;
    // What is only shown is shown in order.
    let creators = if directory.is_planning() { 1 } else { CREATORS };
    done.extend(create(&directory, others, creators).await?);
    done.extend(create(&directory, links, 1).await?);
    done.sort_unstable_by_key(|(number, _)| *number);
    if done.len() != count {
        return Err(wasmtime::format_err!("{count} entries were to be created, {} were", done.len()));
    }
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Creates entries on so many threads; each takes the next that nobody has taken.
async fn create(directory: &Directory, items: Vec<Numbered>, threads: usize) -> Result<Done> {
    let slots: Arc<Vec<_>> = Arc::new(items.into_iter().map(|item| Mutex::new(Some(item))).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let threads = (0..threads.min(slots.len())).map(|_| {
        let (directory, slots, next) = (directory.clone(), slots.clone(), next.clone());
        blocking(move || {
            let (mut buffer, mut done) = (vec![0; READ_BYTES], Vec::new());
            while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                let item = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some((number, (entry, role, content))) = item else { break };
                done.push((number, directory.create(&entry, role, content, &mut buffer)));
            }
            done
        })
    });
    let mut all = Vec::new();
    for done in futures::future::join_all(threads.collect::<Vec<_>>()).await {
        all.extend(done?);
    }
    Ok(all)
}
