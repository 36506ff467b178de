//! Bounds how many connections or requests a plugin has open at once. One too many waits in a queue, which may be long: it fails
//! only when none of the open ones is closed for `idle`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dozo_job::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::limits::CONNECTIONS;

/// Places for connections, or for requests, of one call.
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// Counts the places that were released.
    released: Arc<AtomicU64>,
    of: &'static str,
    idle: Duration,
    ended: CancellationToken,
}

/// One place, taken for as long as this lives.
pub(super) struct Place {
    #[allow(dead_code, reason = "held, not read")]
    permit: OwnedSemaphorePermit,
    released: Arc<AtomicU64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(super) fn new(of: &'static str, idle: Duration, ended: CancellationToken) -> Self {
        Places { free: Arc::new(Semaphore::new(CONNECTIONS)), released: Arc::default(), of, idle, ended }
    }

    /// A place, in the order in which they were asked for.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if no place was released for `idle`: a plugin that holds all of them and waits for
    /// one more would wait for ever.
    pub(super) async fn take(&self) -> Result<Place> {
        let free = while_it_moves(self.free.clone().acquire_owned(), &self.released, self.idle);
        let taken = tokio::select! {
            taken = free => taken.ok_or_else(|| self.held())?,
            () = self.ended.cancelled() => return Err(Error::unavailable("the call is over")),
        };
        let permit = taken.map_err(|e| Error::internal("places are closed").caused_by(e))?;
        Ok(Place { permit, released: self.released.clone() })
    }

    fn held(&self) -> Error {
        let Places { of, idle, .. } = self;
        Error::invalid(format!(
            "the plugin has {CONNECTIONS} {of}, which is the limit, and closed none of them for {idle:?}"
        ))
        .hinted(
            "the plugin should close connections that it no longer needs, and read responses to the end or drop them",
        )
    }
}

/// Waits as long as something moves; none when it has not for so long, or twice as long at most.
pub(super) async fn while_it_moves<T>(work: impl Future<Output = T>, moved: &AtomicU64, idle: Duration) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut seen = moved.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = tokio::time::timeout(idle, &mut work).await {
            return Some(done);
        }
        let now = moved.load(Ordering::Relaxed);
        if now == seen {
            return None;
        }
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(idle: Duration) -> Places {
        Places::new("things", idle, CancellationToken::new())
    }

    async fn all(places: &Places) -> Vec<Place> {
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(places.take().await.unwrap());
        }
        held
    }

    #[tokio::test]
    async fn one_too_many_waits_in_turn_until_a_place_is_released() {
        let places = Arc::new(places(Duration::from_secs(300)));
        let mut held = all(&places).await;
        let take = || {
            let places = places.clone();
            tokio::spawn(async move { places.take().await })
        };
        for one in [take(), take(), take()] {
            held.pop();
            held.push(one.await.unwrap().unwrap());
        }
        assert_eq!(held.len(), CONNECTIONS);
    }

    #[tokio::test]
    async fn a_plugin_that_releases_none_gets_an_error() {
        let places = places(Duration::from_millis(30));
        let _held = all(&places).await;
        let error = places.take().await.err().unwrap();
        assert!(error.to_string().contains("256 things") && error.to_string().contains("30ms"), "{error}");
        assert!(error.hint().unwrap().contains("should close"));
    }

    #[tokio::test]
    async fn the_end_of_the_call_ends_the_wait() {
        let places = places(Duration::from_secs(300));
        let _held = all(&places).await;
        places.ended.cancel();
        assert!(places.take().await.err().unwrap().to_string().contains("is over"));
    }
}
