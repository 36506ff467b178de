//! The plugins that are part of the program: `build.rs` puts them here.

include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// The component of this name.
pub(super) fn bundled(name: &str) -> Option<&'static [u8]> {
    BUNDLE.iter().find(|(bundled, _)| *bundled == name).map(|(_, bytes)| *bytes)
}

/// All names, in order.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    BUNDLE.iter().map(|(name, _)| *name)
}
