//! Files that hold a secret and that others wrote: read only if nobody but their owner, or root's group, can read them.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::ui::words;

/// Why a secret was not read from its file.
#[derive(Debug)]
pub(super) struct SecretFileFault {
    pub(super) message: String,
    pub(super) hint: String,
}

/// The text of a file, of at most `bytes_max` + 1 bytes.
pub(super) fn read_secret(file: &Path, bytes_max: usize) -> Result<String, SecretFileFault> {
    let failed =
        |e| SecretFileFault { message: format!("read the secret from {}: {e}", file.display()), hint: "".into() };
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if is_open_to_others(&metadata) {
        let closed = if metadata.uid() == 0 { "o=" } else { "go=" };
        let quoted = words::quoted(&file.display().to_string());
        return Err(SecretFileFault {
            message: format!("the secret in {} is open to other users", file.display()),
            hint: format!("if the file holds this secret and nothing else: `chmod {closed} {quoted}`"),
        });
    }
    let mut text = String::new();
    opened.take(bytes_max as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// PostgreSQL's rule for private keys: a file of root may be readable by its group, which is how a secret is given to one
/// service; any other by its owner alone. Pipes and devices have modes of another meaning.
fn is_open_to_others(metadata: &Metadata) -> bool {
    let others = if metadata.uid() == 0 { 0o007 } else { 0o077 };
    metadata.is_file() && metadata.mode() & others != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn what_others_can_read_is_no_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        let set = |mode| std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        let is_root = file.as_file().metadata().unwrap().uid() == 0;
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o644, false), (0o640, is_root), (0o602, false)] {
            set(mode);
            let read = read_secret(file.path(), 100);
            assert_eq!(read.is_ok(), is_read, "{mode:o}");
            if let Err(fault) = read {
                assert!(fault.hint.contains("`chmod ") && !fault.message.contains("hunter2"), "{fault:?}");
            }
        }
        if is_root {
            chown(file.path(), Some(65_534), None).unwrap();
            set(0o640);
            assert!(read_secret(file.path(), 100).is_err(), "the group of another user's file");
        }
        assert!(read_secret(Path::new("/dev/null"), 100).unwrap().is_empty(), "a device is no file");
    }
}
