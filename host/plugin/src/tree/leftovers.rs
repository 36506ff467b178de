//! Halves of files that a restore left which was killed. Whoever restores over them takes them away.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, Dir, FileType};
use rustix::process::{Pid, test_kill_process};

use super::Directory;
use super::write::TEMPORARY;

impl Directory {
    /// Removes what a killed restore left in a directory that was there before. What cannot be looked at stays.
    pub(super) fn remove_leftovers(&self, path: &str, directory: &OwnedFd) {
        let Ok(names) = Dir::read_from(directory) else { return };
        for item in names.flatten() {
            let name = item.file_name();
            if !is_left(name.to_bytes()) {
                continue;
            }
            let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            let is_directory = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
            if !is_directory && fs::unlinkat(directory, name, AtFlags::empty()).is_ok() {
                self.note(
                    "halves of files that a killed restore left were removed",
                    &format!("{path}/{}", shown(name.to_bytes())),
                );
            }
        }
    }
}

/// Whether it is a temporary name of a process that is not there any more.
fn is_left(name: &[u8]) -> bool {
    let parts = name.strip_prefix(TEMPORARY.as_bytes()).and_then(|rest| std::str::from_utf8(rest).ok());
    let Some((process, number)) = parts.and_then(|parts| parts.split_once('-')) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(process) || !is_number(number) {
        return false;
    }
    let process = process.parse().ok().and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) == Err(rustix::io::Errno::SRCH))
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
