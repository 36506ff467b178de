//! What the server says beside a base backup. That it leaves something out, it says in a warning, and in no other way.

use dozo_sdk::Backup;

use crate::failure::ServerError;

/// The function of the server that walks through directories: it warns of nothing but special files.
const WALKS: &str = "sendDir";
/// Warnings that are kept: each later snapshot names them too, in an attribute.
const KEPT: usize = 20;
/// Of those that are about something else, as many as a person reads.
const NOTED: usize = 10;
/// Quotation marks in which servers of all languages put a path.
const QUOTES: [char; 15] = ['"', '\'', '`', '“', '”', '„', '‘', '’', '‚', '«', '»', '‹', '›', '「', '」'];

/// The warnings of one base backup.
#[derive(Default)]
pub(super) struct Notices {
    /// What was left out, as the server names it: `base/5` in the data directory, `/srv/space/PG_17_202406281/5` in a tablespace.
    pub(super) left_out: Vec<String>,
    /// Beyond those that are kept.
    more: u64,
    others: Vec<String>,
    others_more: u64,
}

impl Notices {
    pub(super) fn take(&mut self, notice: ServerError) {
        if !notice.is_warning() {
            return;
        }
        if notice.routine != WALKS {
            match self.others.len() {
                0..NOTED => self.others.push(notice.message),
                _ => self.others_more += 1,
            }
            return;
        }
        let path = path(&notice.message);
        match self.left_out.len() {
            // It measures first, and says everything twice.
            _ if self.left_out.contains(&path) => {}
            0..KEPT => self.left_out.push(path),
            _ => self.more += 1,
        }
    }

    /// How many special files are not named.
    pub(super) fn more(&self) -> u64 {
        self.more
    }

    /// Hands on what else there was. Of pages whose checksums fail the server warns too, and they are named already.
    pub(super) fn note(&self, backup: &Backup, pages_are_named: bool) {
        if pages_are_named {
            return;
        }
        for text in &self.others {
            backup.note(&format!("the server warns: {text}"));
        }
        if self.others_more > 0 {
            backup.note(&format!("{} more warnings of the server are in its log", self.others_more));
        }
    }
}

/// The path in a message, which stands in quotes; the message itself if there are none.
fn path(message: &str) -> String {
    let inside = message.find(QUOTES).zip(message.rfind(QUOTES)).filter(|(first, last)| first < last);
    let path = inside.map_or(message, |(first, last)| message[first..last].trim_start_matches(QUOTES));
    let path = path.trim();
    path.strip_prefix("./").unwrap_or(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_in_any_language() {
        for (message, wanted) in [
            ("skipping special file \"./base/5\"", "base/5"),
            ("überspringe besondere Datei »./pg_hba.conf«", "pg_hba.conf"),
            ("ignore le fichier spécial « /srv/a b/PG_17_1/5 »", "/srv/a b/PG_17_1/5"),
            ("スペシャルファイル\"./it's\"をスキップしています", "it's"),
            ("no quotes", "no quotes"),
            ("one \"", "one \""),
        ] {
            assert_eq!(path(message), wanted, "{message}");
        }
    }
}
