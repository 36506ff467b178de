//! Proxies of the environment: the store is reached through them, plugins only where a grant says so. Where one is named and
//! they connect directly, that is said where it matters.

use dozo_plugin::Proxy;

use crate::config::Loaded;
use crate::ui;

/// The first that is set, by its name in capitals or small letters.
fn variable(names: &[&str]) -> Option<(String, String)> {
    let names = names.iter().flat_map(|name| [(*name).to_string(), name.to_lowercase()]);
    let set = |name: String| std::env::var(&name).ok().filter(|value| !value.is_empty()).map(|value| (name, value));
    names.into_iter().find_map(set)
}

fn named() -> Option<(String, String)> {
    variable(&["HTTPS_PROXY", "ALL_PROXY"])
}

/// The proxy that the environment names, and what is reached without it.
pub(crate) fn of_environment() -> Option<Proxy> {
    let except = variable(&["NO_PROXY"]).map(|(_, except)| except).unwrap_or_default();
    named().map(|(_, url)| Proxy { url, except })
}

/// A note for people, where a plugin could not connect or is about to.
pub(crate) fn note() {
    if let Some((name, _)) = named() {
        ui::note(format!(
            "note: {name} is set: the store is reached through that proxy, plugins only where a grant has `proxy = true`: \
             otherwise they connect directly, and need a way out to what they are granted"
        ));
        ui::note("hint: such a grant is `network = [{ to = \"HOST:PORT\", proxy = true }]`");
    }
}

/// The same, where any plugin would connect without it.
pub(crate) fn note_for(loaded: &Loaded) {
    let jobs = loaded.config.job.values().map(|job| &job.grant);
    let notifiers = loaded.config.notify.values().map(|notify| &notify.grant);
    if jobs.chain(notifiers).any(|grant| grant.network.iter().any(|target| !target.0.proxy)) {
        note();
    }
}
