//! The command line. Its doc comments are the help texts and the manual (docs/cli.md).

mod key;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command::plugin::{PluginNewArgs, PluginTestArgs};
use crate::command::restore::RestoreArgs;
use crate::store_args::{ReadArgs, StoreArgs};
use crate::thaw::ThawArgs;

pub(crate) use key::{
    KeyAddArgs, KeyCommand, KeyEpochArgs, KeyHostArgs, KeyHostRemoveArgs, KeyKitArgs, KeyRemoveArgs, KeyTestArgs,
};

/// Back up databases, buckets and files through sandboxed plugins, encrypted and deduplicated, and prove that they come
/// back
#[derive(Parser)]
#[command(name = "dozo", version, max_term_width = 100, infer_subcommands = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args)]
pub(crate) struct Global {
    /// The configuration [default: ./dozo.toml, then /etc/dozo/dozo.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no results of work that went well, and no progress: what is wrong, and what was asked for, is still printed
    #[arg(long, short, global = true, conflicts_with_all = ["json", "verbose"])]
    pub(crate) quiet: bool,
    /// Say more; twice for even more (to standard error; DOZO_LOG takes precedence)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a repository, its keys, and a configuration to start from
    Init(InitArgs),
    /// Run jobs now
    Run(RunArgs),
    /// List snapshots, oldest first
    Snapshots(SnapshotsArgs),
    /// List the entries of a snapshot
    Ls(LsArgs),
    /// Print the content of an entry
    Cat(CatArgs),
    /// Put a snapshot, or some of it, back
    Restore(RestoreArgs),
    /// Hold what the repository has against what it says it has
    Verify(VerifyArgs),
    /// Delete snapshots that no rule keeps, and what only they needed; shows the plan first
    Prune(PruneArgs),
    /// Keep a snapshot whatever the rules say, or let the rules have it again
    Hold(HoldArgs),
    /// Say that a suspicious snapshot is right: it becomes as good as any other, and what the next one is compared with
    Accept(AcceptArgs),
    /// Show each job's last good snapshot, and what is not as it should be: exit 3, or 5 for damage
    Status(StatusArgs),
    /// Copy what mirrors lack, ciphertext to ciphertext
    Mirror(MirrorArgs),
    /// Put right what is damaged, from mirrors and from the packs themselves
    Repair(RepairArgs),
    /// Find out what the store lets this host do, and whether jobs would find what they need
    Check(CheckArgs),
    /// Make this machine a host of a repository that is there
    Join(JoinArgs),
    /// Look after keys: owners, hosts, epochs, and the recovery kit
    #[command(subcommand)]
    Key(KeyCommand),
    /// Try whether people are told
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Look at plugins, and say which may run
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `dozo init`
#[derive(Args)]
pub(crate) struct InitArgs {
    /// Where the repository goes: file:///absolute/directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or
    /// az://CONTAINER/PREFIX. Not needed if the configuration names one
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Another owner, who will be able to read every backup too: age1…, age1NAME1… (a hardware key), "ssh-ed25519 …" or
    /// "ssh-rsa …". Can be given more than once
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) owner: Vec<String>,
    /// An owner who is a passphrase, under this label; it is asked for
    #[arg(long, value_name = "LABEL")]
    pub(crate) passphrase: Option<String>,
    /// Read that passphrase from a file instead (or from DOZO_NEW_PASSPHRASE)
    #[arg(long, value_name = "FILE", requires = "passphrase")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Make do with the one owner key that this command writes: lose it, and every backup is lost
    #[arg(long)]
    pub(crate) single_owner: bool,
    /// Also make the directories above that of a file:// repository; without it, a file system that is not mounted is noticed
    #[arg(long)]
    pub(crate) parents: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `dozo run`
#[derive(Args)]
pub(crate) struct RunArgs {
    /// Jobs to run [default: all]
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    /// Read everything, also what looks unchanged
    #[arg(long)]
    pub(crate) full: bool,
    /// A word that the snapshot carries. Can be given more than once
    #[arg(long, value_name = "WORD")]
    pub(crate) tag: Vec<String>,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
}

/// `dozo snapshots`
#[derive(Args)]
pub(crate) struct SnapshotsArgs {
    /// Only of this job
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) from: FromArgs,
}

/// Which snapshot a command is about.
pub(crate) const SNAPSHOT_HELP: &str = "JOB (its newest that is not suspicious), JOB@TIME (the same up to then: \"files@2026-11-23\", \
                             \"files@2026-11-23 02:00:00 +09:00\", \"files@yesterday 14:00\"), HOST/JOB for another host's (by its \
                             name, or the beginning of its uid), or the beginning of a snapshot's id. A time without a zone is of the job's zone; what it leaves out is its \
                             end, so that the times that lists show find their snapshots";
/// The same where a part of it can be meant.
pub(crate) const PART_HELP: &str = "JOB (its newest that is not suspicious), JOB@TIME (the same up to then: \"files@2026-11-23\", \
                             \"files@2026-11-23 02:00:00 +09:00\", \"files@yesterday 14:00\"), HOST/JOB for another host's (by its \
                             name, or the beginning of its uid), or the beginning of a snapshot's id; `:PATH` behind it is what lies in that directory. A time without a zone \
                             is of the job's zone; what it leaves out is its end, so that the times that lists show find their \
                             snapshots";

/// `dozo ls`
#[derive(Args)]
pub(crate) struct LsArgs {
    #[arg(help = PART_HELP, value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// A directory in it, or a pattern as in `exclude` [default: the common parent directory of all entries]
    #[arg(value_name = "PATH", default_value = "")]
    pub(crate) path: String,
    /// Also what is below directories
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Also mode, owner and time
    #[arg(long, short)]
    pub(crate) long: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) from: FromArgs,
}

/// `dozo cat`
#[derive(Args)]
pub(crate) struct CatArgs {
    #[arg(help = PART_HELP, value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// The entry, or a pattern that matches one alone
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<String>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) thaw: ThawArgs,
    #[command(flatten)]
    pub(crate) from: FromArgs,
}

/// `dozo verify`
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Look at this alone: JOB (all its snapshots), or the beginning of a snapshot's id [default: everything]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
    /// Also decrypt and check every chunk, or those of so many packs in a hundred; needs an owner key
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "100", require_equals = true)]
    pub(crate) read_data: Option<String>,
    /// Also read every pack and compare its digest; needs no key that reads content
    #[arg(long, conflicts_with = "read_data")]
    pub(crate) scrub: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) thaw: ThawArgs,
    #[command(flatten)]
    pub(crate) from: FromArgs,
}

/// `dozo mirror`
#[derive(Args)]
pub(crate) struct MirrorArgs {
    /// Mirrors to fill [default: all of the configuration]
    #[arg(value_name = "NAME", conflicts_with = "from")]
    pub(crate) mirrors: Vec<String>,
    /// Make the mirror where there is none; without it, a place without a mirror may just not be mounted. With `--from`, a
    /// repository that was lost is made again
    #[arg(long)]
    pub(crate) create: bool,
    /// Also make the directories above that of a file:// mirror
    #[arg(long, requires = "create")]
    pub(crate) parents: bool,
    #[command(flatten)]
    pub(crate) from: FromArgs,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
}

/// `dozo repair`
#[derive(Args)]
pub(crate) struct RepairArgs {
    /// Do what the plan says; what deletes takes `role = "maintain"` in [repository]
    #[arg(long)]
    pub(crate) yes: bool,
    /// Repair this mirror, from the repository and the other mirrors
    #[arg(long, value_name = "NAME")]
    pub(crate) at: Option<String>,
    /// Let go of a damaged document that nothing can bring back: its name, or the whole id of a snapshot. Can be given more
    /// than once
    #[arg(long, value_name = "OBJECT")]
    pub(crate) give_up: Vec<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
}

/// `dozo prune`
#[derive(Args)]
pub(crate) struct PruneArgs {
    /// Do what the plan says; takes `role = "maintain"` in [repository]
    #[arg(long)]
    pub(crate) yes: bool,
    /// Also store again what is alive in packs that are mostly dead, so that these can go; needs an owner key
    #[arg(long, requires = "yes")]
    pub(crate) compact: bool,
    /// Show the reason of every snapshot that stays, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Somebody has looked why far more snapshots than usual arrived: go on
    #[arg(long)]
    pub(crate) flood_explained: bool,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
}

/// `dozo hold`
#[derive(Args)]
pub(crate) struct HoldArgs {
    #[arg(help = SNAPSHOT_HELP, value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Let the rules have it again
    #[arg(long)]
    pub(crate) release: bool,
    /// Why, for those who come later
    #[arg(long, value_name = "WORDS", required_unless_present = "release")]
    pub(crate) why: Option<String>,
}

/// `dozo accept`
#[derive(Args)]
pub(crate) struct AcceptArgs {
    /// JOB (its newest, if that is suspicious), HOST/JOB, or the beginning of a snapshot's id
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Why so little is right, for those who come later
    #[arg(long, value_name = "WORDS")]
    pub(crate) why: Option<String>,
}

/// `dozo check`
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// Jobs to look at [default: all]
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    /// The store was put back to an older state on purpose: take what it shows for right from now on
    #[arg(long, conflicts_with = "jobs")]
    pub(crate) accept_rollback: bool,
}

/// `dozo status`
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Also how many bytes of packs nothing needs any more: reads every manifest
    #[arg(long)]
    pub(crate) space: bool,
    /// Also on how many stores, the mirrors among them, each job's newest complete snapshot is whole: opens every mirror and
    /// reads every manifest
    #[arg(long)]
    pub(crate) copies: bool,
}

/// Whose leases to pass over.
#[derive(Args, Clone, Default)]
pub(crate) struct LeaseArgs {
    /// Ignore this lease, which another command holds. Only if that command cannot be running any more, because its
    /// machine is off or its container is gone. The message that stopped the command has the id. Can be given more than once
    #[arg(long, value_name = "ID")]
    pub(crate) ignore_lease: Vec<dozo_repository::LeaseId>,
}

/// Which store to read.
#[derive(Args)]
pub(crate) struct FromArgs {
    /// Read from this mirror of the configuration instead of the repository
    #[arg(long, value_name = "MIRROR")]
    pub(crate) from: Option<String>,
}

/// Who reads content.
#[derive(Args, Clone)]
pub(crate) struct IdentityArgs {
    /// The owner key: an age identity file, encrypted or not, an SSH key, or `passphrase:LABEL` [default: `identity` of the
    /// configuration]
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Read the passphrase of the owner key from a file instead of asking for it (or from DOZO_PASSPHRASE)
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Where a new owner's passphrase is read from
    #[arg(skip)]
    pub(crate) new_passphrase_file: Option<PathBuf>,
}

/// `dozo join`
#[derive(Args)]
pub(crate) struct JoinArgs {
    /// Where the repository is. Not needed if the configuration names it
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// This host's name, for people [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The repository's id, 64 digits, where the owner key does not tell it: the recovery kit has it
    #[arg(long, value_name = "ID")]
    pub(crate) repository_id: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// `dozo notify`
#[derive(Subcommand)]
pub(crate) enum NotifyCommand {
    /// Tell everybody that this is a test, and show whether it could be told
    Test(NotifyTestArgs),
}

/// `dozo notify test`
#[derive(Args)]
pub(crate) struct NotifyTestArgs {
    /// Notifiers, as `[notify.NAME]` has them [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) notifiers: Vec<String>,
}

/// `dozo plugin`
#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// List the plugins that are there: where they come from, and whether they may run
    List,
    /// Tell what a plugin is, how it is configured, and what it needs with this configuration
    Info(PluginInfoArgs),
    /// Look at a component and let it run: put its digest into dozo.lock
    Add(PluginInfoArgs),
    /// Put the digests of all components that the configuration names into dozo.lock, as they are now
    Lock,
    /// Try a component with the conformance kit: against a real repository in a temporary directory, with a store that
    /// fails, is slow, goes away. `--config` names what to try it with: a file with the tables `config`, `grant` and
    /// `limits` of a job, and `[restore]` for a target of its own [default: an empty configuration]
    Test(PluginTestArgs),
    /// Make the crate of a new plugin, which backs something up, or tells somebody, at once
    New(PluginNewArgs),
}

/// `dozo plugin info`, `dozo plugin add`
#[derive(Args)]
pub(crate) struct PluginInfoArgs {
    /// A plugin's name, or the path (with `/`) of a component
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: String,
}

/// `dozo config`
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration: keys, types, plugins' tables, grants. Fetches no secret, asks no source
    Check,
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}
