//! `dozo key owners`, `add`, `remove`, `test`, `epoch`: who can read.

use dozo_repository::{Changed, KeyTest, OwnerRow, Recipient};

use super::{problems, take};
use crate::args::{Global, IdentityArgs, KeyAddArgs, KeyEpochArgs, KeyRemoveArgs, KeyTestArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::ui::{self, words};

pub(super) async fn list(global: &Global) -> anyhow::Result<Exit> {
    let repository = Context::load(global)?.repository().await?;
    let (rows, damaged) = repository.owners().await?;
    if global.json {
        for row in &rows {
            ui::json(&serde_json::json!({
                "schema": "dozo/key-owners/1", "name": row.name, "owner": row.recipient, "epochs": row.epochs,
                "since": row.since, "tested": row.tested,
            }))?;
        }
    } else {
        ui::line(format!("{:16}  {:10}  {:26}  {:26}  owner", "name", "epochs", "since", "tested"));
        rows.iter().for_each(|row| ui::line(line(row)));
    }
    Ok(problems(&damaged))
}

fn line(row: &OwnerRow) -> String {
    let time = |time: Option<jiff::Timestamp>, none: &str| time.map_or_else(|| none.to_string(), words::time);
    format!(
        "{:16}  {:10}  {:26}  {:26}  {}",
        row.name,
        numbers(&row.epochs),
        time(row.since, "-"),
        time(row.tested, "never"),
        row.recipient.as_deref().unwrap_or("no record names them")
    )
}

/// `1-3`, `1,3`.
fn numbers(epochs: &[u32]) -> String {
    let runs = epochs.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

pub(super) async fn add(global: &Global, args: &KeyAddArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let new = match (&args.recipient, &args.passphrase) {
        (_, Some(label)) => Recipient::passphrase(label)?,
        (text, None) => Recipient::parse(text.as_deref().unwrap_or_default())?,
    };
    let repository = context.repository().await?;
    let identity = IdentityArgs { new_passphrase_file: args.new_passphrase_file.clone(), ..args.identity.clone() };
    let owner = context.owner_key_for(&repository, &identity).await?;
    let added = repository.add_owner(&owner, &new, &context.stamp(&repository)).await?;
    if global.json {
        ui::json(&serde_json::json!({
            "schema": "dozo/key-add/1", "owner": added.owner, "epochs": added.epochs, "written": added.written,
        }))?;
        return Ok(Exit::Done);
    }
    match added.written {
        0 => ui::line(format!("{} is an owner already", added.owner)),
        _ => ui::line(format!("{} is an owner: it reads every backup, old ones too", added.owner)),
    }
    ui::advice("Try its key before it is needed: `dozo key test --identity FILE`");
    Ok(Exit::Done)
}

pub(super) async fn remove(global: &Global, args: &KeyRemoveArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let known = recipients(&args.epoch)?;
    let repository = context.repository().await?;
    let owner = context.owner_key_for(&repository, &args.epoch.identity).await?;
    let stamp = context.stamp(&repository);
    let changed = repository.remove_owners(&owner, &args.gone, &known, &stamp).await?;
    let old = take(&context, &changed.key)?;
    let exit = match changed.left.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    };
    if global.json {
        ui::json(&json("dozo/key-remove/1", &changed))?;
        return Ok(exit);
    }
    print(&context, &changed, &old);
    ui::line("");
    ui::line(
        "Who was removed reads nothing that is stored from now on by hosts that have the new epoch. What they had",
    );
    ui::line("before is theirs: take their credentials for the store away, and change what secrets the backups hold.");
    for problem in &changed.left {
        ui::note(format!("not deleted: {}: {}", problem.object, problem.why.chain()));
    }
    if exit != Exit::Done {
        ui::note("hint: with credentials that may delete, `dozo key remove` again");
    }
    Ok(exit)
}

pub(super) async fn epoch(global: &Global, args: &KeyEpochArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let known = recipients(args)?;
    let repository = context.repository().await?;
    let owner = context.owner_key_for(&repository, &args.identity).await?;
    let changed = repository.begin_epoch(&owner, &known, &context.stamp(&repository)).await?;
    let old = take(&context, &changed.key)?;
    match global.json {
        true => ui::json(&json("dozo/key-epoch/1", &changed))?,
        false => print(&context, &changed, &old),
    }
    Ok(Exit::Done)
}

fn recipients(args: &KeyEpochArgs) -> anyhow::Result<Vec<Recipient>> {
    Ok(args.owner.iter().map(|text| Recipient::parse(text)).collect::<Result<_, _>>()?)
}

fn json(schema: &str, changed: &Changed) -> serde_json::Value {
    let left: Vec<_> = changed.left.iter().map(|problem| [problem.object.clone(), problem.why.chain()]).collect();
    serde_json::json!({
        "schema": schema, "epoch": changed.key.epoch(), "owners": changed.owners, "not_deleted": left,
    })
}

fn print(context: &Context, changed: &Changed, old: &std::path::Path) {
    let (epoch, file) = (changed.key.epoch(), context.key_file());
    ui::line(format!("epoch {epoch}: this host's {} is of it, the old one is {}", file.display(), old.display()));
    changed.owners.iter().for_each(|owner| ui::line(format!("  {owner}")));
    ui::advice("Every other host seals to its old epoch until `dozo key refresh --identity FILE` there.");
}

pub(super) async fn test(global: &Global, args: &KeyTestArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let owner = context.owner_key_for(&repository, &args.identity).await?;
    let lease = context.read_lease(&repository).await?;
    let view = lease.view().await?;
    let test = repository.test_owner(&owner, &view, &context.stamp(&repository)).await;
    context.released(lease).await;
    let test = test?;
    if global.json {
        let epochs: Vec<_> = test.epochs.iter().map(|epoch| (epoch.epoch, &epoch.pack, epoch.chunks)).collect();
        let problems: Vec<_> = test.problems.iter().map(|p| [p.object.clone(), p.why.chain()]).collect();
        ui::json(&serde_json::json!({
            "schema": "dozo/key-test/1", "owner": test.owner, "epochs": epochs, "problems": problems,
        }))?;
    } else {
        print_test(&test);
    }
    Ok(if test.problems.is_empty() { Exit::Done } else { Exit::Damaged })
}

fn print_test(test: &KeyTest) {
    for epoch in &test.epochs {
        let number = epoch.epoch;
        match &epoch.pack {
            Some(pack) => {
                let chunks = words::counted(epoch.chunks as u64, "chunk", "chunks");
                ui::line(format!("epoch {number}: opens {pack}, {chunks} as their ids say"));
            }
            None => ui::line(format!("epoch {number}: opens; no pack of it was found to try it on")),
        }
    }
    for problem in &test.problems {
        ui::line(format!("FAILS: {}: {}", problem.object, problem.why.chain()));
    }
    let verdict = if test.problems.is_empty() { "opens every epoch" } else { "does NOT open everything" };
    ui::line(format!("{} {verdict}", test.owner));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_read_well() {
        assert_eq!(numbers(&[1]), "1");
        assert_eq!(numbers(&[1, 2, 3, 5]), "1-3,5");
        assert_eq!(numbers(&[]), "");
    }
}
