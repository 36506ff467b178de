//! `stored`: a finished snapshot, for restore.

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::stored;
use crate::bindings::dozo::plugin::types::{Entry, Error as Told};
use crate::convert::{self, entry_to_wit};
use crate::handles::ContentHandle;
use crate::interface::told;
use crate::limits::PAGE_ENTRIES;
use crate::state::State;

impl stored::Host for State {
    fn attributes(&mut self) -> Result<Vec<(String, String)>> {
        let _busy = self.life.enter();
        Ok(self.stored().map_or_else(|_| Vec::new(), |stored| stored.attributes()))
    }

    async fn entries(&mut self, prefix: String, after: Option<String>, max: u32) -> Result<Result<Vec<Entry>, Told>> {
        let _busy = self.life.enter();
        let stored = match self.stored() {
            Ok(stored) => stored,
            Err(error) => return Ok(Err(error)),
        };
        let page = stored.entries(prefix, after, max.clamp(1, PAGE_ENTRIES) as usize).await;
        Ok(match page {
            Ok(page) => Ok(page.into_iter().map(entry_to_wit).collect()),
            Err(error) => Err(Self::told(&error)),
        })
    }

    async fn narrow(&mut self, prefixes: Vec<String>) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        match self.stored() {
            Ok(stored) => told(stored.narrow(prefixes).await),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn read(&mut self, path: String, offset: u64) -> Result<Result<Resource<ContentHandle>, Told>> {
        let _busy = self.life.enter();
        let stored = match self.stored() {
            Ok(stored) => stored,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match stored.read(path, offset).await {
            Ok(content) => Ok(self.hold_content(content)?),
            Err(error) => Err(Self::told(&error)),
        })
    }

    fn note(&mut self, text: String) -> Result<()> {
        let _busy = self.life.enter();
        if self.stored().is_ok() {
            self.life.note(convert::printable(self.secrets.redact(text)));
        }
        Ok(())
    }
}
