//! `dozo ls`: the entries of a snapshot.

use dozo_job::Selection;
use dozo_repository::{Entry, EntryKind, SnapshotReader, StoredEntry, Time};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::{Global, LsArgs};
use crate::command::snapshots::problems;
use crate::context::{Context, find_snapshot};
use crate::exit::Exit;
use crate::named;
use crate::ui::{self, words};
use crate::zones::Zones;

/// Entries fetched at once.
const PAGE: usize = 1_000;

pub(crate) async fn ls(global: &Global, args: &LsArgs) -> anyhow::Result<Exit> {
    let context = Context::to_read(global, &args.read)?;
    let view = context.open_to_read(&args.from, &args.read, false).await?.repository.view().await?;
    let (snapshot, inside) = named::split(&args.snapshot);
    let (id, snapshot) = find_snapshot(&context, &view, snapshot)?;
    let zone = Zones::of(&context, &view)?.zone(&snapshot).clone();
    let reader = view.reader(id, snapshot);
    let typed: Vec<String> =
        Some(args.path.clone()).filter(|path| !path.trim_matches('/').is_empty()).into_iter().collect();
    let selection = Selection::find(&reader, &typed, inside).await?;
    selection.notes().iter().for_each(|note| ui::note(format!("note: {note}")));
    match selection.path() {
        Some("") if args.path.is_empty() && !args.recursive => {
            below(global, args, (&reader, &zone), &shared(&reader).await?).await?
        }
        Some(prefix) => below(global, args, (&reader, &zone), prefix).await?,
        None => matching(global, args, (&reader, &zone), &selection).await?,
    }
    Ok(problems(&view))
}

/// The common parent directory of all entries, where a listing without a PATH begins.
async fn shared(reader: &SnapshotReader) -> anyhow::Result<String> {
    let (mut after, mut shared) = (None::<String>, None::<String>);
    loop {
        let page = reader.page("", after.as_deref(), PAGE).await?;
        let Some(end) = page.last() else { break };
        after = Some(end.entry.path.clone());
        for StoredEntry { entry, .. } in &page {
            let directory = match entry.kind {
                EntryKind::Directory => &entry.path,
                _ => parent(&entry.path),
            };
            let common = shared.get_or_insert_with(|| directory.to_string());
            while !common.is_empty() && !lies_in(directory, common) {
                *common = parent(common).to_string();
            }
            if common.is_empty() {
                return Ok(String::new());
            }
        }
    }
    Ok(shared.unwrap_or_default())
}

/// What lies in a directory.
async fn below(
    global: &Global,
    args: &LsArgs,
    (reader, zone): (&SnapshotReader, &TimeZone),
    prefix: &str,
) -> anyhow::Result<()> {
    let (mut after, mut last) = (None::<String>, None::<String>);
    loop {
        let page = reader.page(prefix, after.as_deref(), PAGE).await?;
        let Some(end) = page.last() else { return Ok(()) };
        after = Some(end.entry.path.clone());
        for stored in &page {
            match listed(&stored.entry.path, prefix, args.recursive) {
                Listed::Whole => {
                    print(global, args, stored, zone)?;
                    if stored.entry.kind == EntryKind::Directory {
                        last = Some(stored.entry.path.clone());
                    }
                }
                // A directory that no entry describes: parents of what was backed up.
                Listed::Above(name) if last.as_ref() != Some(&name) => {
                    if global.json {
                        ui::json(&serde_json::json!({ "schema": "dozo/entry/1", "path": name, "kind": "above" }))?;
                    } else {
                        ui::line(format!("{name}/"));
                    }
                    last = Some(name);
                }
                Listed::Above(_) => {}
            }
        }
    }
}

/// What a pattern names; what lies below that where it was asked for.
async fn matching(
    global: &Global,
    args: &LsArgs,
    (reader, zone): (&SnapshotReader, &TimeZone),
    selection: &Selection,
) -> anyhow::Result<()> {
    let (root, mut after, mut shown) = (selection.root(), None::<String>, 0_u64);
    loop {
        let page = reader.page(&root, after.as_deref(), PAGE).await?;
        let Some(end) = page.last() else { break };
        after = Some(end.entry.path.clone());
        for stored in &page {
            let is_directory = stored.entry.kind == EntryKind::Directory;
            let path = &stored.entry.path;
            if selection.names(path, is_directory) || args.recursive && selection.takes(path, is_directory) {
                shown += 1;
                print(global, args, stored, zone)?;
            }
        }
    }
    let unmatched = if shown == 0 { selection.refuse_unmatched(&[&args.path]) } else { None };
    unmatched.map_or(Ok(()), |error| Err(error.into()))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Whether a path is a directory or lies in it.
fn lies_in(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

enum Listed {
    /// The entry itself.
    Whole,
    /// It lies deeper: this is the name on the level that is listed.
    Above(String),
}

fn listed(path: &str, prefix: &str, recursive: bool) -> Listed {
    let inside = path.strip_prefix(prefix).unwrap_or(path).trim_start_matches('/');
    match inside.split_once('/') {
        Some((first, _)) if !recursive => {
            Listed::Above(if prefix.is_empty() { first.to_string() } else { format!("{prefix}/{first}") })
        }
        _ => Listed::Whole,
    }
}

fn print(global: &Global, args: &LsArgs, stored: &StoredEntry, zone: &TimeZone) -> anyhow::Result<()> {
    let entry = &stored.entry;
    if global.json {
        return ui::json(&json(entry));
    }
    let suffix = match &entry.kind {
        EntryKind::Directory => "/".to_string(),
        EntryKind::Symlink(target) if args.long => format!(" -> {target}"),
        EntryKind::Hardlink(path) if args.long => format!(" => {path}"),
        _ => String::new(),
    };
    if !args.long {
        ui::line(format!("{}{suffix}", entry.path));
        return Ok(());
    }
    let (mode, owner) = match &entry.posix {
        Some(posix) => (mode(entry, posix.mode), format!("{}:{}", posix.uid, posix.gid)),
        None => (mode(entry, 0), "-".to_string()),
    };
    let size = entry.size.map_or(String::new(), words::count);
    let time = entry.modified.map_or_else(|| "-".to_string(), |time| modified(time, zone));
    ui::line(format!("{mode} {owner:>11} {size:>15} {time:>26} {}{suffix}", entry.path));
    Ok(())
}

/// A time for people; seconds since 1970 if no calendar goes as far.
fn modified(time: Time, zone: &TimeZone) -> String {
    let known = Timestamp::new(time.seconds, time.nanoseconds.cast_signed());
    known.map_or_else(|_| format!("@{time}"), |known| words::time_in(known, zone))
}

fn mode(entry: &Entry, bits: u32) -> String {
    let kind = match entry.kind {
        EntryKind::File | EntryKind::Hardlink(_) => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink(_) => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice(..) => 'c',
        EntryKind::BlockDevice(..) => 'b',
    };
    let has = |bit: u32| bits & bit != 0;
    let letter = |bit: u32, letter: char| if has(bit) { letter } else { '-' };
    // The place of `x` also tells set-user-id, set-group-id and sticky, as `ls` has it.
    let triple = |shift: u32, special: u32, mark: char| {
        let last = match (has(1 << shift), has(special)) {
            (true, true) => mark,
            (false, true) => mark.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        };
        [letter(4 << shift, 'r'), letter(2 << shift, 'w'), last]
    };
    let triples = [triple(6, 0o4000, 's'), triple(3, 0o2000, 's'), triple(0, 0o1000, 't')];
    std::iter::once(kind).chain(triples.into_iter().flatten()).collect()
}

fn json(entry: &Entry) -> serde_json::Value {
    let (kind, target) = match &entry.kind {
        EntryKind::File => ("file", None),
        EntryKind::Directory => ("directory", None),
        EntryKind::Symlink(target) => ("symlink", Some(target)),
        EntryKind::Hardlink(path) => ("hardlink", Some(path)),
        EntryKind::Fifo => ("fifo", None),
        EntryKind::Socket => ("socket", None),
        EntryKind::CharDevice(..) => ("char-device", None),
        EntryKind::BlockDevice(..) => ("block-device", None),
    };
    let posix = entry.posix.as_ref();
    serde_json::json!({
        "schema": "dozo/entry/1",
        "path": entry.path,
        "kind": kind,
        "target": target,
        "size": entry.size.map(|n| n.to_string()),
        "modified": entry.modified.map(|time| time.to_string()),
        "mode": posix.map(|p| format!("{:04o}", p.mode)),
        "uid": posix.map(|p| p.uid),
        "gid": posix.map(|p| p.gid),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_beyond_every_calendar_are_what_they_are() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        for (seconds, nanoseconds, shown, number) in [
            (-2, 500_000_000, "1970-01-01 08:59:58 +09:00", "-1.500000000"),
            (-1, 999_999_999, "1970-01-01 08:59:59 +09:00", "-0.000000001"),
            (0, 0, "1970-01-01 09:00:00 +09:00", "0.000000000"),
            (-1, 0, "1970-01-01 08:59:59 +09:00", "-1.000000000"),
            (i64::MIN, 0, "@-9223372036854775808.000000000", "-9223372036854775808.000000000"),
            (i64::MIN, 1, "@-9223372036854775807.999999999", "-9223372036854775807.999999999"),
            (i64::MAX, 999_999_999, "@9223372036854775807.999999999", "9223372036854775807.999999999"),
        ] {
            let time = Time { seconds, nanoseconds };
            assert_eq!((modified(time, &tokyo).as_str(), time.to_string().as_str()), (shown, number));
            assert_eq!(Time::parse(number), Some(time));
        }
    }
}
