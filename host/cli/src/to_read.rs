//! Opening a repository only to read: with this host's key, or, where there is none, with an owner's key alone. On a new machine
//! that is all there is, and nothing is written down.

use dozo_job::Error;
use dozo_repository::{HostUid, Kind, OwnerKey, ReadKeys, Repository, RepositoryId};

use crate::args::{FromArgs, Global};
use crate::config::Loaded;
use crate::context::{Context, random};
use crate::store_args::ReadArgs;
use crate::ui;
use crate::upkeep::Watch;

/// Owners that a message names.
const OWNERS_NAMED: usize = 4;

const ELSEWHERE: &str = "the recovery kit names the owners: the key of any of them reads every backup";

/// A repository that is open to read.
pub(crate) struct Opened {
    pub(crate) repository: Repository,
    /// What reads content, if an owner's key was needed.
    keys: Option<ReadKeys>,
    /// Whether this machine is a host of it, and may leave records.
    pub(crate) is_host: bool,
}

impl Opened {
    /// What reads content.
    pub(crate) fn keys(&self) -> Result<&ReadKeys, Error> {
        self.keys.as_ref().ok_or_else(|| Error::internal("the repository was opened without a key that reads content"))
    }
}

impl Context {
    /// The configuration, or what was typed instead of one.
    pub(crate) fn to_read(global: &Global, args: &ReadArgs) -> anyhow::Result<Self> {
        args.store.go_with(args.repository.as_ref(), "`--repository URL`")?;
        match &args.repository {
            Some(_) if global.config.is_some() => {
                Err(Error::invalid("`--repository` and `--config` both say where the repository is")
                    .hinted("leave out one of them")
                    .into())
            }
            Some(url) => Context::of(Loaded::typed(url, &args.store)?),
            None if !Loaded::is_there(global.config.as_deref()) => {
                let why = "there is no configuration: neither dozo.toml nor /etc/dozo/dozo.toml";
                let hint = "`--repository URL --identity FILE` reads a repository without one (`dozo key kit` has printed the \
                            whole command); `dozo join URL --identity FILE` makes this machine a host of it; `--config FILE` \
                            names another";
                Err(Error::invalid(why).hinted(hint).into())
            }
            None => Context::load(global),
        }
    }

    /// Opens the repository, or the mirror that was named; with an owner's key where content is to be read.
    pub(crate) async fn open_to_read(&self, from: &FromArgs, args: &ReadArgs, content: bool) -> anyhow::Result<Opened> {
        self.open_for_content(&mut Watch::begin(self), from, args, content).await
    }

    /// The same where what is wrong with an owner's key that was typed is for whoever typed it.
    pub(crate) async fn open_for_content(
        &self,
        watch: &mut Watch<'_>,
        from: &FromArgs,
        args: &ReadArgs,
        content: bool,
    ) -> anyhow::Result<Opened> {
        let has_host_key = !self.loaded.is_typed() && self.key_file().exists();
        if has_host_key {
            let repository = self.repository_at(from).await?;
            let keys = if content {
                Some(watch.typed_key(&args.identity, self.read_keys(&repository, &args.identity).await)?)
            } else {
                None
            };
            return Ok(Opened { repository, keys, is_host: true });
        }
        watch.typed_key(&args.identity, self.open_with_owner(from, args).await)
    }

    /// Opens it with an owner's key alone.
    async fn open_with_owner(&self, from: &FromArgs, args: &ReadArgs) -> anyhow::Result<Opened> {
        if self.owner_file(&args.identity).is_none() {
            return Err(self.no_key());
        }
        let owner = self.owner_key(&args.identity).await.map_err(|error| match error.downcast_ref::<Error>() {
            Some(error) if error.hint().is_none() => error.clone().hinted(ELSEWHERE).into(),
            _ => error,
        })?;
        let id = wanted(&self.loaded, args.repository_id.as_deref(), &owner)?;
        let store = match &from.from {
            None => self.store()?,
            Some(name) => self.loaded.open_mirror(self.loaded.mirror(name)?)?,
        };
        let (repository, keys) = Repository::open_to_read(store, id, &owner, HostUid(random()?)).await?;
        if !self.loaded.is_typed() {
            let file = self.key_file();
            ui::note(format!("note: there is no host key {}: reading with the owner's key alone", file.display()));
        }
        let repository = match &from.from {
            None => self.remembering(repository),
            Some(name) => self.remembering(repository).as_mirror(name),
        };
        Ok(Opened { repository, keys: Some(keys), is_host: false })
    }

    fn no_key(&self) -> anyhow::Error {
        if self.loaded.is_typed() {
            let hint = "`--identity FILE`, or `--identity passphrase:LABEL`: the recovery kit says who the owners are";
            return Error::invalid("reading a repository without a configuration needs an owner key")
                .hinted(hint)
                .into();
        }
        let why = format!("there is no host key {}", self.key_file().display());
        let hint = "`--identity FILE` reads with an owner's key alone; `dozo join --identity FILE` makes this machine a host of \
                    the repository";
        Error::invalid(why).hinted(hint).into()
    }
}

/// The repository that is meant: by the command line, the configuration, or the owner's key. What the store says of itself is
/// not believed: it could be another repository under the same name.
pub(crate) fn wanted(loaded: &Loaded, typed: Option<&str>, owner: &OwnerKey) -> anyhow::Result<RepositoryId> {
    let typed = typed.map(str::parse::<RepositoryId>).transpose();
    let typed = typed.map_err(|e| e.with_kind(Kind::Invalid).context("`--repository-id`"))?;
    let wanted = typed.or(loaded.repository_id()?).or(owner.repository);
    Ok(wanted.ok_or_else(|| {
        Error::invalid("this owner key does not say which repository it is for").hinted(
            "`--repository-id ID`, or `id = \"ID\"` in [repository]: the recovery kit has it, and so has \
             `dozo key kit` on another host. If both are lost, `dozo.json` in the store has it: trust that only if nobody \
             else can write to the store",
        )
    })?)
}

/// The error for an owner's key that is not where it was said to be: whose keys there are.
pub(crate) async fn gone(error: &anyhow::Error, repository: &Repository) -> anyhow::Error {
    let owners = repository.owners().await.map(|(owners, _)| owners).unwrap_or_default();
    let known: Vec<String> = owners.into_iter().filter_map(|owner| owner.recipient).take(OWNERS_NAMED).collect();
    let owners = match known.is_empty() {
        true => "`dozo key owners` lists the owners".to_string(),
        false => format!("the owners are {} (`dozo key owners`)", known.join(", ")),
    };
    let hint =
        format!("{owners}: the key of any of them reads every backup. Look where they keep theirs, and the copy of it");
    Error::invalid(format!("{error:#}")).hinted(hint).into()
}
