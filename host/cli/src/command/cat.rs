//! `dozo cat`: the content of one entry, every chunk checked before a byte of it is printed.

use std::io::Write;

use dozo_repository::{EntryKind, Error, PacksToRead};

use crate::args::{CatArgs, Global};
use crate::context::{Context, find_snapshot};
use crate::exit::Exit;
use crate::rollback::Back;

pub(crate) async fn cat(global: &Global, args: &CatArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository_at(&args.from).await?;
    let keys = context.read_keys(&repository, &args.identity).await?;
    let back = Back::begin(&context, &repository);
    // What is waited for must still be there when it comes.
    let lease = match args.thaw.thaw {
        Some(_) => Some(context.read_lease(&repository).await?),
        None => None,
    };
    let view = match &lease {
        Some(lease) => lease.view().await?,
        None => repository.view().await?,
    };
    back.tell(&view).await?;
    let (id, snapshot) = find_snapshot(&context, &view, &args.snapshot)?;
    let reader = view.reader(id, snapshot);
    let path = args.path.trim_matches('/');
    let stored = reader.get(path).await?.ok_or_else(|| {
        Error::invalid(format!("the snapshot has no entry `{path}`")).hinted("`dozo ls -r` lists what it has")
    })?;
    if stored.entry.kind != EntryKind::File {
        return Err(Error::invalid(format!("`{path}` has no content: it is not a file")).into());
    }
    let mut packs = PacksToRead::default();
    reader.packs_of(&stored, &mut packs).await?;
    if let Err(error) = context.thaw(&view, &packs, (&args.thaw, &args.from)).await {
        if let Some(lease) = lease {
            context.released(lease).await;
        }
        return Err(error);
    }
    let mut content = reader.content(&stored, 0, &view.data_chunks(&keys))?;
    let copied = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
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
