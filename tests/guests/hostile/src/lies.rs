//! Acts that claim what is not so.

use std::hash::BuildHasher;
use std::io::Write;

use dozo_sdk::bindings::dozo::plugin::snapshot;
use dozo_sdk::http::Request;
use dozo_sdk::tree;
use dozo_sdk::{Backup, Chunking, Entry, Error, Kind, Restore, Result, SmallEntry};

use crate::Config;

fn entry(path: &str) -> Entry {
    Entry {
        path: path.into(),
        kind: Kind::File,
        size: None,
        modified: None,
        version: None,
        posix: None,
        attributes: vec![],
    }
}

/// The act, if it is one of these.
pub(crate) async fn act(config: &Config, backup: &Backup) -> Option<Result<()>> {
    Some(match config.act.as_str() {
        "good" => Ok(()),
        "fail" => Err(Error::Denied("the source said no".into())),
        "secret-in-error" => {
            Err(Error::Denied(format!("login with {} failed", config.secret.clone().unwrap_or_default())))
        }
        "escape-in-error" => Err(Error::Denied("\u{1b}[2Jwiped your screen\u{7}".into())),
        "drop-writer" => drop_writer(backup),
        "drop-and-omit" => drop_writer(backup).and_then(|()| backup.omit("half.txt", &Error::Denied("locked".into()))),
        "lie-about-bytes" => lie_about_bytes(),
        "end-early" => end_early(backup).await,
        "ignore-error" => {
            let _ = backup.keep("never/stored");
            Ok(())
        }
        "same-path-twice" => {
            let small = || SmallEntry { entry: entry("twice"), content: b"x".to_vec() };
            backup.put_small(&[small(), small()])
        }
        "stale" => stale(config, backup),
        "random-bytes" => random_bytes(backup),
        "ignore-previous" => ignore_previous(backup),
        "ok-after-cut" => ok_after_cut(backup),
        "download" => download(config, backup),
        "download-what-comes" => download_what_comes(config, backup),
        "another-name-every-time" => another_name(backup),
        "omit-everything" => backup.omit("all/of/it", &Error::Denied("locked".into())),
        act => match act.strip_prefix("forge:") {
            Some(path) => {
                // Whether the plugin cares about the answer must make no difference.
                let _ = backup.put_small(&[SmallEntry { entry: entry(path), content: b"forged".to_vec() }]);
                Ok(())
            }
            None => return None,
        },
    })
}

/// Reads everything again, whatever the previous snapshot has.
fn ignore_previous(backup: &Backup) -> Result<()> {
    let mut writer = backup.file("large.bin").create();
    writer.write_all(&vec![b'l'; 2 << 20])?;
    writer.finish().map(|_| ())
}

/// Does not care what the host answers: if the store is gone, it is done all the same.
fn ok_after_cut(backup: &Backup) -> Result<()> {
    for path in ["one", "two", "three"] {
        let _ = backup.put_small(&[SmallEntry { entry: entry(path), content: path.into() }]);
    }
    Ok(())
}

/// An honest download, to compare with.
fn download(config: &Config, backup: &Backup) -> Result<()> {
    let answer = Request::get(format!("http://{}/", config.path)).send()?.error_for_status()?;
    backup.file("download").copy_from(answer.body).map(|_| ())
}

/// Takes the end of the line for the end of the file.
fn download_what_comes(config: &Config, backup: &Backup) -> Result<()> {
    let answer = Request::get(format!("http://{}/", config.path)).send()?.error_for_status()?;
    let mut writer = backup.file("download").create();
    while let Ok(piece) = answer.body.read(64 << 10) {
        if piece.is_empty() {
            break;
        }
        writer.write_all(&piece)?;
    }
    writer.finish().map(|_| ())
}

/// Names what it reads by when it was read.
fn another_name(backup: &Backup) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let entry = entry(&format!("dump-{}", now.as_nanos()));
    backup.put_small(&[SmallEntry { entry, content: b"dump".to_vec() }])
}

fn drop_writer(backup: &Backup) -> Result<()> {
    let mut writer = backup.file("half.txt").create();
    writer.write_all(&[b'h'; 300_000])?;
    drop(writer);
    Ok(())
}

fn lie_about_bytes() -> Result<()> {
    let writer = snapshot::Writer::new(&entry("lie.txt"), Chunking::Content);
    writer.write(&[b'l'; 1000])?;
    let _ = snapshot::Writer::finish(writer, 2000);
    Ok(())
}

/// A stream that simply ends, as that of a dump whose server died, and a plugin that takes the end for success.
async fn end_early(backup: &Backup) -> Result<()> {
    let mut writer = backup.file("dump.sql").create();
    let produced = writer
        .produce(async |mut sink| {
            sink.send(vec![b'd'; 100_000]).await?;
            Err(Error::Unavailable("the server closed the connection".into()))
        })
        .await;
    // It even looks at the error and goes on; it does not dare to finish.
    let _ = produced;
    Ok(())
}

/// Writes where nobody said that it may.
/// A file, as it was when it was first read, for ever.
fn stale(config: &Config, backup: &Backup) -> Result<()> {
    if backup.previous("stale").is_some() {
        return backup.keep("stale");
    }
    let place = tree::locate(&config.path)?;
    backup.file("stale").copy_from(place.directory.open(&place.path, None)?).map(|_| ())
}

/// Other bytes in every backup.
fn random_bytes(backup: &Backup) -> Result<()> {
    let mut writer = backup.file("random").create();
    writer.write_all(&std::collections::hash_map::RandomState::new().hash_one(0u8).to_le_bytes())?;
    writer.finish().map(|_| ())
}

/// Reads all that there is, and closes no file that it writes.
pub(crate) fn restore_unclosed(restore: &Restore) -> Result<()> {
    let (_, target) = tree::granted().remove(0);
    for stored in restore.entries("") {
        let path = stored?.path;
        crate::read_all(&restore.read(&path, 0)?)?;
        target.create_file(&entry(&path))?.write(b"half")?;
    }
    Ok(())
}

pub(crate) fn restore_outside(restore: &Restore) -> Result<()> {
    let (_, target) = tree::granted().remove(0);
    for path in ["../outside", "/etc/outside", "a/../../outside", "%2E%2E/outside", "link/outside"] {
        let created = target.create(&entry(path), None);
        if created.is_ok() {
            return Err(Error::Internal(format!("created {path}")));
        }
    }
    for stored in restore.entries("") {
        crate::read_all(&restore.read(&stored?.path, 0)?)?;
    }
    Ok(())
}
