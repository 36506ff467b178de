//! Proxies of the environment: the store is reached through them, plugins connect directly. That is said where it matters.

use crate::config::Loaded;
use crate::ui;

/// The variable that names a proxy, if one does.
fn named() -> Option<String> {
    let set = |name: &String| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let names = ["HTTPS_PROXY", "ALL_PROXY"].into_iter().flat_map(|name| [name.to_string(), name.to_lowercase()]);
    names.into_iter().find(set)
}

/// A note for people, where a plugin could not connect or is about to.
pub(crate) fn note() {
    if let Some(name) = named() {
        ui::note(format!(
            "note: {name} is set: the store is reached through that proxy, plugins are not: they connect directly, and need a \
             way out to what they are granted"
        ));
    }
}

/// The same, where any plugin would connect.
pub(crate) fn note_for(loaded: &Loaded) {
    let jobs = loaded.config.job.values().map(|job| &job.grant);
    let mut grants = jobs.chain(loaded.config.notify.values().map(|notify| &notify.grant));
    if grants.any(|grant| !grant.network.is_empty()) {
        note();
    }
}
