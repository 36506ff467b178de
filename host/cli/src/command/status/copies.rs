//! How many copies of each job's newest complete snapshot there are: the repository and its mirrors, opened and walked.

use std::collections::HashMap;

use dozo_repository::{ObjectId, View, copies};

use crate::args::{FromArgs, Global};
use crate::context::Context;
use crate::exit::Exit;
use crate::ui;

/// What the repository and its mirrors hold.
pub(super) struct Copies {
    of: HashMap<ObjectId, u32>,
    /// Stores that could be looked at.
    pub(super) stores: usize,
    /// What became of the worst of the others.
    pub(super) exit: Exit,
}

impl Copies {
    /// Looks at every mirror. One that cannot be reached holds no copy that counts, and is told.
    pub(super) async fn count(global: &Global, context: &Context, view: &View) -> anyhow::Result<Self> {
        let (mut mirrors, mut exit) = (Vec::new(), Exit::Done);
        for table in context.loaded.mirrors(&[])? {
            let from = FromArgs { from: Some(table.name.clone()) };
            let opened = async { Ok(context.repository_at(&from).await?.view().await?) };
            match opened.await {
                Ok(view) => mirrors.push(view),
                Err(error) => {
                    let error: anyhow::Error = error;
                    let error = error.context(format!("the mirror {} counts for nothing", table.name));
                    ui::errors::tell(global, &error);
                    exit = exit.worst(Exit::of(&error));
                }
            }
        }
        let views: Vec<&View> = [view].into_iter().chain(&mirrors).collect();
        Ok(Copies { of: copies(&views).await?, stores: views.len(), exit })
    }

    /// On how many stores a snapshot is whole.
    pub(super) fn of(&self, snapshot: &ObjectId) -> u32 {
        self.of.get(snapshot).copied().unwrap_or(0)
    }
}
