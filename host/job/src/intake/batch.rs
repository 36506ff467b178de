//! Batches of entries whose content the host holds: read on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dozo_repository::{Entry, Error, Result};

use super::RunIntake;
use super::rules::check_entry;
use crate::limits::READ_BYTES;
use crate::port::Content;

/// An item of a batch until somebody takes it.
type Slot = Mutex<Option<(Entry, Content)>>;

/// Reads a batch on several threads: each takes the next entry that nobody has taken.
pub(super) async fn take_all(intake: &Arc<RunIntake>, batch: Vec<(Entry, Content)>) -> Vec<Result<u64>> {
    let count = batch.len();
    let entries: Arc<Vec<Slot>> = Arc::new(batch.into_iter().map(|item| Mutex::new(Some(item))).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let threads = (0..intake.readers.min(count)).map(|_| {
        let (intake, entries, next) = (intake.clone(), entries.clone(), next.clone());
        tokio::task::spawn_blocking(move || {
            let (mut buffer, mut done) = (vec![0; READ_BYTES], Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(slot) = entries.get(number) else { return done };
                let item = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some((entry, content)) = item else { return done };
                done.push((number, take_one(&intake, entry, content, &mut buffer)));
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut results: Vec<Result<u64>> =
        (0..count).map(|_| Err(Error::internal("a thread that reads contents panicked"))).collect();
    for thread in threads {
        for (number, result) in thread.await.unwrap_or_default() {
            results[number] = result;
        }
    }
    results
}

/// Reads one entry; one that cannot be read waits to be omitted or put again.
fn take_one(intake: &RunIntake, entry: Entry, content: Content, buffer: &mut [u8]) -> Result<u64> {
    check_entry(&entry).map_err(|e| intake.broke(e))?;
    let path = entry.path.clone();
    let result = intake.take(entry, content, buffer);
    match &result {
        Ok(_) => intake.accept(&path),
        Err(why) => {
            intake.unresolved(path, why.chain());
        }
    }
    result
}
