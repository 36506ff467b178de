//! A small cache whose values are made once, however many ask at the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use crate::error::Result;
use crate::pack::lock;

/// The values used last, by key. Small enough for a walk.
pub(crate) struct Cache<K, V> {
    slots: Mutex<VecDeque<Slot<K, V>>>,
    capacity: usize,
}

type Slot<K, V> = (K, Arc<OnceCell<Arc<V>>>);

impl<K: PartialEq + Copy, V> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Cache { slots: Mutex::default(), capacity }
    }

    /// The value of this key if it is there. For those who ask often: to ask [`Cache::get`] means to build the future that
    /// would make it.
    pub(crate) fn ready(&self, key: K) -> Option<Arc<V>> {
        let mut slots = lock(&self.slots);
        let at = slots.iter().position(|(k, _)| *k == key)?;
        let value = slots[at].1.get()?.clone();
        if at > 0
            && let Some(slot) = slots.remove(at)
        {
            slots.push_front(slot);
        }
        Some(value)
    }

    /// The value of this key, made by `make` if it is not there. Those who ask meanwhile wait for the same one; a
    /// failure is not kept.
    pub(crate) async fn get(&self, key: K, make: impl Future<Output = Result<V>>) -> Result<Arc<V>> {
        let slot = self.slot(key);
        let value = slot.get_or_try_init(|| async { make.await.map(Arc::new) }).await?;
        Ok(value.clone())
    }

    fn slot(&self, key: K) -> Arc<OnceCell<Arc<V>>> {
        let mut slots = lock(&self.slots);
        let slot = match slots.iter().position(|(k, _)| *k == key) {
            Some(at) => slots.remove(at),
            None => None,
        };
        let (_, cell) = slot.unwrap_or_else(|| (key, Arc::new(OnceCell::new())));
        slots.push_front((key, cell.clone()));
        slots.truncate(self.capacity);
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[tokio::test]
    async fn values_are_made_once_and_failures_are_not_kept() {
        let cache: Cache<u32, u32> = Cache::new(2);
        assert!(cache.get(1, async { Err(Error::internal("no")) }).await.is_err());
        assert_eq!(*cache.get(1, async { Ok(10) }).await.unwrap(), 10);
        assert_eq!(*cache.get(1, async { Ok(11) }).await.unwrap(), 10);
        cache.get(2, async { Ok(20) }).await.unwrap();
        assert_eq!(cache.ready(1).as_deref(), Some(&10), "now the one that was used last");
        cache.get(3, async { Ok(30) }).await.unwrap();
        assert_eq!(cache.ready(2), None, "the other went");
        assert_eq!(*cache.get(1, async { Ok(12) }).await.unwrap(), 10);
    }
}
