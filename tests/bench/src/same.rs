//! Both sources into one repository: what they did is the same if the snapshots are, entry by entry. Chunks of one
//! repository have the same id if and only if they have the same bytes, so equal extents are equal contents.

use std::process::ExitCode;

use anyhow::{Context, Result};
use dozo_job::Report;
use dozo_repository::{StoredEntry, View};

use crate::house::House;
use crate::native::NativeSource;
use crate::{Place, load, say};

/// Entries read at once.
const PAGE: usize = 1_024;
/// Differences that are told.
const SHOWN: usize = 10;

/// Runs the plugin, then the native source; fails if their snapshots differ.
pub(crate) async fn same(place: &Place) -> Result<ExitCode> {
    let house = House::open(&place.home).await?;
    let ours = house.run("plugin", &place.tree, &load::source(place).await?).await?;
    let theirs = house.run("native", &place.tree, &NativeSource::new()).await?;
    let view = house.repository.view().await?;
    let (source, entries) = entries(&view, &ours).await?;
    let (other_source, others) = self::entries(&view, &theirs).await?;
    let mut differences: Vec<String> = Vec::new();
    if source != other_source {
        differences.push(format!("the source is {source:?}, natively {other_source:?}"));
    }
    if entries.len() != others.len() {
        differences.push(format!("{} entries, natively {}", entries.len(), others.len()));
    }
    let pairs = entries.iter().zip(&others).filter(|(one, other)| one != other);
    differences.extend(pairs.map(|(one, other)| format!("{one:?}\n  natively {other:?}")));
    say(format!(
        "entries={} bytes={} new={} native_new={} differences={}",
        ours.entries,
        ours.bytes,
        ours.bytes_new,
        theirs.bytes_new,
        differences.len()
    ));
    differences.iter().take(SHOWN).for_each(say);
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a run said its source is, and all entries of its snapshot.
async fn entries(view: &View, report: &Report) -> Result<(Option<String>, Vec<StoredEntry>)> {
    let found = view.snapshots().iter().find(|(id, _)| Some(*id) == report.snapshot);
    let (id, snapshot) = found.cloned().context("the snapshot is not in the repository")?;
    let (source, reader) = (snapshot.source.clone(), view.reader(id, snapshot));
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = reader.page("", after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok((source, all)) };
        after = Some(last.entry.path.clone());
        // Whose names numbers are is not part of the comparison: the standard library does not ask.
        all.extend(page.into_iter().map(|mut stored| {
            stored.entry.posix.iter_mut().for_each(|posix| (posix.user, posix.group) = (None, None));
            stored
        }));
    }
}
