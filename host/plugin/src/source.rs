//! A plugin as the port of `job`.

use std::sync::Arc;

use async_trait::async_trait;
use dozo_job::port::{
    BackupRequest, Finished, Intake, Moment, PluginStamp, RestoreRequest, ScratchServer, Source, Stored,
};
use dozo_job::{Error, Result};

use crate::convert;
use crate::limits::{FACTS, QUESTION_IDLE};
use crate::plugin::{Function, Permit, Plugin};
use crate::state::Call;
use crate::tree::Directory;

/// A restore that misses something must not also take something away.
const NOTHING_DELETED: &str = "`--delete` deleted nothing, because not everything could be restored";

/// A source that is a component.
pub struct WasmSource {
    plugin: Plugin,
    permit: Permit,
}

impl WasmSource {
    pub(crate) fn new(plugin: Plugin, permit: Permit) -> Self {
        WasmSource { plugin, permit }
    }

    /// Calls a function that is not a backup or a restore.
    async fn ask<R: Send + 'static>(
        &self,
        function: Function<Result<R, crate::bindings::dozo::plugin::types::Error>>,
    ) -> Result<R> {
        let mut permit = self.permit.clone();
        permit.limits.idle = permit.limits.idle.min(QUESTION_IDLE);
        let wall = permit.limits.stall;
        Ok(self.plugin.call_fallible(Call::Question, &permit, wall, function).await?.0)
    }
}

#[async_trait]
impl Source for WasmSource {
    fn stamp(&self) -> &PluginStamp {
        self.plugin.stamp()
    }

    async fn backup(&self, request: BackupRequest, intake: Arc<dyn Intake>) -> Result<Finished> {
        let request = convert::request_to_wit(request);
        let function: Function<_> = Box::new(move |exports, store| exports.backup(store, request));
        let wall = self.permit.limits.wall;
        Ok(self.plugin.call_fallible(Call::Backup(intake), &self.permit, wall, function).await?.1)
    }

    async fn committed(&self, config: &str, attributes: Vec<(String, String)>) -> Result<()> {
        let config = config.to_string();
        self.ask(Box::new(move |exports, store| exports.committed(store, config, attributes))).await
    }

    async fn abandoned(&self, config: &str) -> Result<()> {
        let config = config.to_string();
        self.ask(Box::new(move |exports, store| exports.abandoned(store, config))).await
    }

    async fn restore(&self, request: RestoreRequest, stored: Arc<dyn Stored>) -> (Finished, Result<()>) {
        let request = convert::restore_to_wit(request);
        let function: Function<_> = Box::new(move |exports, store| exports.restore(store, request));
        let wall = self.permit.limits.wall;
        let (answer, mut finished) = self.plugin.call_to_end(Call::Restore(stored), &self.permit, wall, function).await;
        let directories = self.permit.grants.directories.clone();
        let is_whole = answer.is_ok() && finished.uncreated_count == 0;
        let end = move || {
            let deleted = if is_whole { directories.iter().map(Directory::delete_extra).sum() } else { 0 };
            // Also of a restore that failed: what is there is to stay, and not to be open to all.
            directories.iter().for_each(Directory::become_what_it_stands_for);
            let (named, count) = Directory::uncreated_of_all(&directories);
            let mut notes: Vec<String> = directories.iter().flat_map(Directory::take_notes).collect();
            if !is_whole && directories.iter().any(Directory::deletes) {
                notes.push(NOTHING_DELETED.into());
            }
            directories.iter().try_for_each(Directory::sync).map(|()| (deleted, named, count, notes))
        };
        let ended = tokio::task::spawn_blocking(end).await;
        match ended.unwrap_or_else(|e| Err(Error::internal(format!("a thread of the host ended early: {e}")))) {
            Ok((deleted, named, count, notes)) => {
                finished.notes.extend(notes);
                (finished.entries_deleted, finished.uncreated, finished.uncreated_count) = (deleted, named, count);
                (finished, answer)
            }
            Err(error) => (finished, answer.and(Err(error))),
        }
    }

    async fn check(&self, config: &str) -> Result<Vec<(String, String)>> {
        let config = config.to_string();
        let facts = self.ask(Box::new(move |exports, store| exports.check(store, config))).await?;
        if facts.len() > FACTS {
            let what = format!("the plugin tells {} facts of its source, more than {FACTS}", facts.len());
            return Err(Error::internal(what));
        }
        let clean = |text: String| convert::printable(self.permit.secrets.redact(text));
        Ok(facts.into_iter().map(|(what, fact)| (clean(what), clean(fact))).collect())
    }

    async fn covers(&self, attributes: Vec<(String, String)>, at: Moment) -> Result<Option<String>> {
        let at = convert::moment_to_wit(at);
        let covers = self.ask(Box::new(move |exports, store| exports.covers(store, attributes, at))).await?;
        Ok(covers.map(|words| convert::printable(self.permit.secrets.redact(words))))
    }

    async fn scratch(&self, config: &str, directory: &str) -> Result<Option<ScratchServer>> {
        let (config, directory) = (config.to_string(), directory.to_string());
        let server = self.ask(Box::new(move |exports, store| exports.scratch(store, config, directory))).await?;
        Ok(server.map(convert::scratch_from_wit))
    }

    async fn probe(&self, config: &str, question: &str) -> Result<String> {
        let (config, question) = (config.to_string(), question.to_string());
        self.ask(Box::new(move |exports, store| exports.probe(store, config, question))).await
    }
}
