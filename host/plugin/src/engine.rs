//! The engine that all plugins share, and its clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dozo_job::{Error, Result};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

use crate::cache::Cache;
use crate::component::ComponentBytes;
use crate::interface;
use crate::limits::{EPOCH, RESERVED};
use crate::machine;
use crate::plugin::Plugin;
use crate::state::State;

/// Loads plugins.
pub struct Plugins(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    cache: Cache,
}

impl Plugins {
    /// An engine that keeps compiled components in `cache`, a private directory.
    ///
    /// # Errors
    /// [`Denied`](dozo_job::Kind::Denied) if this process may not run what it compiles.
    pub fn new(cache: PathBuf) -> Result<Self> {
        let failed = |e: wasmtime::Error| machine::explain(Error::internal(format!("start the plugin engine: {e:#}")));
        machine::check_code()?;
        let cache = Cache::open(cache);
        let mut config = Config::new();
        config.epoch_interruption(true);
        if machine::address_space().is_some() {
            // What is reserved and not used counts, too: then memory is moved when it grows.
            config.memory_reservation(0).memory_reservation_for_growth(RESERVED).memory_guard_size(0);
        }
        let engine = Engine::new(&config).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        interface::link(&mut linker).map_err(failed)?;
        start_epochs(&engine)?;
        Ok(Plugins(Arc::new(Inner { engine, linker, cache })))
    }

    /// Loads a component from a file, reads its API track from its exports, and asks it who it is.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is not a component, not a plugin, or of an unknown track.
    pub async fn load(&self, file: &Path) -> Result<Plugin> {
        self.load_bytes(&file.display().to_string(), ComponentBytes::read(file)?).await
    }

    /// The same for bytes that somebody has looked at already; `name` is for messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_bytes(&self, name: &str, bytes: ComponentBytes) -> Result<Plugin> {
        self.load_unnamed(bytes).await.map_err(|e| e.context(format!("load the plugin {name}")))
    }

    async fn load_unnamed(&self, bytes: ComponentBytes) -> Result<Plugin> {
        let inner = self.0.clone();
        let digest = bytes.digest().0;
        let compile = move || {
            let component = inner.cache.component(&inner.engine, bytes.bytes(), &digest)?;
            inner.linker.instantiate_pre(&component).map_err(|e| {
                Error::invalid("it needs something that this version of dozo does not offer")
                    .caused_by(std::io::Error::other(format!("{e:#}")))
            })
        };
        let pre = tokio::task::spawn_blocking(compile)
            .await
            .unwrap_or_else(|e| Err(Error::internal(format!("compiling it ended early: {e}"))))?;
        Plugin::introduce(pre, digest).await
    }
}

/// Advances the epoch for as long as the engine lives, so that a plugin that computes for ever yields.
fn start_epochs(engine: &Engine) -> Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH);
        }
    };
    let thread = std::thread::Builder::new().name("plugin-epochs".into());
    thread.spawn(tick).map_err(|e| Error::io("start the plugins' clock", e))?;
    Ok(())
}
