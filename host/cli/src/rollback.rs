//! Holding what a store shows against what this host remembers of it, and telling the operator. Begun before the view is
//! taken, so that what others add meanwhile is in the view.

use dozo_job::{Error, LookBack, Lost, Memory, Seen, look_back, newest};
use dozo_repository::{Repository, View};

use crate::context::Context;
use crate::exit::Exit;
use crate::memory::FileMemory;
use crate::ui;

/// What was remembered when it was begun.
pub(crate) struct Back {
    memory: FileMemory,
    recalled: Result<Option<Vec<Seen>>, Error>,
}

impl Back {
    pub(crate) fn begin(context: &Context, repository: &Repository) -> Self {
        let memory = context.memory(repository);
        let recalled = memory.recall();
        Back { memory, recalled }
    }

    /// For whoever asks how the repository is: a store that was rolled back is an alert. One that was not is remembered.
    pub(crate) async fn alert(self, view: &View) -> anyhow::Result<Vec<Lost>> {
        let found = self.found(view).await?;
        if !found.lost.is_empty() {
            say("alert", &found, view);
        }
        Ok(found.lost)
    }

    /// The same for whoever tells of it in their own words.
    pub(crate) async fn look(self, view: &View) -> anyhow::Result<Vec<Lost>> {
        Ok(self.found(view).await?.lost)
    }

    async fn found(self, view: &View) -> anyhow::Result<LookBack> {
        let (memory, found) = (self.memory, look_back(view, self.recalled).await?);
        note(&found);
        if found.lost.is_empty()
            && let Err(error) = memory.remember(&newest(view))
        {
            ui::note(format!("note: what was seen could not be remembered: {}", error.chain()));
        }
        Ok(found)
    }

    /// For whoever reads: what there is can be had all the same, from a mirror that lags, too.
    pub(crate) async fn tell(self, view: &View) -> anyhow::Result<()> {
        // Without a memory there is nothing to tell: a restore may happen on any machine.
        if let Ok(Some(_)) = &self.recalled {
            say("note", &look_back(view, self.recalled).await?, view);
        }
        Ok(())
    }

    /// For whoever deletes.
    pub(crate) async fn refuse(self, view: &View) -> anyhow::Result<()> {
        let found = look_back(view, self.recalled).await?;
        note(&found);
        Ok(found.refuse(view)?)
    }
}

fn note(found: &LookBack) {
    if let Some(note) = &found.note {
        ui::note(format!("note: {note}"));
    }
}

/// What the caller is told.
pub(crate) fn exit_of(lost: &[Lost]) -> Exit {
    if lost.is_empty() { Exit::Done } else { Exit::Damaged }
}

fn say(word: &str, found: &LookBack, view: &View) {
    let url = view.repository().url();
    for lost in &found.lost {
        ui::note(format!("{word}: {url} shows less than it did: {lost}"));
    }
    if let (Err(error), "alert") = (found.refuse(view), word)
        && let Some(hint) = error.hint()
    {
        ui::note(format!("hint: {hint}"));
    }
}
