//! `contents`: content on the host's side, read into the plugin when it insists.

use std::io::Read;

use dozo_job::Error;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::contents;
use crate::bindings::dozo::plugin::types::Error as Told;
use crate::handles::ContentHandle;
use crate::interface::blocking;
use crate::limits::READ_BYTES;
use crate::state::State;

impl contents::Host for State {}

impl contents::HostContent for State {
    async fn read(&mut self, handle: Resource<ContentHandle>, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let _busy = self.life.enter();
        let Some(mut content) = self.table.get_mut(&handle)?.0.take() else {
            return Ok(Err(Told::Corrupt("this content failed before; it cannot be read on".into())));
        };
        let max = max.clamp(1, READ_BYTES) as usize;
        let (content, read) = blocking(move || {
            let mut bytes = vec![0; max];
            let read = content.read(&mut bytes).map(|read| {
                bytes.truncate(read);
                bytes
            });
            (content, read)
        })
        .await?;
        match read {
            Ok(bytes) => {
                self.table.get_mut(&handle)?.0 = Some(content);
                Ok(Ok(bytes))
            }
            Err(error) => Ok(Err(Self::told(&Error::io("read the content", error)))),
        }
    }

    fn drop(&mut self, handle: Resource<ContentHandle>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}
