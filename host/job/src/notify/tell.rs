//! Who hears of an event, and how often it is tried. A notifier that fails is reported, and fails nothing else.

use std::time::Duration;

use serde::Serialize;

use crate::limits::{TELLING_MAX, TELLING_PAUSES};
use crate::port::{Event, EventKind, Notifier};
use crate::report::Failure;
use crate::{Error, Kind, Result};

/// Somebody who wants to hear of events.
pub struct Listener {
    /// The notifier's name in the configuration.
    pub name: String,
    /// Of which kinds.
    pub on: Vec<EventKind>,
    /// Of which jobs; none: of all.
    pub jobs: Vec<String>,
    /// The notifier's configuration as JSON, secrets resolved.
    pub config: String,
    /// Who tells them.
    pub notifier: Box<dyn Notifier>,
}

impl Listener {
    /// Whether this one wants to hear of an event. Who wants each success wants one that is a recovery, or leaves a gap, too: to
    /// whoever waits for it, silence means that there was none. Who wants those that lack something wants suspicious ones, too. A
    /// test is for everybody. What is about no job is about all.
    pub fn hears(&self, event: &Event) -> bool {
        let wanted = |kind| self.on.contains(&kind);
        match event.kind {
            EventKind::Test => return true,
            EventKind::Recovered | EventKind::RecoveryGap if !event.job.is_empty() && wanted(EventKind::Success) => {}
            EventKind::Suspicious if wanted(EventKind::Partial) => {}
            kind if wanted(kind) => {}
            _ => return false,
        }
        event.job.is_empty() || self.jobs.is_empty() || self.jobs.contains(&event.job)
    }
}

/// Whether somebody was told, and if not, why.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// `dozo/told/1`.
    pub schema: &'static str,
    /// The notifier's name in the configuration.
    pub notifier: String,
    /// The job that it is about; none of a test, or of what is about the repository as a whole.
    pub job: Option<String>,
    /// What kind of event.
    pub kind: &'static str,
    /// How often it was tried.
    pub attempts: u32,
    /// Why nobody was told.
    pub error: Option<Failure>,
}

impl Told {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/told/1";

    fn of(listener: &str, event: &Event) -> Self {
        Told {
            schema: Told::SCHEMA,
            notifier: listener.to_string(),
            job: Some(event.job.clone()).filter(|job| !job.is_empty()),
            kind: event.kind.word(),
            attempts: 0,
            error: None,
        }
    }

    /// What is left to say when nobody waits for it any more.
    pub fn given_up(listener: &str, event: &Event) -> Self {
        let error = Error::unavailable(format!("not told within {} s after the last job", TELLING_MAX.as_secs()));
        Told { error: Some(Failure::from(&error)), ..Told::of(listener, event) }
    }
}

/// Tells it: again where it may work later, and not for ever.
pub async fn tell(listener: &Listener, event: &Event) -> Told {
    tell_within(listener, event, &TELLING_PAUSES, TELLING_MAX).await
}

async fn tell_within(listener: &Listener, event: &Event, pauses: &[Duration], max: Duration) -> Told {
    let mut attempts = 0;
    let told = tokio::time::timeout(max, try_to_tell(listener, event, pauses, &mut attempts)).await;
    let told = told.unwrap_or_else(|_| Err(Error::unavailable(format!("it took longer than {} s", max.as_secs()))));
    Told { attempts, error: told.err().map(|error| Failure::from(&error)), ..Told::of(&listener.name, event) }
}

async fn try_to_tell(listener: &Listener, event: &Event, pauses: &[Duration], attempts: &mut u32) -> Result<()> {
    let mut pauses = pauses.iter();
    loop {
        *attempts += 1;
        let told = listener.notifier.notify(&listener.config, event.clone()).await;
        match (told, pauses.next()) {
            (Err(error), Some(pause)) if error.kind() == Kind::Unavailable => {
                tracing::debug!("{} could not tell, attempt {attempts}: {}", listener.name, error.chain());
                tokio::time::sleep(*pause).await;
            }
            (told, _) => return told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Commands;
    use crate::notify::{event_of_no_run, event_of_test};
    use crate::port::PluginStamp;
    use async_trait::async_trait;
    use dozo_repository::ObjectId;
    use jiff::Timestamp;
    use std::collections::VecDeque;
    use std::sync::Mutex;

    /// Answers what it is told to, then that all is well. Real notifiers are tried by the whole-system tests.
    struct Scripted {
        stamp: PluginStamp,
        answers: Mutex<VecDeque<Kind>>,
        hangs: bool,
    }

    #[async_trait]
    impl Notifier for Scripted {
        fn stamp(&self) -> &PluginStamp {
            &self.stamp
        }

        async fn check(&self, _: &str) -> Result<Vec<(String, String)>> {
            Ok(vec![])
        }

        async fn notify(&self, _: &str, _: Event) -> Result<()> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            match self.answers.lock().unwrap().pop_front() {
                Some(kind) => Err(Error::new(kind, "no")),
                None => Ok(()),
            }
        }
    }

    fn listener(answers: &[Kind], hangs: bool) -> Listener {
        let stamp = PluginStamp { name: "scripted".into(), version: "0".into(), digest: ObjectId([0; 32]) };
        let answers = Mutex::new(answers.iter().copied().collect());
        Listener {
            name: "ops".into(),
            on: vec![EventKind::Failure, EventKind::Recovered],
            jobs: vec!["db".into()],
            config: "{}".into(),
            notifier: Box::new(Scripted { stamp, answers, hangs }),
        }
    }

    fn event(kind: EventKind, job: &str) -> Event {
        let failure = Failure::from(&Error::internal("x"));
        Event {
            kind,
            ..event_of_no_run((job, "did not run"), "web-1", Timestamp::UNIX_EPOCH, &failure, &Commands::default())
        }
    }

    async fn told(answers: &[Kind], hangs: bool) -> Told {
        let pauses = [Duration::from_millis(1); 2];
        let max = Duration::from_millis(if hangs { 50 } else { 10_000 });
        tell_within(&listener(answers, hangs), &event(EventKind::Failure, "db"), &pauses, max).await
    }

    #[tokio::test]
    async fn what_may_work_later_is_tried_again_and_not_for_ever() {
        let well = told(&[Kind::Unavailable; 2], false).await;
        assert!(well.attempts == 3 && well.error.is_none(), "{well:?}");
        let given_up = told(&[Kind::Unavailable; 9], false).await;
        assert!(given_up.attempts == 3 && given_up.error.is_some(), "{given_up:?}");
        for kind in [Kind::Invalid, Kind::Denied, Kind::NotGranted, Kind::Internal] {
            let refused = told(&[kind], false).await;
            assert!(refused.attempts == 1 && refused.error.is_some_and(|error| error.kind == kind));
        }
        let hung = told(&[], true).await;
        assert!(hung.error.is_some_and(|error| error.message.contains("longer than")), "nobody waits for ever");
    }

    #[test]
    fn everybody_hears_what_they_want_to() {
        let mut listener = listener(&[], false);
        assert!(listener.hears(&event(EventKind::Failure, "db")));
        assert!(!listener.hears(&event(EventKind::Failure, "files")), "another job");
        assert!(!listener.hears(&event(EventKind::Success, "db")));
        assert!(!listener.hears(&event(EventKind::Partial, "db")));
        assert!(listener.hears(&event_of_test("web-1", Timestamp::UNIX_EPOCH)));
        listener.on = vec![EventKind::Partial];
        assert!(listener.hears(&event(EventKind::Suspicious, "db")), "much of it may be missing");
        assert!(!listener.hears(&event(EventKind::Prune, "")), "not in `on`");
        listener.on = vec![EventKind::Prune];
        assert!(listener.hears(&event(EventKind::Prune, "")), "what is about no job is about all");
        listener.on = vec![EventKind::Success];
        assert!(!listener.hears(&event(EventKind::Suspicious, "db")), "that is no success");
        assert!(!listener.hears(&event(EventKind::Recovered, "")), "no snapshot was made");
        assert!(listener.hears(&event(EventKind::RecoveryGap, "db")), "a snapshot all the same");
        assert!(listener.hears(&event(EventKind::Recovered, "db")), "a recovery is a success");
        listener.jobs = vec![];
        assert!(listener.hears(&event(EventKind::Success, "files")));
    }
}
