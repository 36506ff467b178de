//! Key files on this machine: read only if they are private, never written over, replaced as a whole.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dozo_job::Error;
use dozo_repository::is_secret_key;
use zeroize::Zeroizing;

use crate::ui::words;

/// Key files are a few lines.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// Reads a key file. One that others can read is no key file any more; of another file nothing is asked.
pub(crate) fn read_key(file: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let what = || format!("read the key file {}", file.display());
    let failed = |e| Error::io(what(), e);
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    let mut text = Zeroizing::new(Vec::new());
    opened.take(KEY_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    let shown = file.display();
    if text.len() as u64 > KEY_BYTES_MAX || !is_secret_key(&text) && metadata.mode() & 0o077 != 0 {
        return Err(Error::invalid(format!("{shown} is no key of dozo, of age or of SSH"))
            .hinted("an owner's key file has a line that begins with AGE-SECRET-KEY-1, or is an SSH key"));
    }
    if metadata.mode() & 0o077 != 0 {
        let quoted = words::quoted(&shown.to_string());
        return Err(
            Error::invalid(format!("the key file {shown} can be read by others")).hinted(format!("chmod 600 {quoted}"))
        );
    }
    Ok(text)
}

/// Writes a key file that must not be there yet.
pub(crate) fn write_key(file: &Path, text: &str) -> anyhow::Result<()> {
    write_new(file, text.as_bytes(), 0o600)
}

/// Writes a file that must not be there yet, durably; of one that could not be written whole, nothing stays.
pub(crate) fn write_new(file: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::AlreadyExists => Error::invalid(format!("{} is there already", file.display())),
        _ => Error::io(format!("write {}", file.display()), e),
    };
    let mut new = File::options().write(true).create_new(true).mode(mode).open(file).map_err(failed)?;
    let written = new.write_all(bytes).and_then(|()| new.sync_all());
    if written.is_err() {
        // A half of it would only be in the way of the next attempt.
        let _ = fs::remove_file(file);
    }
    Ok(written.map_err(failed)?)
}

/// Puts a new key file in the place of the old one, which is kept as `….old`; returns where. At every moment one of them is
/// there whole.
pub(crate) fn replace_key(file: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let (new, old) = (beside(file, "new"), beside(file, "old"));
    let failed = |what: &str, path: &Path| {
        let what = format!("{what} {}", path.display());
        move |e| Error::io(what, e)
    };
    // Left by an attempt that did not come to its end.
    remove_if_there(&new).map_err(failed("remove", &new))?;
    write_key(&new, text)?;
    remove_if_there(&old).map_err(failed("remove", &old))?;
    fs::hard_link(file, &old).map_err(failed("keep the old key file as", &old))?;
    fs::rename(&new, file).map_err(failed("write", file))?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|open| open.sync_all()).map_err(failed("write to", directory))?;
    Ok(old)
}

fn remove_if_there(file: &Path) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(format!(".{ending}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_replaced_and_the_old_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("host.key");
        write_key(&file, "one").unwrap();
        assert!(write_key(&file, "other").is_err(), "never written over");
        fs::write(beside(&file, "new"), "half of a").unwrap();
        let old = replace_key(&file, "two").unwrap();
        assert_eq!((&read_key(&file).unwrap()[..], &read_key(&old).unwrap()[..]), (&b"two"[..], &b"one"[..]));
        replace_key(&file, "three").unwrap();
        assert_eq!(&read_key(&old).unwrap()[..], b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(read_key(&file).unwrap_err().chain().contains("is no key"), "its mode is nobody's business");
        fs::write(&file, "AGE-SECRET-KEY-1X").unwrap();
        assert!(read_key(&file).unwrap_err().chain().contains("can be read by others"));
    }
}
