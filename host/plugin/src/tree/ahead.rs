//! Directories are listed ahead of whoever walks through them, depth first: the kernel looks at what comes next while the plugin
//! works on what came before. Whoever walks in another order, or leaves directories out, loses nothing but the reading ahead.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use dozo_job::Result;
use dozo_job::port::EntryKind;

use super::read::{NAMES_MAX, Names};
use super::{Access, Directory, Found, Inner};
use crate::limits::LETTING_GO;

/// Threads that list ahead: where a disk or a server is slow, they wait at the same time.
const THREADS: usize = 2;
/// Entries that were listed and not asked for yet: some 8 MB.
const ENTRIES: usize = 8_192;
/// What lies longer is listed anew: a plugin that waited for the store meanwhile is not to be told of an older world.
pub(super) const FRESH: Duration = Duration::from_secs(2);

/// A page of a directory: its path, the name behind which the page begins, and how many entries it may have.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Page {
    pub(super) path: String,
    pub(super) after: Option<String>,
    pub(super) max: usize,
}

impl Page {
    pub(super) fn new(path: &str, after: Option<&str>, max: usize) -> Self {
        Page { path: path.into(), after: after.map(str::to_string), max }
    }
}

/// A page that comes in the walk.
struct Ask {
    page: Page,
    /// The names of its directory, if they were read already.
    names: Option<Arc<Names>>,
    /// A thread is at it. What comes after it will stand in its place.
    at_work: bool,
}

impl Ask {
    fn new(page: Page, names: Option<Arc<Names>>) -> Self {
        Ask { page, names, at_work: false }
    }
}

/// What a page holds.
pub(super) struct Listed {
    pub(super) found: Vec<Found>,
    /// Paths that were listed, and gone when they were looked at.
    pub(super) vanished: Vec<String>,
    /// The names of the directory, if there is more of it.
    pub(super) names: Option<Arc<Names>>,
    /// The file system that the directory is part of.
    pub(super) device: u64,
}

#[derive(Default)]
pub(super) struct Ahead {
    state: Mutex<State>,
    /// There is something to list, and room for it.
    work: Condvar,
    /// A thread is done with a page.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// Pages in the order of the walk, the next one last.
    coming: Vec<Ask>,
    ready: HashMap<Page, (Instant, Result<Listed>)>,
    /// What lies ready, see `count`.
    entries: usize,
    /// There was no room, and is not enough yet.
    full: bool,
    threads: usize,
    /// Threads that are at a page, wanted or not.
    working: usize,
    over: bool,
}

/// What is there of a page.
enum Taken {
    Fresh(Result<Listed>),
    /// It was listed too long ago. What comes after it is known all the same.
    Old,
}

impl Ahead {
    /// A page, if it lies ready.
    fn take(&self, page: &Page) -> Option<Taken> {
        let mut state = self.state();
        let (listed_at, listed) = state.ready.remove(page)?;
        state.entries -= count(&listed);
        // Threads that wait for room are not woken for each page.
        if state.full && state.entries < ENTRIES / 2 {
            state.full = false;
            self.work.notify_all();
        }
        Some(if listed_at.elapsed() < FRESH { Taken::Fresh(listed) } else { Taken::Old })
    }

    /// Waits while a thread is at a page; takes it then, if it is of use.
    fn wait(&self, page: &Page) -> Option<Taken> {
        let mut state = self.state();
        while state.place(page).is_some_and(|place| state.coming[place].at_work) {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.take(page)
    }

    /// Whether a page lies ready.
    fn has(&self, page: &Page) -> bool {
        self.state().ready.get(page).is_some_and(|(listed_at, _)| listed_at.elapsed() < FRESH)
    }

    /// Somebody asks for what nobody is at yet: the walk goes on from there, and what comes before it was left out. Returns the
    /// names of the directory, if they were read for an earlier page.
    fn turn_to(&self, page: &Page) -> Option<Arc<Names>> {
        let mut state = self.state();
        let place = state.place(page);
        // What was listed and left out is not told from what is still to be asked for; in the end it takes up all the room.
        if state.full || place.is_none() {
            state.ready.clear();
            (state.entries, state.full) = (0, false);
        }
        state.coming.drain(place.unwrap_or(0)..).next().filter(|_| place.is_some())?.names
    }

    fn expect(&self, page: &Page, listed: &Listed) {
        let mut state = self.state();
        let asks = state.after(page, listed);
        state.coming.extend(asks);
        self.work.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all that was listed, and waits for the threads that are at something; for one that hangs no longer than a call that
    /// is told to stop.
    fn rest(&self) {
        let mut state = self.state();
        state.coming.clear();
        state.ready.clear();
        (state.entries, state.full) = (0, false);
        drop(self.done.wait_timeout_while(state, LETTING_GO, |state| state.working > 0));
    }

    /// Nobody asks any more.
    pub(super) fn end(&self) {
        self.state().over = true;
        self.work.notify_all();
    }
}

impl State {
    fn place(&self, page: &Page) -> Option<usize> {
        self.coming.iter().rposition(|ask| ask.page == *page)
    }

    /// What comes after a page in a walk, the next last: the directories in it, then the next page. Nothing of other file systems:
    /// whether they are wanted is not known, and they may be servers that are gone.
    fn after(&self, page: &Page, listed: &Listed) -> Vec<Ask> {
        let last = listed.found.last().map(|last| last_name(&last.entry.path).to_string());
        let rest = listed.names.as_ref().zip(last).map(|(names, last)| {
            let held: usize = self.coming.iter().filter_map(|ask| ask.names.as_ref()).map(|names| names.len()).sum();
            // What is not kept is read again.
            let names = (held + names.len() <= NAMES_MAX).then(|| names.clone());
            Ask::new(Page { path: page.path.clone(), after: Some(last), max: page.max }, names)
        });
        let directories = listed.found.iter().rev();
        let near =
            directories.filter(|found| found.entry.kind == EntryKind::Directory && found.device == listed.device);
        let asks = near.map(|found| Page { path: found.entry.path.clone(), after: None, max: page.max });
        rest.into_iter().chain(asks.map(|page| Ask::new(page, None))).collect()
    }

    /// The next page to list, if there is room for it.
    fn next(&mut self) -> Option<(Page, Option<Arc<Names>>)> {
        self.full |= self.entries >= ENTRIES;
        let ask = self.coming.iter_mut().rfind(|ask| !ask.at_work).filter(|_| !self.full)?;
        ask.at_work = true;
        self.working += 1;
        Some((ask.page.clone(), ask.names.take()))
    }

    /// A thread is done with a page, unless somebody turned elsewhere meanwhile.
    fn done(&mut self, page: &Page, listed: Result<Listed>) {
        let Some(place) = self.place(page).filter(|place| self.coming[*place].at_work) else { return };
        let after = listed.as_ref().map_or_else(|_| Vec::new(), |listed| self.after(page, listed));
        self.coming.splice(place..=place, after);
        self.entries += count(&listed);
        // It may lie there still, listed and left out before somebody turned back.
        if let Some((_, older)) = self.ready.insert(page.clone(), (Instant::now(), listed)) {
            self.entries -= count(&older);
        }
    }
}

impl Directory {
    /// Whether a page lies ready: then nobody needs a thread that may block.
    pub(crate) fn is_ready(&self, path: &str, after: Option<&str>, max: usize) -> bool {
        self.0.ahead.has(&Page::new(path, after, max))
    }

    /// At most `max` entries of the directory `path`, in order of their escaped names, after the name `after`. Beside them the
    /// paths, as people know them, of those that were gone when they were to be looked at.
    pub(crate) fn children(&self, path: &str, after: Option<&str>, max: usize) -> Result<(Vec<Found>, Vec<String>)> {
        let (page, ahead) = (Page::new(path, after, max), &self.0.ahead);
        let listed = match ahead.wait(&page) {
            Some(Taken::Fresh(listed)) => listed?,
            Some(Taken::Old) => self.list(&page, None)?,
            None => {
                let listed = self.list(&page, ahead.turn_to(&page))?;
                ahead.expect(&page, &listed);
                self.list_ahead()?;
                listed
            }
        };
        listed.found.iter().for_each(|found| self.tell(found));
        Ok((listed.found, listed.vanished.iter().map(|path| self.whole(path)).collect()))
    }

    /// Ends the listing ahead, at the end of a call: whoever unmounts next finds the directory let go of, and another call sees it
    /// as it is then.
    pub(crate) fn rest(&self) {
        self.0.ahead.rest();
    }

    /// Starts the threads, once. What is only written to is not walked through.
    fn list_ahead(&self) -> Result<()> {
        let mut state = self.0.ahead.state();
        while self.0.access == Access::Read && state.threads < THREADS {
            let (ahead, inner) = (self.0.ahead.clone(), Arc::downgrade(&self.0));
            let thread = std::thread::Builder::new().name("list-ahead".into());
            let started = thread.spawn(move || while step(&ahead, &inner) {});
            started.map_err(|e| dozo_job::Error::io("start a thread that lists", e))?;
            state.threads += 1;
        }
        Ok(())
    }
}

/// Lists the next page, when there is one and room for it. Returns whether to go on.
fn step(ahead: &Ahead, inner: &Weak<Inner>) -> bool {
    let mut state = ahead.state();
    let (page, names) = loop {
        if state.over {
            return false;
        }
        if let Some(next) = state.next() {
            break next;
        }
        state = ahead.work.wait(state).unwrap_or_else(PoisonError::into_inner);
    };
    drop(state);
    // Even if this thread panics nobody waits for it.
    let _at_work = AtWork { ahead, page: &page };
    let Some(inner) = inner.upgrade() else { return false };
    let listed = Directory(inner).list(&page, names);
    ahead.state().done(&page, listed);
    true
}

/// A page that a thread is at, until it is not.
struct AtWork<'a> {
    ahead: &'a Ahead,
    page: &'a Page,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut state = self.ahead.state();
        state.coming.retain(|ask| !ask.at_work || ask.page != *self.page);
        state.working -= 1;
        drop(state);
        self.ahead.done.notify_all();
        self.ahead.work.notify_all();
    }
}

/// What a page counts for, empty ones too.
fn count(listed: &Result<Listed>) -> usize {
    1 + listed.as_ref().map_or(0, |listed| listed.found.len())
}

fn last_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
