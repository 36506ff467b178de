//! The directory of a store on this machine, made where one is to begin: its last component alone. What lies above may be a disk
//! that is not mounted, and then a repository would fill the disk below.

use std::io::ErrorKind;
use std::path::Path;

use dozo_job::Error;
use dozo_repository::StorePlace;

use crate::config::{Loaded, Secrecy, StoreTables};

impl Loaded {
    /// Makes the directory of a store, if it is one; with `parents`, those above it too.
    pub(crate) fn make_store_directory(&self, tables: &StoreTables<'_>, parents: bool) -> anyhow::Result<()> {
        match self.store_config(tables, Secrecy::Pretend)?.place {
            StorePlace::Directory(directory) => Ok(make(&directory, parents)?),
            _ => Ok(()),
        }
    }
}

fn make(directory: &Path, parents: bool) -> Result<(), Error> {
    let made = if parents { std::fs::create_dir_all(directory) } else { std::fs::create_dir(directory) };
    match made {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = directory.parent().unwrap_or(directory).display();
            Err(Error::invalid(format!("there is no directory {above}"))
                .hinted(format!("is its file system mounted? `--parents` makes {above} too")))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(Error::io(format!("make the directory {}", directory.display()), error)),
        Ok(()) => Ok(()),
    }
}
