//! Files with several names: the first that is met has the content, the others point to it. Symlinks, pipes, sockets and devices
//! have no content to point to: each name is an entry of its own, with an attribute that says which other it is a name of.

use std::collections::HashMap;

use dozo_sdk::tree::Found;

/// Files whose other names are still looked for: some 100 MB of them. Beyond, each name is backed up as a file of its own, which
/// costs no space, because its chunks are there.
const HOLDERS_MAX: usize = 300_000;

/// The attribute of an entry that is another name of the one at this path.
pub(crate) const NAME_OF: &str = "filesystem.name-of";

#[derive(Default)]
pub(crate) struct Links {
    holders: HashMap<(u64, u64), Holder>,
    is_full: bool,
}

struct Holder {
    /// The path of its entry.
    path: String,
    /// Names that may still come.
    names: u32,
}

impl Links {
    /// The path of the entry that is this file already; none if this is the first of its names, or the only one.
    pub(crate) fn holder(&mut self, found: &Found) -> Option<String> {
        let links = found.entry.posix.as_ref().map_or(1, |posix| posix.links);
        if links < 2 {
            return None;
        }
        let file = (found.device, found.inode);
        if let Some(holder) = self.holders.get_mut(&file) {
            let path = holder.path.clone();
            holder.names -= 1;
            if holder.names == 0 {
                self.holders.remove(&file);
            }
            return Some(path);
        }
        if self.holders.len() < HOLDERS_MAX {
            self.holders.insert(file, Holder { path: found.entry.path.clone(), names: links - 1 });
        } else if !std::mem::replace(&mut self.is_full, true) {
            dozo_sdk::log::warn("there are very many files with several names: some come back as several files");
        }
        None
    }
}
