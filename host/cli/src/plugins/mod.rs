//! Where plugins come from: the program itself, `plugin_dir`, or a path; and that nothing runs which is not locked. A
//! component's bytes are read once: what was compared with the lock is what is compiled.

mod bundle;
mod lock;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dozo_job::Error;
use dozo_job::port::ObjectId;
use dozo_plugin::{ComponentBytes, Plugin, PluginKind, Plugins};

use crate::config::{Loaded, did_you_mean};
use crate::context::cache_dir;

pub(crate) use lock::{Lock, Locked, Standing};

/// The plugins that there are, loaded as they are asked for.
pub(crate) struct PluginShelf {
    plugins: Plugins,
    /// Where relative paths of the configuration begin.
    base: PathBuf,
    directory: Option<PathBuf>,
    lock: Option<Lock>,
    /// What the configuration names, in order.
    named: Vec<String>,
    known: HashMap<String, Plugin>,
}

/// A plugin that was found, and not read yet.
#[derive(Clone)]
pub(crate) struct Shelved {
    /// As the configuration has it, and the lock.
    pub(crate) name: String,
    pub(crate) origin: Origin,
}

/// Where a plugin comes from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// It is part of the program.
    Bundled(&'static [u8]),
    /// It lies in `plugin_dir`.
    Directory(PathBuf),
    /// Its path was named.
    Path(PathBuf),
}

impl Origin {
    /// One word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Origin::Bundled(_) => "bundled",
            Origin::Directory(_) => "plugin_dir",
            Origin::Path(_) => "path",
        }
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Origin::Bundled(_) => None,
            Origin::Directory(file) | Origin::Path(file) => Some(file),
        }
    }
}

impl Shelved {
    /// Reads the component, and neither compiles nor runs anything of it.
    pub(crate) fn read(&self) -> Result<ComponentBytes, Error> {
        match &self.origin {
            Origin::Bundled(bytes) => Ok(ComponentBytes::embedded(bytes)),
            Origin::Directory(file) | Origin::Path(file) => ComponentBytes::read(file),
        }
    }
}

/// Whether a plugin is part of this program.
pub(crate) fn is_bundled(name: &str) -> bool {
    bundle::bundled(name).is_some()
}

impl PluginShelf {
    /// The shelf of a configuration; without one, what is bundled.
    pub(crate) fn open(loaded: Option<&Loaded>) -> anyhow::Result<Self> {
        let plugins = Plugins::new(cache_dir(loaded)?.join("plugins"))?;
        let Some(loaded) = loaded else {
            let (base, known) = (PathBuf::new(), HashMap::new());
            return Ok(PluginShelf { plugins, base, directory: None, lock: None, named: Vec::new(), known });
        };
        Ok(PluginShelf {
            plugins,
            base: loaded.path(Path::new("")),
            directory: loaded.config.plugin_dir.as_ref().map(|directory| loaded.path(directory)),
            lock: Some(Lock::beside(&loaded.file)?),
            named: loaded.config.plugins().map(str::to_string).collect(),
            known: HashMap::new(),
        })
    }

    /// The plugin that the configuration calls so, if it may run.
    pub(crate) async fn get(&mut self, name: &str) -> anyhow::Result<Plugin> {
        if let Some(plugin) = self.known.get(name) {
            return Ok(plugin.clone());
        }
        let shelved = self.find(name)?;
        let bytes = shelved.read()?;
        self.admit(&shelved, bytes.digest())?;
        self.load(&shelved, bytes).await
    }

    /// The plugin in a file that has this digest: what somebody trusted before stands in for the lock.
    pub(crate) async fn get_exactly(&mut self, file: &Path, digest: ObjectId) -> anyhow::Result<Plugin> {
        let bytes = ComponentBytes::read(file)?;
        if bytes.digest() != digest {
            let why = format!("{} is not the component that made the snapshot", file.display());
            let found = Error::not_granted(format!("its sha256 is {}, and that one's is {digest}", bytes.digest()));
            let hint =
                "a newer one that you trust: `dozo join` makes a configuration, and `dozo plugin add FILE` locks it";
            return Err(Error::not_granted(why).caused_by(found).hinted(hint).into());
        }
        let shelved = Shelved { name: file.display().to_string(), origin: Origin::Path(file.to_path_buf()) };
        self.load(&shelved, bytes).await
    }

    /// The same, if it is of this kind.
    pub(crate) async fn get_as(&mut self, name: &str, kind: PluginKind) -> anyhow::Result<Plugin> {
        Ok(self.get(name).await?.as_kind(kind)?)
    }

    /// The same without asking the lock: for whoever only looks, with nothing granted.
    pub(crate) async fn load(&mut self, shelved: &Shelved, bytes: ComponentBytes) -> anyhow::Result<Plugin> {
        let shown = match &shelved.origin {
            Origin::Bundled(_) => format!("`{}`, which is bundled", shelved.name),
            Origin::Directory(file) | Origin::Path(file) => file.display().to_string(),
        };
        let plugin = self.plugins.load_bytes(&shown, bytes).await?;
        self.known.insert(shelved.name.clone(), plugin.clone());
        Ok(plugin)
    }

    /// Refuses a component that is neither bundled nor locked.
    pub(crate) fn admit(&self, shelved: &Shelved, digest: ObjectId) -> Result<(), Error> {
        match (&shelved.origin, &self.lock) {
            (Origin::Bundled(_), _) => Ok(()),
            (_, Some(lock)) => lock.admit(&shelved.name, digest),
            (_, None) => Err(no_lock()),
        }
    }

    /// What the lock says of a component; nothing if it needs no lock.
    pub(crate) fn standing(&self, shelved: &Shelved, digest: ObjectId) -> Option<Standing> {
        match (&shelved.origin, &self.lock) {
            (Origin::Bundled(_), _) => None,
            (_, Some(lock)) => Some(lock.standing(&shelved.name, digest)),
            (_, None) => Some(Standing::Unlocked),
        }
    }

    /// The lock, to be changed.
    pub(crate) fn lock(&mut self) -> Result<&mut Lock, Error> {
        self.lock.as_mut().ok_or_else(no_lock)
    }

    /// Finds what the configuration calls so.
    pub(crate) fn find(&self, name: &str) -> anyhow::Result<Shelved> {
        let shelved = |origin| Ok(Shelved { name: name.to_string(), origin });
        if name.contains('/') {
            let file = self.base.join(name);
            if !file.exists() {
                return Err(Error::invalid(format!("there is no component {}", file.display())).into());
            }
            return shelved(Origin::Path(file));
        }
        let there = self.directory.as_ref().map(|directory| directory.join(format!("{name}.wasm")));
        match (bundle::bundled(name), there.filter(|file| file.exists())) {
            (Some(bytes), None) => shelved(Origin::Bundled(bytes)),
            (None, Some(file)) => shelved(Origin::Directory(file)),
            (Some(_), Some(file)) => Err(both(name, &file).into()),
            (None, None) => Err(self.unknown(name)?.into()),
        }
    }

    /// Finds what an operator typed: what the configuration calls so, or a path from where they are.
    pub(crate) fn find_typed(&self, typed: &str) -> anyhow::Result<Shelved> {
        if !typed.contains('/') || self.named.iter().any(|name| name == typed) {
            return self.find(typed);
        }
        let failed = |e| Error::io(format!("find the component {typed}"), e);
        let file = Path::new(typed).canonicalize().map_err(failed)?;
        // The configuration may know the same file by another name.
        let known = self.names().unwrap_or_default().into_iter().chain(self.named.iter().cloned());
        for shelved in known.filter_map(|name| self.find(&name).ok()) {
            if shelved.origin.file().and_then(|file| file.canonicalize().ok()).is_some_and(|known| known == file) {
                return Ok(shelved);
            }
        }
        Ok(Shelved { name: file.display().to_string(), origin: Origin::Path(file) })
    }

    /// All that are bundled, in the directory, or named by the configuration, in order of names; what is wrong with one is
    /// told in its place.
    pub(crate) fn all(&self) -> anyhow::Result<Vec<(String, anyhow::Result<Shelved>)>> {
        let mut names: Vec<String> = bundle::names().map(str::to_string).chain(self.names()?).collect();
        names.extend(self.named.iter().filter(|name| name.contains('/')).cloned());
        names.sort();
        names.dedup();
        Ok(names.into_iter().map(|name| (name.clone(), self.find(&name))).collect())
    }

    /// The names that the configuration has, each once.
    pub(crate) fn named(&self) -> &[String] {
        &self.named
    }

    /// The names of those in the directory.
    fn names(&self) -> anyhow::Result<Vec<String>> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let failed = |e| Error::io(format!("list the plugins in {}", directory.display()), e);
        let mut names = Vec::new();
        for item in std::fs::read_dir(directory).map_err(failed)? {
            let path = item.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "wasm") {
                names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        Ok(names)
    }

    fn unknown(&self, name: &str) -> anyhow::Result<Error> {
        let there = self.names()?;
        let mut known: Vec<&str> = bundle::names().collect();
        known.extend(there.iter().map(String::as_str));
        let hint = if Path::new(name).exists() {
            format!("a path has a slash: `./{name}`")
        } else if known.is_empty() {
            "none is bundled in this program: `plugin_dir` names a directory of others".to_string()
        } else {
            did_you_mean(name, known.into_iter())
        };
        Ok(Error::invalid(format!("there is no plugin `{name}`")).hinted(hint))
    }
}

/// Two components of one name: whichever ran, somebody would believe that it was the other.
fn both(name: &str, file: &Path) -> Error {
    let shown = file.display();
    Error::invalid(format!("the plugin `{name}` is bundled in this program, and {shown} has the same name"))
        .hinted(format!("remove {shown}, or give it a name of its own and write that into the configuration"))
}

fn no_lock() -> Error {
    Error::invalid("there is no configuration that a component could be locked for")
        .hinted("`dozo join URL --identity FILE` writes one; `--config FILE` names another")
}
