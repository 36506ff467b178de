//! Where a path leads whoever writes: symlinks that were there before are followed above what is put back, and not below.

use std::collections::VecDeque;

use super::*;

/// Where a path leads whoever writes, and what lies there; or how it must be refused, and whether that is because something
/// that is no directory is in the way.
pub(super) struct Way {
    pub(super) at: PathBuf,
    pub(super) there: Result<Option<Seen>, (Kind, bool)>,
    /// Whether the directory that holds it is there.
    pub(super) is_reached: bool,
}

impl Case {
    /// Where a path leads whoever writes. Symlinks that were there are followed above the first directory that is put back, as
    /// long as they stay inside.
    pub(super) fn way_to_write(&self, path: &str) -> Way {
        let mut names = match names(path) {
            _ if path.is_empty() => {
                return Way { at: place(""), there: Ok(self.world.get(&place("")).cloned()), is_reached: true };
            }
            Err(kind) => return Way { at: place(""), there: Err((kind, false)), is_reached: true },
            Ok(names) => names,
        };
        let last = names.pop().unwrap();
        let is_top = |end: &usize| self.tops.contains(&path.split('/').take(*end).collect::<Vec<_>>().join("/"));
        let free = (1..=names.len()).find(is_top).map_or(names.len(), |top| top - 1);
        let free = if self.access == Access::Write(Conflict::Refuse) { 0 } else { free };
        let mut todo: VecDeque<(Vec<u8>, bool, bool)> =
            names.into_iter().enumerate().map(|(n, name)| (name, n < free, false)).collect();
        let (mut way, mut links) = (vec![place("")], 0);
        let rest = |at: PathBuf, todo: &VecDeque<(Vec<u8>, bool, bool)>| {
            let names = todo.iter().filter(|(.., is_linked)| !is_linked).map(|(name, ..)| name).chain([&last]);
            names.fold(at, |at, name| at.join(OsStr::from_bytes(name)))
        };
        while let Some((name, may_be_link, is_linked)) = todo.pop_front() {
            let here = way.last().unwrap().clone();
            let at = here.join(OsStr::from_bytes(&name));
            let stop = |kind, is_in_the_way| Way {
                at: rest(at.clone(), &todo),
                there: Err((kind, is_in_the_way)),
                is_reached: true,
            };
            match (name.as_slice(), self.world.get(&at)) {
                (b"" | b".", _) => {}
                (b"..", _) if way.len() == 1 => return stop(Kind::NotGranted, true),
                (b"..", _) => drop(way.pop()),
                _ if name.len() > NAME_BYTES_MAX => return stop(Kind::Unsupported, false),
                (_, None) if is_linked => return stop(Kind::Unavailable, false),
                // It is made, with all that comes behind.
                (_, None) => {
                    let is_overlong = todo.iter().any(|(name, ..)| name.len() > NAME_BYTES_MAX);
                    let there = if is_overlong { Err((Kind::Unsupported, false)) } else { Ok(None) };
                    return Way { at: rest(at, &todo), there, is_reached: false };
                }
                (_, Some(seen)) if seen.is_directory() => way.push(at),
                (_, Some(seen)) if seen.kind == FileType::Symlink && may_be_link && links < 40 => {
                    links += 1;
                    if seen.content.starts_with(b"/") {
                        return stop(Kind::NotGranted, true);
                    }
                    let parts = seen.content.rsplit(|byte| *byte == b'/');
                    parts.for_each(|part| todo.push_front((part.to_vec(), true, true)));
                }
                (_, Some(seen)) if seen.kind == FileType::Symlink => return stop(Kind::NotGranted, true),
                (_, Some(_)) => return stop(Kind::Unavailable, true),
            }
        }
        let at = way.last().unwrap().join(OsStr::from_bytes(&last));
        let there = self.world.get(&at).cloned();
        let there = if last.len() > NAME_BYTES_MAX { Err((Kind::Unsupported, false)) } else { Ok(there) };
        Way { at, there, is_reached: true }
    }
}
