//! The filesystem plugin's backup without a plugin: the same walk, the same batches, the same calls of the same port,
//! with the standard library in place of the sandbox and its granted directories. What the plugin costs beyond this is
//! what the sandbox costs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use dozo_job::port::{
    BackupRequest, Content, Entry, EntryKind, Finished, Intake, Moment, ObjectId, PluginStamp, ReadContent,
    RestoreRequest, Scope, ScratchServer, Stored,
};
use dozo_job::{Error, Result, Source};

use crate::walk::{self, Found};

/// As in the plugin.
const BATCH_ENTRIES: usize = 256;
const BATCH_BYTES: u64 = 32 << 20;
const BEGAN: &str = "filesystem.began";

/// Directories, read by the host itself.
pub(crate) struct NativeSource {
    stamp: PluginStamp,
}

impl NativeSource {
    pub(crate) fn new() -> Self {
        let (name, version) = ("native".to_string(), env!("CARGO_PKG_VERSION").to_string());
        NativeSource { stamp: PluginStamp { name, version, digest: ObjectId([0; 32]) } }
    }
}

#[async_trait]
impl Source for NativeSource {
    fn stamp(&self) -> &PluginStamp {
        &self.stamp
    }

    async fn backup(&self, request: BackupRequest, intake: Arc<dyn Intake>) -> Result<Finished> {
        for path in paths(&request.config)? {
            let entry_path = walk::entry_path(&path);
            let stat = rustix::fs::statvfs(&path).map_err(|e| Error::io("look at the file system", e.into()))?;
            intake.identify(format!("{:016x}:{entry_path}", stat.f_fsid)).await?;
            let settled = settled(&*intake, &request);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            intake.set_attribute(BEGAN.into(), now.as_secs().to_string())?;
            let (small, contents) = (Vec::new(), Vec::new());
            let mut walk = Walk { intake: &*intake, settled, small, contents, bytes: 0, seen: 0 };
            walk.root(path, entry_path).await?;
        }
        Ok(Finished::default())
    }

    async fn committed(&self, _: &str, _: Vec<(String, String)>) -> Result<()> {
        Ok(())
    }

    async fn abandoned(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn restore(&self, _: RestoreRequest, _: Arc<dyn Stored>) -> (Finished, Result<()>) {
        (Finished::default(), Err(Error::unsupported("the native source only measures backups")))
    }

    async fn check(&self, _: &str) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    async fn covers(&self, _: Vec<(String, String)>, _: Moment) -> Result<Option<String>> {
        Err(Error::unsupported("the native source only measures backups"))
    }

    async fn scratch(&self, _: &str, _: &str) -> Result<Option<ScratchServer>> {
        Ok(None)
    }

    async fn probe(&self, _: &str, _: &str) -> Result<String> {
        Err(Error::unsupported("the native source answers no questions"))
    }
}

fn paths(config: &str) -> Result<Vec<PathBuf>> {
    let bad = || Error::invalid("the configuration has no list `paths`");
    let config: serde_json::Value = serde_json::from_str(config).map_err(|e| bad().caused_by(e))?;
    let paths = config["paths"].as_array().ok_or_else(bad)?;
    paths.iter().map(|path| path.as_str().map(PathBuf::from).ok_or_else(bad)).collect()
}

/// Files that changed before this are as the previous run saw them, if they look the same.
fn settled(intake: &dyn Intake, request: &BackupRequest) -> Option<i64> {
    let config: serde_json::Value = serde_json::from_str(&request.config).ok()?;
    let seconds = config["settle_seconds"].as_i64()?;
    let began = intake.previous_attributes().into_iter().find(|(name, _)| name == BEGAN)?.1.parse::<i64>().ok()?;
    (request.scope == Scope::Incremental).then_some(began - seconds)
}

struct Walk<'a> {
    intake: &'a dyn Intake,
    settled: Option<i64>,
    small: Vec<(Entry, Vec<u8>)>,
    contents: Vec<(Entry, Content)>,
    bytes: u64,
    seen: u64,
}

impl Walk<'_> {
    async fn root(&mut self, path: PathBuf, entry_path: String) -> Result<()> {
        let Found { entry, file } = walk::look(path, entry_path)?;
        let mut open = vec![children(&file, &entry.path).await?];
        self.small.push((entry, Vec::new()));
        while let Some(directory) = open.last_mut() {
            let Some(Found { entry, file }) = directory.next() else {
                open.pop();
                continue;
            };
            if entry.kind == EntryKind::Directory {
                open.push(children(&file, &entry.path).await?);
            }
            self.entry(entry, file).await?;
        }
        self.flush().await
    }

    async fn entry(&mut self, entry: Entry, file: PathBuf) -> Result<()> {
        self.seen += 1;
        if self.seen.is_multiple_of(BATCH_ENTRIES as u64) {
            self.intake.progress(self.seen, None);
        }
        if entry.kind != EntryKind::File {
            self.small.push((entry, Vec::new()));
        } else if is_unchanged(self.intake, self.settled, &entry).await? {
            self.intake.keep(entry.path).await?;
        } else {
            self.bytes += entry.size.unwrap_or(0);
            self.contents.push((entry, Box::new(Lazy::Closed(file))));
        }
        if self.small.len() >= BATCH_ENTRIES || self.contents.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        if !self.small.is_empty() {
            self.intake.put_small(std::mem::take(&mut self.small)).await?;
        }
        let contents = std::mem::take(&mut self.contents);
        let paths: Vec<String> = contents.iter().map(|(entry, _)| entry.path.clone()).collect();
        for (path, result) in paths.into_iter().zip(self.intake.put_contents(contents).await) {
            if let Err(error) = result {
                self.intake.omit(path, error)?;
            }
        }
        Ok(())
    }
}

/// Lists a directory on a thread that may block, as the host does for a plugin.
async fn children(directory: &Path, entry_path: &str) -> Result<std::vec::IntoIter<Found>> {
    let (directory, entry_path) = (directory.to_path_buf(), entry_path.to_string());
    let listed = tokio::task::spawn_blocking(move || walk::list(&directory, &entry_path)).await;
    Ok(listed.unwrap_or_else(|e| Err(Error::internal("list a directory").caused_by(e)))?.into_iter())
}

/// Whether the previous snapshot has this very file, and it is old enough for that to mean something.
async fn is_unchanged(intake: &dyn Intake, settled: Option<i64>, entry: &Entry) -> Result<bool> {
    let Some(settled) = settled else { return Ok(false) };
    let changed = entry.version.as_deref().and_then(change_seconds);
    if changed.is_none_or(|changed| changed >= settled) {
        return Ok(false);
    }
    let previous = intake.previous(entry.path.clone()).await?;
    Ok(previous.is_some_and(|previous| {
        previous.kind == EntryKind::File
            && previous.size == entry.size
            && previous.modified == entry.modified
            && previous.version == entry.version
    }))
}

/// The seconds in a version `inode:seconds.nanoseconds`.
fn change_seconds(version: &str) -> Option<i64> {
    version.split_once(':')?.1.split_once('.')?.0.parse().ok()
}

/// A file that is opened when it is first read, so that a batch does not hold as many open files.
enum Lazy {
    Closed(PathBuf),
    Open(File),
}

impl ReadContent for Lazy {}

impl Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Lazy::Closed(path) = self {
            *self = Lazy::Open(File::open(path)?);
        }
        match self {
            Lazy::Open(file) => file.read(buffer),
            Lazy::Closed(_) => Ok(0),
        }
    }
}
