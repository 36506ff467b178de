//! Halves of files that a restore left which was killed. Whoever restores over them takes them away.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, Dir, FileType, OFlags};
use rustix::process::{Pid, test_kill_process};

use super::write::TEMPORARY;
use super::{Directory, beneath};

impl Directory {
    /// Removes what a killed restore left in a directory that was there before. What cannot be looked at stays.
    pub(super) fn remove_leftovers(&self, path: &str, directory: &OwnedFd) {
        let Ok(names) = Dir::read_from(directory) else { return };
        for item in names.flatten() {
            let name = item.file_name();
            if !is_left(name.to_bytes()) {
                continue;
            }
            if remove_left(directory, OsStr::from_bytes(name.to_bytes())) {
                self.note(
                    "halves of files that a killed restore left were removed",
                    &format!("{path}/{}", shown(name.to_bytes())),
                );
            }
        }
    }
}

/// Removes what was left under a temporary name; of a directory, in which something was made, only with what such directories hold.
fn remove_left(directory: &OwnedFd, name: &OsStr) -> bool {
    let Ok(stat) = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return fs::unlinkat(directory, name, AtFlags::empty()).is_ok();
    }
    let Ok(stage) = beneath(directory, name, OFlags::DIRECTORY | OFlags::RDONLY) else { return false };
    for item in Dir::read_from(&stage).into_iter().flatten().flatten() {
        if is_left(item.file_name().to_bytes()) {
            let _ = fs::unlinkat(&stage, item.file_name(), AtFlags::empty());
        }
    }
    fs::unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok()
}

/// Whether it is a temporary name of a process that is not there any more.
fn is_left(name: &[u8]) -> bool {
    let process = process_of(name).and_then(|process| process.parse().ok()).and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) == Err(rustix::io::Errno::SRCH))
}

/// Whether it is a temporary name, whatever became of its process.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    process_of(name).is_some()
}

/// The number of the process in a temporary name.
fn process_of(name: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(name.strip_prefix(TEMPORARY.as_bytes())?).ok()?;
    let (process, number) = rest.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(process) && is_number(number)).then_some(process)
}

fn shown(name: &[u8]) -> String {
    std::ffi::OsStr::from_bytes(name).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_processes_that_are_gone_are_left() {
        let ours = format!("{TEMPORARY}{}-1", std::process::id());
        for name in [
            ours.as_str(),
            ".dozo-",
            ".dozo-x-1",
            ".dozo-1-1",
            ".dozo-999999999",
            ".dozo-999999999-",
            "dozo-999999999-1",
        ] {
            assert!(!is_left(name.as_bytes()), "{name}");
        }
        assert!(is_left(b".dozo-999999999-17"));
    }
}
