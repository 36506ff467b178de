//! `tree`: granted directories. Everything blocks, so everything moves to threads for that.

use std::sync::Arc;

use dozo_job::limits::READ_BYTES;
use dozo_job::port::{Content, Entry, EntryKind};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::tree;
use crate::bindings::dozo::plugin::types::{Entry as WitEntry, Error as Told};
use crate::convert::{entry_from_wit, entry_to_wit};
use crate::handles::{ContentHandle, FileHandle};
use crate::interface::batch::create_all;
use crate::interface::{blocking, told};
use crate::limits::PAGE_ENTRIES;
use crate::state::{Call, State};
use crate::tree::{Directory, FileContent, Found, Role, Unrest};

impl tree::Host for State {
    fn granted(&mut self) -> Result<Vec<(String, Resource<Directory>)>> {
        let _busy = self.life.enter();
        let directories = self.grants.directories.clone();
        directories.into_iter().map(|directory| Ok((directory.shown(), self.hold(directory)?))).collect()
    }

    fn locate(&mut self, path: String) -> Result<Result<tree::Place, Told>> {
        let _busy = self.life.enter();
        Ok(match crate::tree::locate(&self.grants.directories, &path) {
            Ok((directory, path, entry_path)) => Ok(tree::Place { directory: self.hold(directory)?, path, entry_path }),
            Err(error) => Err(Self::told(&error)),
        })
    }
}

impl tree::HostDirectory for State {
    async fn identity(&mut self, handle: Resource<Directory>) -> Result<Result<String, Told>> {
        self.in_directory(&handle, Directory::identity).await
    }

    async fn special_file_system(
        &mut self,
        handle: Resource<Directory>,
        path: String,
    ) -> Result<Result<Option<String>, Told>> {
        self.in_directory(&handle, move |directory| directory.special_file_system(&path)).await
    }

    async fn get(&mut self, handle: Resource<Directory>, path: String) -> Result<Result<Option<tree::Found>, Told>> {
        let found = self.in_directory(&handle, move |directory| directory.get(&path)).await?;
        Ok(found.map(|found| found.map(found_to_wit)))
    }

    async fn children(
        &mut self,
        handle: Resource<Directory>,
        path: String,
        after: Option<String>,
        max: u32,
    ) -> Result<Result<Vec<tree::Found>, Told>> {
        let max = max.clamp(1, PAGE_ENTRIES) as usize;
        let directory = self.table.get(&handle)?.clone();
        let _busy = self.life.enter();
        let found = match directory.is_ready(&path, after.as_deref(), max) {
            true => directory.children(&path, after.as_deref(), max),
            false => blocking(move || directory.children(&path, after.as_deref(), max)).await?,
        };
        let Ok((found, vanished)) = found else { return told(found.map(|_| Vec::new())) };
        // Where nothing is backed up, nothing is missing.
        if let Ok(intake) = self.intake() {
            vanished.into_iter().try_for_each(|path| intake.gone(path)).map_err(wasmtime::Error::from)?;
        }
        Ok(Ok(found.into_iter().map(found_to_wit).collect()))
    }

    fn open(
        &mut self,
        handle: Resource<Directory>,
        path: String,
        version: Option<String>,
    ) -> Result<Result<Resource<ContentHandle>, Told>> {
        let _busy = self.life.enter();
        let opened = self.table.get(&handle)?.open_file(&path, Unrest::Refused { version });
        self.hold_file(opened)
    }

    fn open_changing(
        &mut self,
        handle: Resource<Directory>,
        path: String,
    ) -> Result<Result<Resource<ContentHandle>, Told>> {
        let _busy = self.life.enter();
        let opened = self.table.get(&handle)?.open_file(&path, Unrest::Noted);
        self.hold_file(opened)
    }

    async fn create(
        &mut self,
        handle: Resource<Directory>,
        entry: WitEntry,
        from: Option<Resource<ContentHandle>>,
    ) -> Result<Result<u64, Told>> {
        self.settle()?;
        let (entry, content) = (entry_from_wit(entry), self.take_content(from)?);
        let role = self.role_of(&entry);
        let create = move |directory: &Directory| directory.create(&entry, role, content, &mut vec![0; READ_BYTES]);
        self.in_directory(&handle, create).await
    }

    async fn create_all(
        &mut self,
        handle: Resource<Directory>,
        batch: Vec<tree::NewEntry>,
    ) -> Result<Vec<Result<u64, Told>>> {
        let _busy = self.life.enter();
        self.settle()?;
        let directory = self.table.get(&handle)?.clone();
        let mut items = Vec::with_capacity(batch.len());
        for tree::NewEntry { entry, content } in batch {
            let entry = entry_from_wit(entry);
            let role = self.role_of(&entry);
            items.push((entry, role, self.take_content(content)?));
        }
        let results = create_all(directory, items).await?;
        Ok(results.into_iter().map(|result| result.map_err(|error| Self::told(&error))).collect())
    }

    async fn create_file(
        &mut self,
        handle: Resource<Directory>,
        entry: WitEntry,
    ) -> Result<Result<Resource<FileHandle>, Told>> {
        self.settle()?;
        let entry = entry_from_wit(entry);
        let created = self.in_directory(&handle, move |directory| directory.create_file(entry)).await?;
        Ok(match created {
            Ok(file) => {
                let end = self.unfinished.whole("a file that it began to write", Arc::default());
                Ok(self.hold(FileHandle::new(file, end))?)
            }
            Err(error) => Err(error),
        })
    }

    async fn set_metadata(&mut self, handle: Resource<Directory>, entry: WitEntry) -> Result<Result<(), Told>> {
        self.settle()?;
        let entry = entry_from_wit(entry);
        self.in_directory(&handle, move |directory| directory.set_metadata(&entry)).await
    }

    async fn remove(&mut self, handle: Resource<Directory>, path: String) -> Result<Result<(), Told>> {
        self.settle()?;
        self.in_directory(&handle, move |directory| directory.remove(&path)).await
    }

    fn drop(&mut self, handle: Resource<Directory>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl tree::HostFile for State {
    async fn write(&mut self, handle: Resource<FileHandle>, bytes: Vec<u8>) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        let Some(mut file) = self.table.get_mut(&handle)?.lend() else {
            return Ok(Err(Told::Invalid("a write to this file failed before".into())));
        };
        let (file, written) = blocking(move || {
            let written = file.write(&bytes);
            (file, written)
        })
        .await?;
        // After an error the file is dropped, and with it what was written: it will not appear.
        self.table.get_mut(&handle)?.give_back(file, &written);
        told(written)
    }

    async fn close(&mut self, handle: Resource<FileHandle>) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        let Some(file) = self.table.delete(handle)?.close() else {
            return Ok(Err(Told::Invalid("a write to this file failed before".into())));
        };
        told(blocking(move || file.close()).await?.map(|_| ()))
    }

    fn drop(&mut self, handle: Resource<FileHandle>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl State {
    /// Does something with a granted directory on a thread that may block.
    async fn in_directory<T: Send + 'static>(
        &mut self,
        handle: &Resource<Directory>,
        work: impl FnOnce(&Directory) -> dozo_job::Result<T> + Send + 'static,
    ) -> Result<Result<T, Told>> {
        let _busy = self.life.enter();
        let directory = self.table.get(handle)?.clone();
        Ok(blocking(move || work(&directory)).await?.map_err(|error| Self::told(&error)))
    }

    fn hold_file(&mut self, opened: dozo_job::Result<FileContent>) -> Result<Result<Resource<ContentHandle>, Told>> {
        Ok(match opened {
            Ok(content) => Ok(self.hold_content(Box::new(content))?),
            Err(error) => Err(Self::told(&error)),
        })
    }

    /// What an entry is to the restore that goes on.
    pub(super) fn role_of(&self, entry: &Entry) -> Role {
        match &self.call {
            Call::Restore(stored) if entry.kind == EntryKind::Directory && stored.is_above(&entry.path) => Role::Above,
            _ => Role::Chosen,
        }
    }

    fn take_content(&mut self, handle: Option<Resource<ContentHandle>>) -> Result<Option<Content>> {
        handle.map(|handle| Ok(self.table.delete(handle)?.hand_on())).transpose()
    }
}

fn found_to_wit(found: Found) -> tree::Found {
    let Found { entry, device, inode, .. } = found;
    tree::Found { entry: entry_to_wit(entry), device, inode }
}
