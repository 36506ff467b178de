//! The bytes of a component and their digest, taken together: what somebody compares with a lock is what is compiled, and
//! not what the file holds a moment later.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use dozo_job::port::ObjectId;
use dozo_job::{Error, Result};
use sha2::{Digest, Sha256};

use crate::limits::COMPONENT_BYTES;

pub(crate) const NOT_A_COMPONENT: &str = "it is not a component that this version can load";

/// A component that was read and not looked into yet: neither compiled nor run.
#[derive(Clone)]
pub struct ComponentBytes {
    bytes: Cow<'static, [u8]>,
    digest: ObjectId,
}

impl ComponentBytes {
    /// Reads a file, at most 256 MiB of it.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is longer, or does not begin as a component does.
    pub fn read(file: &Path) -> Result<Self> {
        read(file).map_err(|e| e.context(format!("load the plugin {}", file.display())))
    }

    /// Bytes that are part of the program.
    pub fn embedded(bytes: &'static [u8]) -> Self {
        ComponentBytes::of(Cow::Borrowed(bytes))
    }

    fn of(bytes: Cow<'static, [u8]>) -> Self {
        let digest = ObjectId(Sha256::digest(&bytes).into());
        ComponentBytes { bytes, digest }
    }

    /// SHA-256.
    pub fn digest(&self) -> ObjectId {
        self.digest
    }

    /// What it consists of.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn read(file: &Path) -> Result<ComponentBytes> {
    let failed = |e| Error::io("read it", e);
    let open = File::open(file).map_err(failed)?;
    let mut bytes = Vec::new();
    open.take(COMPONENT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > COMPONENT_BYTES {
        return Err(Error::invalid(format!("it has more than {COMPONENT_BYTES} bytes")));
    }
    match what_else(&bytes) {
        Some(what) => Err(Error::invalid(NOT_A_COMPONENT).hinted(what)),
        None => Ok(ComponentBytes::of(bytes.into())),
    }
}

/// What a file is that does not begin as a component does.
pub(crate) fn what_else(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => None,
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            Some("it is a core module: build it for wasm32-wasip2, or make a component of it")
        }
        [0, b'a', b's', b'm', ..] => Some("it is a component of another version of WebAssembly's format, or damaged"),
        _ => Some("it is no WebAssembly file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart_before_anything_is_compiled() {
        let dir = tempfile::tempdir().unwrap();
        for (bytes, expected) in [
            (&b"not wasm"[..], Some("no WebAssembly file")),
            (b"", Some("no WebAssembly file")),
            (b"\0asm\x01\0\0\0", Some("a core module")),
            (b"\0asm\x0e\0\x01\0", Some("another version")),
            (b"\0asm\x0d\0\x01\0", None),
        ] {
            let file = dir.path().join("x.wasm");
            std::fs::write(&file, bytes).unwrap();
            let hint = ComponentBytes::read(&file).err().map(|e| e.hint().unwrap_or_default().to_string());
            assert_eq!(hint.is_some(), expected.is_some(), "{bytes:?}");
            assert!(hint.unwrap_or_default().contains(expected.unwrap_or_default()), "{bytes:?}");
        }
        assert!(ComponentBytes::read(dir.path()).is_err(), "a directory");
    }
}
