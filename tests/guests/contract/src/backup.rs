//! Acts of a backup.

use std::io::Write;

use dozo_sdk::bindings::dozo::plugin::{snapshot, streaming};
use dozo_sdk::tree::{self, Place};
use dozo_sdk::{Backup, Chunking, Content, ContentEntry, Entry, Error, Kind, Result, SmallEntry};
use futures::future::{join, join_all};

use crate::{Config, noise, promise};

/// Longer than the pipeline and its queues hold at once.
const LONG: usize = 40 << 20;

pub(crate) async fn act(config: &Config, backup: &Backup) -> Result<()> {
    match config.act.as_str() {
        "write" => write(backup),
        "produce" => produce(backup).await,
        "many-streams" => many_streams().await,
        "hand-on" => hand_on(backup, &open(&config.file)?),
        "stream-back" => stream_back(&config.file).await,
        "stream-through" => stream_through(&config.file).await,
        "put-contents" => put_contents(backup, &config.file),
        "first" => first(backup),
        "grow" => grow(backup),
        "keep-under" => keep_under(backup, 3),
        "keep-under-wrong" => keep_under(backup, 4),
        "forget" => backup.put(entry("only", Kind::Directory)),
        "wait" => wait(backup).await,
        "note" | "cannot-abandon" => note(backup, config),
        "answer" => answer(backup),
        "deep-secrets" => deep_secrets(backup, config),
        window if window.starts_with("window ") => in_window(backup, window),
        other => Err(Error::Invalid(format!("`{other}` is no act"))),
    }
}

fn entry(path: &str, kind: Kind) -> Entry {
    Entry { path: path.into(), kind, size: None, modified: None, version: None, posix: None, attributes: vec![] }
}

fn open(file: &str) -> Result<Place> {
    tree::locate(file)
}

fn write(backup: &Backup) -> Result<()> {
    let mut writer = backup.file("written").size(LONG as u64).version("v1").attribute("about", "noise").create();
    for piece in noise(LONG, 1).chunks(300_000) {
        writer.write_all(piece)?;
    }
    promise(writer.finish()? == LONG as u64, "finish returns the length")?;
    let mut paged = backup.file("paged").fixed_chunks(65_536).create();
    paged.write_all(&noise(1_000_000, 2))?;
    paged.finish().map(|_| ())
}

async fn produce(backup: &Backup) -> Result<()> {
    let mut writer = backup.file("written").create();
    let sent = writer
        .produce(async |mut sink| {
            let mut buffer = Vec::new();
            for piece in noise(LONG, 1).chunks(1_000_000) {
                buffer.extend_from_slice(piece);
                buffer = sink.send(buffer).await?;
            }
            Ok(())
        })
        .await?;
    promise(sent == LONG as u64, "append returns how many bytes came")?;
    writer.finish().map(|_| ())
}

/// Several streams at once, each fed while the host reads the others.
async fn many_streams() -> Result<()> {
    let results = join_all((0..8u64).map(|n| async move {
        let writer = snapshot::Writer::new(&entry(&format!("stream-{n}"), Kind::File), Chunking::Content);
        let (mut sink, stream) = dozo_sdk::bindings::wit_stream::new();
        let feed = async move {
            for piece in noise(LONG / 8, n).chunks(500_000) {
                sink.write_all(piece.to_vec()).await;
                streaming::wait(1).await;
            }
        };
        let (appended, ()) = join(streaming::append(&writer, stream), feed).await;
        snapshot::Writer::finish(writer, appended?)
    }))
    .await;
    results.into_iter().collect()
}

/// A file that is handed on whole: the host moves it.
fn hand_on(backup: &Backup, place: &Place) -> Result<()> {
    let size = size(place)?;
    let taken = backup.file("file").copy_from(place.directory.open(&place.path, None)?)?;
    promise(taken == size, "a content has as many bytes as the file")?;
    // Read a little first, hand on the rest.
    let content = place.directory.open(&place.path, None)?;
    let head = content.read(10)?;
    let mut writer = backup.file("head-and-rest").create();
    writer.write_all(&head)?;
    promise(writer.append(content)? == size - head.len() as u64, "what was read is not read again")?;
    writer.finish().map(|_| ())
}

fn size(place: &Place) -> Result<u64> {
    let found = place.directory.get(&place.path)?.ok_or_else(|| Error::Invalid("the file is not there".into()))?;
    Ok(found.entry.size.unwrap_or(0))
}

/// A content made into a stream and handed back untouched: the host recognises its own.
async fn stream_back(file: &str) -> Result<()> {
    let place = open(file)?;
    let writer = snapshot::Writer::new(&entry("file", Kind::File), Chunking::Content);
    let (stream, verdict) = streaming::stream(place.directory.open(&place.path, None)?);
    let appended = streaming::append(&writer, stream).await?;
    verdict.await?;
    promise(appended == size(&place)?, "a stream has as many bytes as the file")?;
    snapshot::Writer::finish(writer, appended)
}

/// A stream that the plugin reads and writes on.
async fn stream_through(file: &str) -> Result<()> {
    let place = open(file)?;
    let writer = snapshot::Writer::new(&entry("file", Kind::File), Chunking::Content);
    let (mut from, verdict) = streaming::stream(place.directory.open(&place.path, None)?);
    let (mut sink, to) = dozo_sdk::bindings::wit_stream::new();
    let pass = async move {
        let mut buffer = Vec::with_capacity(100_000);
        loop {
            let (status, read) = from.read(buffer).await;
            buffer = sink.write_all(read).await;
            buffer.clear();
            if !matches!(status, dozo_sdk::wit_bindgen::StreamResult::Complete(_)) {
                return;
            }
        }
    };
    let (appended, ()) = join(streaming::append(&writer, to), pass).await;
    let appended = appended?;
    verdict.await?;
    promise(appended == size(&place)?, "a stream has as many bytes as the file")?;
    snapshot::Writer::finish(writer, appended)
}

/// A batch in which one entry cannot be read and one is not there any more.
fn put_contents(backup: &Backup, file: &str) -> Result<()> {
    let place = open(file)?;
    let content = |path: &str| -> Result<Content> { place.directory.open(path, None) };
    let batch = vec![
        ContentEntry { entry: entry("file", Kind::File), content: content(&place.path)? },
        ContentEntry { entry: entry("gone", Kind::File), content: content("no-such-file")? },
        ContentEntry { entry: entry("also-gone", Kind::File), content: content("no-such-file-either")? },
    ];
    let results = backup.put_contents(batch);
    promise(results.len() == 3 && results[0].is_ok(), "each entry of a batch has its own result")?;
    promise(results[1].is_err() && results[2].is_err(), "what cannot be read is told")?;
    backup.omit("gone", &Error::Denied("it was locked".into()))?;
    backup.vanished("also-gone")
}

fn first(backup: &Backup) -> Result<()> {
    promise(backup.previous("base").is_none(), "there is no previous snapshot yet")?;
    let small = |path: &str| SmallEntry { entry: entry(path, Kind::File), content: path.as_bytes().to_vec() };
    backup.put_small(&[small("dir/a"), small("dir/b"), small("dir-not")])?;
    backup.put(entry("dir", Kind::Directory))?;
    let mut writer = backup.file("base").version("v1").create();
    writer.write_all(&noise(5_000_000, 3))?;
    writer.finish()?;
    backup.set_attribute("position", "17");
    backup.set_attribute("position", "18");
    Ok(())
}

/// What the second run makes of the first: kept entries, and one grown from a range of an old one.
fn grow(backup: &Backup) -> Result<()> {
    let previous =
        backup.previous("base").ok_or_else(|| Error::Internal("the previous snapshot is not seen".into()))?;
    promise(previous.size == Some(5_000_000) && previous.version.as_deref() == Some("v1"), "previous is as it was")?;
    promise(
        backup.previous_attribute("position").as_deref() == Some("18"),
        "attributes are kept, the last one counts",
    )?;
    let under = snapshot::previous_under("dir", None, 10);
    let names: Vec<&str> = under.iter().map(|entry| entry.path.as_str()).collect();
    promise(names == ["dir", "dir/a", "dir/b"], &format!("previous-under gives {names:?}"))?;
    backup.keep("dir/a")?;
    let mut writer = backup.file("base").create();
    writer.append_previous("base", 1_000_000, 2_000_000)?;
    writer.write_all(b"new end")?;
    promise(writer.append_previous("base", 4_999_999, 2).is_err(), "a range beyond the end is refused")?;
    writer.finish()?;
    backup.progress(1, Some(1));
    Ok(())
}

fn keep_under(backup: &Backup, expected: u64) -> Result<()> {
    backup.keep_under("dir", expected)
}

/// Waiting is no standstill, and other tasks go on meanwhile.
async fn wait(backup: &Backup) -> Result<()> {
    for _ in 0..10 {
        streaming::wait(300).await;
    }
    backup.put(entry("waited", Kind::Directory))
}

/// More notes than a report has, and what none may have.
fn note(backup: &Backup, config: &Config) -> Result<()> {
    let password = config.password.as_ref().map_or("none", |password| password.reveal());
    backup.note(&format!("the password is {password}\u{1b}[2J"));
    (0..110).for_each(|number| backup.note(&format!("note {number}")));
    backup.put(entry("noted", Kind::Directory))
}

/// Every secret, told in every way that there is.
fn deep_secrets(backup: &Backup, config: &Config) -> Result<()> {
    let deep = config.deep.as_ref().ok_or_else(|| Error::Invalid("there are no secrets".into()))?;
    let told = format!("{} of {deep:?}", deep.revealed().join(" "));
    backup.note(&told);
    dozo_sdk::log::warn(&told);
    backup.omit("told", &Error::Denied(told.clone()))?;
    backup.file("secrets").write(deep.revealed().join("\n").as_bytes()).map(|_| ())
}

/// Answers all probes but some.
fn answer(backup: &Backup) -> Result<()> {
    for probe in &backup.probes {
        match probe.name.as_str() {
            "unanswered" => {}
            "refused" => backup.unanswered(probe, &Error::Denied("the role may not; hint: GRANT it".into()))?,
            _ => backup.answer(probe, &format!("{}\nand more", probe.question))?,
        }
    }
    backup.put(entry("answered", Kind::Directory))
}

/// A snapshot that can be recovered to anything between two times: `window FROM UNTIL`.
fn in_window(backup: &Backup, window: &str) -> Result<()> {
    for (name, value) in ["from", "until"].iter().zip(window.split(' ').skip(1)) {
        backup.set_attribute(name, value);
    }
    backup.file("window").write(window.as_bytes()).map(|_| ())
}
