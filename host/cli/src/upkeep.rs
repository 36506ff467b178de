//! Work on the repository that is no run: verify, mirror, prune, repair. What became of it is remembered on this host, and
//! people hear of what went wrong, and of its being well again. The notifiers are made ready only where there is something to
//! tell.

use dozo_job::health::Upkeep;
use dozo_job::notify::event_of_upkeep;
use dozo_job::port::{Event, EventKind};
use dozo_job::{Clock, Failure, Kind};
use dozo_repository::format::record::Outcome;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::{Global, IdentityArgs};
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::notifiers::Notifiers;
use crate::outcomes::{Became, Task};
use crate::ui;

/// How work came to its end.
pub(crate) struct Ended {
    /// What the caller is told.
    pub(crate) exit: Exit,
    /// What is wrong, though the work was done.
    pub(crate) trouble: Option<Failure>,
    /// Whether it was all of the work. That a part went well says nothing of what was wrong before.
    pub(crate) all: bool,
    /// Whether what is wrong is that something is damaged.
    pub(crate) damage: bool,
}

impl Ended {
    /// All is well.
    pub(crate) fn well(exit: Exit) -> Self {
        Ended { exit, trouble: None, all: true, damage: false }
    }

    /// Nothing is wrong with what was looked at, which was not all.
    pub(crate) fn in_part(exit: Exit) -> Self {
        Ended { exit, trouble: None, all: false, damage: false }
    }

    /// The work was done, and this is wrong: what, the first of it, and what to do.
    pub(crate) fn badly(exit: Exit, message: String, first: impl Iterator<Item = String>, hint: &str) -> Self {
        /// Of what may be thousands.
        const NAMED: usize = 5;
        let causes = first.take(NAMED).collect();
        let trouble = Failure { kind: Kind::Corrupt, message, causes, hint: Some(hint.into()) };
        let trouble = ui::commands().failure(trouble).in_zone(&TimeZone::system());
        Ended { exit, trouble: Some(trouble), all: true, damage: exit == Exit::Damaged }
    }
}

/// What is to be told of in this process.
pub(crate) struct Watch<'a> {
    context: &'a Context,
    events: Vec<Event>,
    /// Whether what went wrong was mistyped.
    mistyped: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn begin(context: &'a Context) -> Self {
        Watch { context, events: Vec::new(), mistyped: false }
    }

    /// Passes on what depends on the command line alone. What is wrong with that is for whoever typed it: the work was never
    /// begun, and what became of it the last time still counts.
    pub(crate) fn typed<T, E: Into<anyhow::Error>>(&mut self, result: Result<T, E>) -> anyhow::Result<T> {
        self.mistyped |= result.is_err();
        result.map_err(Into::into)
    }

    /// The same of an owner's key, where one was typed, or is nowhere to be found. One that the configuration names is to be there.
    pub(crate) fn typed_key<T>(&mut self, args: &IdentityArgs, result: anyhow::Result<T>) -> anyhow::Result<T> {
        let is_configured = args.identity.is_none() && self.context.owner_file(args).is_some();
        if is_configured { result } else { self.typed(result) }
    }

    /// Notes what became of some work. That somebody else is at work is no failure: it is found out if it is so each time.
    pub(crate) fn ended(&mut self, what: &Upkeep, started: Timestamp, result: Result<&Ended, &anyhow::Error>) {
        match result {
            Ok(Ended { trouble: None, all: false, .. }) => return,
            Err(error) if std::mem::take(&mut self.mistyped) || Exit::of(error) == Exit::Busy => return,
            _ => {}
        }
        let (trouble, was_done) = match result {
            Ok(ended) => (ended.trouble.clone(), true),
            Err(error) => (Some(ui::errors::failure(error)), false),
        };
        let outcome = if trouble.is_some() { Outcome::Failed } else { Outcome::Complete };
        let now = SystemClock.now();
        let became = Became {
            outcome,
            damage: result.is_ok_and(|ended| ended.damage),
            why: trouble.as_ref().map(Failure::one_line),
        };
        let (before, mut errors) = self.context.outcomes().replace(Task::Upkeep(what), now, became);
        if trouble.is_none() {
            errors.extend(heals(what).and_then(|healed| self.context.outcomes().heal(Task::Upkeep(&healed)).err()));
        }
        errors.iter().for_each(|error| self.context.not_remembered(error));
        let again = before.is_some_and(|last| last.outcome != Outcome::Complete);
        let (kind, words) = match (&trouble, was_done) {
            (None, _) if again => (EventKind::Recovered, well_again(what)),
            (None, _) => return,
            (Some(_), true) => found_trouble(what),
            (Some(_), false) => failure_of(what),
        };
        let (host, times, work) = (self.context.host(), (started, now), (what, words.as_str()));
        self.events.push(event_of_upkeep(kind, &host, times, work, trouble.as_ref(), ui::commands()));
    }

    /// Tells people, and waits for that.
    pub(crate) async fn finish(self, global: &Global) -> anyhow::Result<()> {
        if self.events.is_empty() || self.context.loaded.config.notify.is_empty() {
            return Ok(());
        }
        let mut plugins = match self.context.plugins() {
            Ok(plugins) => plugins,
            Err(error) => {
                ui::errors::tell(global, &error.context("no notifier could be told"));
                return Ok(());
            }
        };
        let mut notifiers = Notifiers::prepare(global, self.context, &mut plugins, self.events.len()).await;
        self.events.iter().for_each(|event| notifiers.send(event));
        notifiers.finish(global).await
    }
}

/// What other work found is put right where this ended well: all that was damaged was looked at once more.
fn heals(what: &Upkeep) -> Option<Upkeep> {
    match what {
        Upkeep::Repair(place) => Some(Upkeep::Verify(place.clone())),
        Upkeep::Verify(place) => Some(Upkeep::Repair(place.clone())),
        Upkeep::Mirror(_) | Upkeep::Prune => None,
    }
}

fn well_again(what: &Upkeep) -> String {
    match what {
        Upkeep::Verify(_) => format!("a verification of {} found nothing wrong any more", place(what)),
        Upkeep::Mirror(_) => format!("{} is complete again", place(what)),
        Upkeep::Prune => "the prune succeeded again".into(),
        Upkeep::Repair(_) => format!("a repair of {} left nothing damaged", place(what)),
    }
}

fn found_trouble(what: &Upkeep) -> (EventKind, String) {
    match what {
        Upkeep::Verify(_) => (EventKind::Damage, format!("{} is damaged", place(what))),
        Upkeep::Mirror(_) => (EventKind::Mirror, format!("{} is not complete", place(what))),
        Upkeep::Prune => (EventKind::Prune, "the prune could not delete everything".into()),
        Upkeep::Repair(_) => (EventKind::Repair, format!("{} could not be repaired as a whole", place(what))),
    }
}

fn failure_of(what: &Upkeep) -> (EventKind, String) {
    match what {
        Upkeep::Verify(_) => (EventKind::Verify, format!("{} could not be verified", place(what))),
        Upkeep::Mirror(_) => (EventKind::Mirror, format!("{} could not be filled", place(what))),
        Upkeep::Prune => (EventKind::Prune, "the prune failed".into()),
        Upkeep::Repair(_) => (EventKind::Repair, format!("the repair of {} failed", place(what))),
    }
}

/// What the work is done to.
fn place(what: &Upkeep) -> String {
    match what {
        Upkeep::Mirror(name) | Upkeep::Verify(Some(name)) | Upkeep::Repair(Some(name)) => {
            format!("the mirror `{name}`")
        }
        Upkeep::Verify(None) | Upkeep::Repair(None) | Upkeep::Prune => "the repository".into(),
    }
}
