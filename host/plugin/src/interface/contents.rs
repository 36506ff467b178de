//! `contents`: content on the host's side, read into the plugin when it insists.

use std::io::Read;

use dozo_job::Error;
use dozo_job::port::Content;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::contents;
use crate::bindings::dozo::plugin::types::Error as Told;
use crate::handles::ContentHandle;
use crate::interface::{blocking, told};
use crate::limits::READ_BYTES;
use crate::state::State;

impl contents::Host for State {}

impl contents::HostContent for State {
    async fn read(&mut self, handle: Resource<ContentHandle>, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let _busy = self.life.enter();
        let Some(content) = self.table.get_mut(&handle)?.lend() else { return Ok(Err(unreadable())) };
        let (content, read) = read_once(content, max).await?;
        self.table.get_mut(&handle)?.give_back(content, &read);
        told(read)
    }

    fn drop(&mut self, handle: Resource<ContentHandle>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

/// Reads once, on a thread that may block, and gives the content back.
pub(super) async fn read_once(mut content: Content, max: u32) -> Result<(Content, dozo_job::Result<Vec<u8>>)> {
    let max = max.clamp(1, READ_BYTES) as usize;
    blocking(move || {
        let mut bytes = vec![0; max];
        let read = content.read(&mut bytes).map(|read| {
            bytes.truncate(read);
            bytes
        });
        (content, read.map_err(|error| Error::io("read the content", error)))
    })
    .await
}

/// Content that is not there: only one may read it at a time, and nobody after it failed.
pub(super) fn unreadable() -> Told {
    Told::Corrupt("this content is being read elsewhere, or failed before; it cannot be read on".into())
}
