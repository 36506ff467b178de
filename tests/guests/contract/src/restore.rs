//! Acts of a restore, into the granted target.

use dozo_sdk::bindings::dozo::plugin::streaming;
use dozo_sdk::tree::{self, Directory};
use dozo_sdk::{Entry, Error, Kind, Restore, Result};

use crate::promise;

pub(crate) async fn act(act: &str, restore: &Restore) -> Result<()> {
    let (_, target) = tree::granted().remove(0);
    match act {
        "narrow" => narrow(restore)?,
        "narrow-and-forget" => {
            restore.narrow(&["dir".into()])?;
            return restore_one(restore, &target, "dir/a");
        }
        "read-before-narrow" => {
            restore.read("dir/a", 0)?.drain()?;
            restore.narrow(&["dir".into()])?;
            return restore_one(restore, &target, "dir/b");
        }
        "narrow-late" => {
            restore_one(restore, &target, "dir/a")?;
            promise(restore.narrow(&["dir".into()]).is_err(), "what was begun is not narrowed")?;
        }
        "maps" => return maps(restore, &target),
        "moment" => return moment(restore, &target),
        _ => {}
    }
    for entry in restore.entries("") {
        let entry = entry?;
        if entry.kind == Kind::Directory {
            target.create(&entry, None)?;
            continue;
        }
        if act == "narrow-late" && entry.path == "dir/a" {
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

/// Only what is needed is there, from then on.
fn narrow(restore: &Restore) -> Result<()> {
    for wrong in [&["nosuch"][..], &["dir", "dir/no"], &["/dir"], &[]] {
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        promise(matches!(restore.narrow(&wrong), Err(Error::Invalid(_))), &format!("{wrong:?} is refused"))?;
    }
    restore.narrow(&["dir".into(), "dir/a".into()])?;
    promise(restore.narrow(&["dir".into()]).is_err(), "a restore is narrowed once")?;
    let shown: Vec<String> = restore.entries("").map(|entry| entry.map(|entry| entry.path)).collect::<Result<_>>()?;
    promise(shown == ["dir", "dir/a", "dir/b"], &format!("{shown:?} is shown"))?;
    promise(restore.read("base", 0).is_err(), "what is not needed cannot be read")
}

fn restore_one(restore: &Restore, target: &Directory, path: &str) -> Result<()> {
    let entry = restore.entries(path).next().ok_or_else(|| Error::Internal(format!("{path} is not there")))??;
    target.create(&entry, Some(restore.read(path, 0)?)).map(|_| ())
}

/// The directory that has a name gets `base`, the other the rest; a link leads from one to the other.
fn maps(restore: &Restore, target: &Directory) -> Result<()> {
    let granted = tree::granted();
    let told: Vec<&str> = restore.options.iter().map(|(name, _)| name.as_str()).collect();
    promise(told == ["colour", "act", "map:big"], &format!("the options are {told:?}"))?;
    let (path, big) = granted.get(1).ok_or_else(|| Error::Internal("there is one directory".into()))?;
    promise(path.starts_with('/') && *path == restore.options[2].1, "a directory is told by its absolute path")?;
    for entry in restore.entries("") {
        let entry = entry?;
        let content = matches!(entry.kind, Kind::File).then(|| restore.read(&entry.path, 0)).transpose()?;
        let place = if entry.path == "base" { big } else { target };
        place.create(&entry, content)?;
    }
    let kind = Kind::Symlink(path.clone());
    let (size, modified, version, posix) = (None, None, None, None);
    let link = Entry { path: "big".into(), kind, size, modified, version, posix, attributes: vec![] };
    target.create(&link, None).map(|_| ())
}

/// What the host made of `--at`, as a file.
fn moment(restore: &Restore, target: &Directory) -> Result<()> {
    restore_one(restore, target, "window")?;
    let kind = Kind::File;
    let (size, modified, version, posix) = (None, None, None, None);
    let entry = Entry { path: "moment".into(), kind, size, modified, version, posix, attributes: vec![] };
    let file = target.create_file(&entry)?;
    file.write(format!("{:?}", restore.at).as_bytes())?;
    tree_close(file)
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
