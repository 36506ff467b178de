//! Acts of a restore, into the granted target.

use dozo_sdk::bindings::dozo::plugin::streaming;
use dozo_sdk::tree::{self, Directory};
use dozo_sdk::{Entry, Error, Kind, Restore, Result};

use crate::promise;

pub(crate) async fn act(act: &str, restore: &Restore) -> Result<()> {
    let (_, target) = tree::granted().remove(0);
    for entry in restore.entries("") {
        let entry = entry?;
        if entry.kind == Kind::Directory {
            target.create(&entry, None)?;
            continue;
        }
        let content = restore.read(&entry.path, 0)?;
        let written = match act {
            "through-memory" => through_memory(&target, &entry, &content)?,
            "streaming" => streaming::create(&target, entry.clone(), Some(content)).await?,
            _ => target.create(&entry, Some(content))?,
        };
        promise(Some(written) == entry.size, &format!("{} has {written} bytes, not {:?}", entry.path, entry.size))?;
    }
    match act {
        "wrong-offset" => promise(restore.read("written", u64::MAX).is_err(), "an offset beyond the end is refused"),
        "attributes" => promise(restore.attribute("position").as_deref() == Some("18"), "attributes come back"),
        _ => Ok(()),
    }
}

/// Bytes that the plugin handles itself: a file appears when it is closed.
fn through_memory(target: &Directory, entry: &Entry, content: &dozo_sdk::Content) -> Result<u64> {
    let file = target.create_file(entry)?;
    let mut written = 0;
    loop {
        let piece = content.read(1 << 20)?;
        if piece.is_empty() {
            break;
        }
        file.write(&piece)?;
        written += piece.len() as u64;
    }
    promise(target.get(&entry.path)?.is_none(), "half a file has no name")?;
    tree_close(file)?;
    promise(target.get(&entry.path)?.is_some(), "a closed file has its name")?;
    Ok(written)
}

fn tree_close(file: dozo_sdk::bindings::dozo::plugin::tree::File) -> Result<()> {
    dozo_sdk::bindings::dozo::plugin::tree::File::close(file).map_err(|e| Error::Internal(e.message().to_string()))
}
