//! `dozo cat`: the content of one entry, every chunk checked before a byte of it is printed.

use std::io::Write;

use dozo_job::Selection;
use dozo_job::limits::READ_BYTES;
use dozo_repository::{EntryKind, Error, PacksToRead, SnapshotReader, StoredEntry, path};

use crate::args::{CatArgs, Global};
use crate::context::{Context, find_snapshot};
use crate::exit::Exit;
use crate::named;
use crate::rollback::Back;
use crate::ui;

/// Entries fetched at once, and those that a message names.
const PAGE: usize = 1_000;
const NAMED: usize = 3;

pub(crate) async fn cat(global: &Global, args: &CatArgs) -> anyhow::Result<Exit> {
    let context = Context::to_read(global, &args.read)?;
    let opened = context.open_to_read(&args.from, &args.read, true).await?;
    let (repository, keys) = (&opened.repository, opened.keys()?);
    let back = Back::begin(&context, repository);
    // What is waited for must still be there when it comes.
    let lease = match args.thaw.thaw {
        Some(_) => Some(context.read_lease(repository).await?),
        None => None,
    };
    let view = match &lease {
        Some(lease) => lease.view().await?,
        None => repository.view().await?,
    };
    back.tell(&view).await?;
    let (snapshot, inside) = named::split(&args.snapshot);
    let (id, snapshot) = find_snapshot(&context, &view, snapshot)?;
    let reader = view.reader(id, snapshot);
    let stored = reader.holder(entry(&reader, args.path.as_ref(), inside).await?).await?;
    let mut packs = PacksToRead::default();
    reader.packs_of(&stored, &mut packs).await?;
    if let Err(error) = context.thaw(&view, &packs, (&args.thaw, &args.from)).await {
        if let Some(lease) = lease {
            context.released(lease).await;
        }
        return Err(error);
    }
    let mut content = reader.content(&stored, 0, &view.data_chunks(keys))?;
    let copied = tokio::task::spawn_blocking(move || {
        let mut out = std::io::BufWriter::with_capacity(READ_BYTES, ui::out::Content);
        std::io::copy(&mut content, &mut out)?;
        out.flush()
    });
    let copied = copied.await?;
    if let Some(lease) = lease {
        context.released(lease).await;
    }
    match copied {
        // Whoever reads may have seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        copied => {
            copied.map_err(|e| Error::io("print the content", e))?;
            Ok(Exit::Done)
        }
    }
}

/// The one file that was typed.
async fn entry(reader: &SnapshotReader, typed: Option<&String>, inside: Option<&str>) -> anyhow::Result<StoredEntry> {
    if typed.is_none() && inside.is_none() {
        return Err(Error::invalid("which entry?").hinted("`dozo cat SNAPSHOT PATH`, or `SNAPSHOT:PATH`").into());
    }
    let typed: Vec<String> = typed.into_iter().cloned().collect();
    let selection = Selection::find(reader, &typed, inside).await?;
    selection.notes().iter().for_each(|note| ui::note(format!("note: {note}")));
    let found = match selection.path() {
        Some(path) => vec![(path.to_string(), reader.get(path).await?)],
        None => matching(reader, &selection).await?,
    };
    match found.as_slice() {
        [(_, Some(stored))] if matches!(stored.entry.kind, EntryKind::File | EntryKind::Hardlink(_)) => {
            Ok(stored.clone())
        }
        [(found, _)] => {
            let why = format!("`{}` has no content: it is not a file", path::shown(found));
            Err(Error::invalid(why).into())
        }
        [] => {
            let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
            let nothing = || Error::internal("nothing was looked for");
            Err(selection.refuse_unmatched(&typed).unwrap_or_else(nothing).into())
        }
        several => {
            let named: Vec<String> = several.iter().take(NAMED).map(|(found, _)| path::shown(found)).collect();
            let why = format!("`{}` is more than one file", typed.join(" "));
            Err(Error::invalid(why).hinted(format!("name one: {}, …", named.join(", "))).into())
        }
    }
}

/// Entries that a pattern names, as many as it takes to see that there are several.
async fn matching(
    reader: &SnapshotReader,
    selection: &Selection,
) -> anyhow::Result<Vec<(String, Option<StoredEntry>)>> {
    let (root, mut after, mut found) = (selection.root(), None::<String>, Vec::new());
    while found.len() <= NAMED {
        let page = reader.page(&root, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.entry.path.clone());
        let named = page
            .into_iter()
            .filter(|stored| selection.names(&stored.entry.path, stored.entry.kind == EntryKind::Directory));
        found.extend(named.map(|stored| (stored.entry.path.clone(), Some(stored))));
    }
    Ok(found)
}
