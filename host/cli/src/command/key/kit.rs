//! `dozo key kit`: a page for the safe. What brings data back when this machine, its configuration and dozo are gone. It holds no
//! secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dozo_job::Clock;
use dozo_repository::format::snapshot::{PluginStamp, Snapshot};
use dozo_repository::{ObjectId, OwnerRow, Repository, View};

use super::problems;
use super::reached::Reached;
use crate::args::{Global, KeyKitArgs};
use crate::command::snapshots::window;
use crate::config::{Loaded, mirror_store};
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::host_names::HostNames;
use crate::keyfile::write_new;
use crate::plugins::is_bundled;
use crate::ui::words::quoted;
use crate::ui::{self, words};

/// What reads a repository without dozo.
const RECOVER: &str = include_str!("../../../../../docs/recover.sh");
/// Jobs that the page names: it is one page.
const JOBS: usize = 20;

/// All that stands on the page.
struct Kit<'a> {
    loaded: &'a Loaded,
    repository: &'a Repository,
    owners: Vec<OwnerRow>,
    store: Reached,
    mirrors: Vec<(&'a str, Reached)>,
    view: View,
    components: Vec<Component>,
}

/// A plugin that is not inside dozo, and whose component is at hand.
struct Component {
    digest: ObjectId,
    /// The name of its file beside the page.
    file: String,
    bytes: Vec<u8>,
}

pub(super) async fn kit(global: &Global, args: &KeyKitArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let loaded = &context.loaded;
    let repository = context.repository().await?;
    let (owners, damaged) = repository.owners().await?;
    let store = Reached::of(loaded, &loaded.repository_store())?;
    let mirrors = loaded.config.repository.mirrors.iter();
    let mirrors = mirrors.map(|mirror| Ok((mirror.name.as_str(), Reached::of(loaded, &mirror_store(mirror))?)));
    let mirrors = mirrors.collect::<anyhow::Result<Vec<_>>>()?;
    let view = repository.view().await?;
    let components = if args.out.is_some() { components(&context, &view)? } else { Vec::new() };
    let kit = Kit { loaded, repository: &repository, owners, store, mirrors, view, components };
    let page = kit.page(args.out.is_some());
    let written = args.out.as_deref().map(|out| kit.write(out, &page)).transpose()?;
    match (&args.out, written) {
        (out, written) if global.json => ui::json(&serde_json::json!({
            "schema": "dozo/key-kit/1", "repository": repository.id(), "url": kit.store.url,
            "owners": kit.owners.iter().map(|owner| &owner.recipient).collect::<Vec<_>>(), "page": page,
            "out": out, "script": written.as_ref().and_then(|files| files.first()), "files": written,
        }))?,
        (Some(out), Some(files)) => {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            ui::line(format!("{} and {}: print them, keep them", out.display(), files.join(", ")))
        }
        _ => ui::line(page.trim_end()),
    }
    Ok(problems(&damaged))
}

impl Kit<'_> {
    /// Writes the page, and beside it the script, certificates and components; returns where these are.
    fn write(&self, out: &Path, page: &str) -> anyhow::Result<Vec<PathBuf>> {
        write_new(out, page.as_bytes(), 0o644)?;
        let mut files = vec![beside(out, "recover.sh", RECOVER.as_bytes(), 0o755)?];
        let mirrors = self.mirrors.iter().map(|(name, reached)| (certificates(name), reached));
        for (name, reached) in [(certificates(""), &self.store)].into_iter().chain(mirrors) {
            if let Some((_, text)) = &reached.certificates {
                files.push(beside(out, &name, text, 0o644)?);
            }
        }
        for Component { file, bytes, .. } in &self.components {
            files.push(beside(out, file, bytes, 0o644)?);
        }
        Ok(files)
    }

    /// With the files beside it, or with those of this machine.
    fn page(&self, is_written: bool) -> String {
        let (id, epoch, today) = (self.repository.id(), self.repository.epoch(), words::time(SystemClock.now()));
        let file = |name: &str, reached: &Reached| match &reached.certificates {
            Some((file, _)) if !is_written => file.display().to_string(),
            _ => certificates(name),
        };
        let (store, beside) = (&self.store, file("", &self.store));
        let directory = store.directory.as_deref().map_or("COPY".into(), |path| quoted(&path.display().to_string()));
        let copy = match &store.directory {
            Some(_) => "",
            None => "  (COPY is a directory: first copy the whole store into it with the provider's own tool)\n",
        };
        let owner: String = self.owners.iter().map(owner).collect();
        let read = format!("{} --repository-id {id} --identity owner.key", store.typed("--repository ", &beside));
        let moment = match self.view.snapshots().iter().any(|(_, snapshot)| window(snapshot).is_some()) {
            true => format!(
                "To a moment that `dozo snapshots` shows behind `recovers to`, in the job's zone:\n  dozo restore JOB --at 'YYYY-MM-DD HH:MM:SS' --to restored {read}\n"
            ),
            false => String::new(),
        };
        let export = store.environment.iter().map(|keys| format!("  export {keys}\n")).collect::<String>();
        let mirrors = self
            .mirrors
            .iter()
            .map(|(name, reached)| format!("  {name}: {}\n", reached.typed("--repository ", &file(name, reached))));
        let mirrors = match self.mirrors.is_empty() {
            true => String::new(),
            false => format!(
                "\nMirrors hold the same; write this for `--repository …` above:\n{}",
                mirrors.collect::<String>()
            ),
        };
        format!(
            "\
dozo recovery kit, {today}

repository  {id}
url         {}
{}epoch       {epoch}

Owners. The key of any one of them reads every backup:
{owner}
Keep, in two places that one fire, thief or mistake does not reach:
  an owner's key: owner.key of `dozo init`, an SSH key, a hardware key with its identity file, or the passphrase
  this page, recover.sh and what else `dozo key kit --out FILE` writes beside it; the program dozo
  the credentials of the store, if it is not a disk of your own
Try an owner's key every few months: `dozo key test --identity owner.key`. host.key reads nothing and can be lost.

With dozo, on any machine, without a configuration (a passphrase: --identity passphrase:LABEL):
{export}  dozo snapshots {read}
  dozo restore JOB --to restored {read}
{moment}{mirrors}
{}
Without dozo, on any Linux:
  apt-get install age zstd jq
  sh recover.sh {directory} owner.key
  sh recover.sh {directory} owner.key SNAPSHOT --all restored
{copy}  The second lists snapshots with their ids, the third restores one. For a passphrase write `-` instead of
  owner.key. A hardware key needs its program age-plugin-NAME too.

To back up from a new machine: `dozo join {} --repository-id {id} --identity owner.key`
",
            store.url,
            store.lines(),
            self.jobs(),
            store.typed("", &beside),
        )
    }

    /// What can be restored, by which plugin, and in which zone a time without one is meant.
    fn jobs(&self) -> String {
        let names = HostNames::of(&self.view);
        let mut newest: BTreeMap<(String, &str), &Snapshot> = BTreeMap::new();
        for (_, snapshot) in self.view.snapshots() {
            let snapshot: &Snapshot = snapshot;
            let of_job = newest.entry((names.typed(&snapshot.host), snapshot.job.name.as_str())).or_insert(snapshot);
            if snapshot.sequence >= of_job.sequence {
                *of_job = snapshot;
            }
        }
        let line = |((host, job), snapshot): (&(String, &str), &&Snapshot)| {
            let plugin = &snapshot.plugin;
            let keep = match self.components.iter().find(|component| component.digest == plugin.digest) {
                _ if is_bundled(&plugin.name) => String::new(),
                Some(Component { file, .. }) => {
                    format!("\n    its component is {file}: `dozo restore … --plugin {file}`")
                }
                None => "\n    NOT inside dozo: keep its component, for `dozo restore … --plugin FILE`".into(),
            };
            let zone = self.zone(job);
            format!("  {host}/{job}, times in {zone}\n    {} {} {}{keep}\n", plugin.name, plugin.version, plugin.digest)
        };
        let lines: String = newest.iter().take(JOBS).map(line).collect();
        let more = newest.len().saturating_sub(JOBS);
        let more = if more > 0 { format!("  and {more} more: `dozo snapshots`\n") } else { String::new() };
        format!("Jobs, with the plugin and the SHA-256 of the component that made the newest snapshot:\n{lines}{more}")
    }

    fn zone(&self, job: &str) -> &str {
        let config = &self.loaded.config;
        let own = config.job.get(job).and_then(|job| job.timezone.as_deref());
        own.or(config.defaults.timezone.as_deref()).unwrap_or("UTC")
    }
}

/// The components that made the newest snapshots of this host's jobs, where they are not inside dozo. One that is not there any
/// more, or not the same, is not of the kit: the page says what is missing.
fn components(context: &Context, view: &View) -> anyhow::Result<Vec<Component>> {
    let plugins = context.plugins()?;
    let stamps: BTreeMap<ObjectId, &PluginStamp> =
        view.snapshots().iter().map(|(_, snapshot)| (snapshot.plugin.digest, &snapshot.plugin)).collect();
    let configured = context.loaded.config.job.values().filter_map(|job| plugins.find(&job.plugin).ok()?.read().ok());
    let mut components = Vec::new();
    for component in configured {
        let made = stamps.get(&component.digest()).filter(|stamp| !is_bundled(&stamp.name));
        if let Some(stamp) =
            made.filter(|_| components.iter().all(|known: &Component| known.digest != component.digest()))
        {
            // Its name is the plugin's own word.
            let name: String = stamp.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            let file = format!("{name}-{}.wasm", &component.digest().to_string()[..8]);
            components.push(Component { digest: component.digest(), file, bytes: component.bytes().to_vec() });
        }
    }
    Ok(components)
}

/// The name of the file of certificates, of the store or of a mirror.
fn certificates(mirror: &str) -> String {
    if mirror.is_empty() { "store-ca.pem".into() } else { format!("{mirror}-ca.pem") }
}

/// Writes a file beside the page; one that is the same already is left.
fn beside(out: &Path, name: &str, bytes: &[u8], mode: u32) -> anyhow::Result<PathBuf> {
    let file = out.with_file_name(name);
    if std::fs::read(&file).ok().as_deref() != Some(bytes) {
        write_new(&file, bytes, mode)?;
    }
    Ok(file)
}

fn owner(row: &OwnerRow) -> String {
    let who = row.recipient.as_deref().unwrap_or("(no record says who)");
    let tested = row.tested.map_or_else(|| "never tested".to_string(), |at| format!("tested {}", words::time(at)));
    format!("  {}  {tested}  {who}\n", row.name)
}
