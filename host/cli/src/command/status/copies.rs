//! How many copies of each job's newest complete snapshot there are: the repository and its mirrors, opened and walked.

use std::collections::HashMap;

use dozo_repository::{ObjectId, View, copies};

use crate::args::FromArgs;
use crate::context::Context;
use crate::ui;

/// What the repository and its mirrors hold.
pub(super) struct Copies {
    of: HashMap<ObjectId, u32>,
    /// Stores that could be looked at.
    pub(super) stores: usize,
    /// The others, and why each could not be.
    pub(super) unseen: Vec<(String, String)>,
}

impl Copies {
    /// Looks at every mirror. One that cannot be reached holds no copy that counts.
    pub(super) async fn count(context: &Context, view: &View) -> anyhow::Result<Self> {
        let (mut mirrors, mut unseen) = (Vec::new(), Vec::new());
        for table in context.loaded.mirrors(&[])? {
            let from = FromArgs { from: Some(table.name.clone()) };
            let opened = async { Ok(context.repository_at(&from).await?.view().await?) };
            match opened.await {
                Ok(view) => mirrors.push(view),
                Err(error) => {
                    let error: anyhow::Error = error;
                    unseen.push((table.name.clone(), ui::errors::failure(&error).one_line()));
                }
            }
        }
        let views: Vec<&View> = [view].into_iter().chain(&mirrors).collect();
        Ok(Copies { of: copies(&views).await?, stores: views.len(), unseen })
    }

    /// On how many stores a snapshot is whole.
    pub(super) fn of(&self, snapshot: &ObjectId) -> u32 {
        self.of.get(snapshot).copied().unwrap_or(0)
    }
}
