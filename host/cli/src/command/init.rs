//! `dozo init`: a repository, the keys to it, and a configuration to start from. Nothing that is there is overwritten.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dozo_repository::format::circle::HostAction;
use dozo_repository::{Error, HostKey, HostUid, OwnerKey, Recipient, Repository, RepositoryId, Secret};

use crate::args::{Global, InitArgs};
use crate::config::{self, Loaded, Secrecy, endpoint_of_environment};
use crate::context::{Context, random};
use crate::exit::Exit;
use crate::keyfile::{write_key, write_new};
use crate::store_args::StoreArgs;
use crate::ui;
use crate::ui::ask::Operator;

const OWNER_KEY: &str = "owner.key";

pub(crate) async fn init(global: &Global, args: &InitArgs) -> anyhow::Result<Exit> {
    let file = global.config.clone().unwrap_or_else(config::default_file);
    args.store.go_with(args.url.as_ref(), "a URL")?;
    let example = "`dozo init file:///absolute/directory`, or `s3://BUCKET/PREFIX`";
    let text = starting_config(&file, args.url.as_deref(), &args.store, example)?;
    let recipients = owners(args)?;
    if let Some(text) = &text {
        write_config(&file, text)?;
    }
    let operator = Operator { file: None, new_file: args.new_passphrase_file.clone() };
    let made = make(&file, recipients, (Arc::new(operator), args.parents)).await;
    if made.is_err() && text.is_some() {
        // What was made for a repository that there is not would only be in the way.
        let _ = std::fs::remove_file(&file);
    }
    let made = made?;
    if let Some(text) = &text {
        pin(&file, text, made.repository)?;
    }
    join(global, &file, &made).await?;
    if global.json {
        ui::json(&serde_json::json!({
            "schema": "dozo/init/1", "repository": made.repository, "url": made.url, "config": file,
            "host_key": made.host_key, "owner_key": made.owner_key,
        }))?;
    } else {
        print(&file, &made);
    }
    Ok(Exit::Done)
}

struct Made {
    repository: RepositoryId,
    url: String,
    host_key: PathBuf,
    owner_key: PathBuf,
}

/// Leaves the record that this host is one of the repository's.
async fn join(global: &Global, file: &Path, made: &Made) -> anyhow::Result<()> {
    let context = Context::load(&Global { config: Some(file.to_path_buf()), ..*global })?;
    let repository = context.repository().await?;
    let stamp = context.stamp(&repository);
    let joined = repository.put_host_record(HostAction::Joined, stamp.host.clone(), &stamp).await;
    Ok(joined.map_err(|e| e.context(format!("the repository {} is made, but not all of its records", made.url)))?)
}

async fn make(
    file: &Path,
    mut recipients: Vec<Recipient>,
    (operator, parents): (Arc<Operator>, bool),
) -> anyhow::Result<Made> {
    let loaded = Loaded::read(Some(file))?;
    let tables = loaded.repository_store();
    let host_key = loaded.path(&loaded.config.repository.key);
    let owner_key = host_key.with_file_name(OWNER_KEY);
    for key in [&host_key, &owner_key] {
        if key.exists() {
            let shown = key.display();
            return Err(Error::invalid(format!("there is a key file {shown} already"))
                .hinted("it may be the only key to a repository: move it to where it belongs, then try again")
                .into());
        }
    }
    if loaded.repository_id()?.is_some() {
        let why = "a new repository has an id of its own, and this one is of one that is there";
        let hint = "`dozo join --identity FILE` makes this machine a host of it; for a new repository, take out `id`";
        return Err(loaded.fault(&["repository", "id"], why).hinted(hint).into());
    }
    loaded.make_store_directory(&tables, parents)?;
    let store = loaded.open_store(&tables)?;
    let secret = Secret::new(random()?);
    let repository = secret.repository();
    let (recipient, owner_text) = OwnerKey::generate(repository);
    recipients.insert(0, recipient);
    // The keys are on disk before the repository is: one that nobody can open must never exist.
    write_key(&owner_key, &owner_text)?;
    let created = Repository::create_asking(&store, secret, HostUid(random()?), &recipients, operator).await;
    let key: HostKey = created.inspect_err(|_| {
        let _ = std::fs::remove_file(&owner_key);
    })?;
    write_key(&host_key, &key.to_text())?;
    Ok(Made { repository, url: store.to_string(), host_key, owner_key })
}

/// The other owners. Without one, the operator must say that one key is enough.
fn owners(args: &InitArgs) -> anyhow::Result<Vec<Recipient>> {
    if args.owner.is_empty() && args.passphrase.is_none() && !args.single_owner {
        return Err(Error::invalid("a repository with one owner key is lost with that key")
            .hinted(
                "give a second owner's recipient with `--owner age1…` (`age-keygen` makes one), or say `--single-owner`",
            )
            .into());
    }
    let named = args.owner.iter().map(|text| Recipient::parse(text));
    let passphrase = args.passphrase.iter().map(|label| Recipient::passphrase(label));
    Ok(named.chain(passphrase).collect::<Result<_, _>>()?)
}

/// A configuration to start from, unless there is one. What is wrong with the URL is known before it is written.
pub(super) fn starting_config(
    file: &Path,
    url: Option<&str>,
    store: &StoreArgs,
    example: &str,
) -> anyhow::Result<Option<String>> {
    if file.exists() {
        if url.is_some() {
            return Err(Error::invalid(format!("there is a configuration {} already", file.display()))
                .hinted("leave out the URL to use the one in it, or name another file with `--config`")
                .into());
        }
        return Ok(None);
    }
    let Some(url) = url else {
        return Err(Error::invalid("where shall the repository be?").hinted(example).into());
    };
    // A cron job has another environment: what counts now is written down.
    let of_environment =
        StoreArgs { endpoint: store.endpoint.clone().or_else(endpoint_of_environment), ..store.clone() };
    let store = if url.starts_with("s3://") { &of_environment } else { store };
    let typed = Loaded::typed(url, store)?;
    typed.store_config(&typed.repository_store(), Secrecy::Fetch)?;
    let url = &typed.config.repository.url;
    let s3 = if url.starts_with("s3://") && store.is_empty() { TEMPLATE_S3.to_string() } else { table(url, store)? };
    Ok(Some(TEMPLATE.replace("{url}", &toml::Value::from(url.as_str()).to_string()).replace("{s3}", &s3)))
}

/// The table of the store that was said on the command line.
fn table(url: &str, store: &StoreArgs) -> anyhow::Result<String> {
    if store.is_empty() {
        return Ok(String::new());
    }
    let name = match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("gs") => "gcs",
        Some("az") => "azure",
        _ => "s3",
    };
    let mut table = toml::Table::new();
    let mut set = |key: &str, value: Option<toml::Value>| _ = value.map(|value| table.insert(key.into(), value));
    set("endpoint", store.endpoint.clone().map(Into::into));
    set("region", store.region.clone().map(Into::into));
    set("path_style", store.path_style.map(Into::into));
    // The configuration may lie elsewhere than this process stands.
    let ca = store.ca.as_ref().map(std::path::absolute).transpose();
    let ca = ca.map_err(|e| Error::io("find the file of certificates", e))?;
    set("ca", ca.map(|ca| ca.display().to_string().into()));
    set("allow_http", store.allow_http.then_some(true.into()));
    let credentials = if name == "s3" { CREDENTIALS_S3 } else { "" };
    Ok(format!("\n[repository.{name}]\n{table}{credentials}"))
}

pub(super) fn write_config(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|e| Error::io(format!("make the directory {}", parent.display()), e))?;
    }
    write_new(file, text.as_bytes(), 0o644)
}

/// Writes into the configuration that was written a moment ago which repository it is of.
pub(super) fn pin(file: &Path, text: &str, id: RepositoryId) -> anyhow::Result<()> {
    let text = text.replacen("\nkey = ", &format!("\nid = \"{id}\"\nkey = "), 1);
    let new = file.with_extension("toml.new");
    let _ = std::fs::remove_file(&new);
    write_new(&new, text.as_bytes(), 0o644)?;
    Ok(std::fs::rename(&new, file).map_err(|e| Error::io(format!("write {}", file.display()), e))?)
}

fn print(file: &Path, made: &Made) {
    let Made { repository, url, host_key, owner_key } = made;
    let (file, host_key, owner_key) = (file.display(), host_key.display(), owner_key.display());
    ui::line(format!("repository {} in {url}", repository.short()));
    ui::advice(format!("  {file}: the configuration; add a job, then `dozo config check` and `dozo run`"));
    ui::line(format!("  {host_key}: this host's key; it writes backups and cannot read them"));
    ui::line(format!("  {owner_key}: the owner's key; it reads every backup"));
    ui::line("");
    ui::line(format!(
        "Put {owner_key} where this machine's fire, thief or mistake does not reach it, and a copy elsewhere."
    ));
    ui::line(
        "Without it nothing can be restored, by anyone. With it and the repository, `age`, `zstd` and `jq` are enough",
    );
    ui::advice("(docs/recover.sh). `dozo key kit` prints a page for the safe that says how.");
}

const TEMPLATE: &str = r#"# dozo configuration. `dozo config check` tells what is wrong with it, `dozo config schema` what may stand here.

[repository]
url = {url}
key = "host.key"            # this host's key: writes and lists, reads no content
# identity = "owner.key"    # only where this host may read backups; else `--identity FILE` when restoring
# host = "web-1"            # default: the machine's name
{s3}
# A job: what is backed up, and what its plugin may reach. Nothing else is open to it.
# [job.attachments]
# plugin = "filesystem"
# config = { paths = ["/srv/app/attachments"], exclude = ["*.tmp", "cache/"] }
# grant = { read = ["/srv/app/attachments"] }
"#;

const CREDENTIALS_S3: &str = r#"# credentials: here, the environment (AWS_ACCESS_KEY_ID …), ~/.aws/credentials, a role
# access_key = { env = "BACKUP_ACCESS_KEY" }
# secret_key = { file = "/etc/dozo/s3.secret" }
"#;

const TEMPLATE_S3: &str = r#"
# [repository.s3]           # credentials: here, the environment (AWS_ACCESS_KEY_ID …), ~/.aws/credentials, a role
# endpoint = "https://s3.example.net"
# region = "eu-central-1"
# access_key = { env = "BACKUP_ACCESS_KEY" }
# secret_key = { file = "/etc/dozo/s3.secret" }
"#;
