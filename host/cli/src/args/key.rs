//! Arguments of `dozo key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::IdentityArgs;

/// `dozo key`
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// List the owners: who can read every backup
    Owners,
    /// Add an owner, who can then read every backup, old ones too; needs an owner key
    Add(KeyAddArgs),
    /// Remove owners: begin a new epoch for those that stay, delete their key documents; needs an owner key
    Remove(KeyRemoveArgs),
    /// Try an owner key on every epoch, and on a real pack of each
    Test(KeyTestArgs),
    /// List the hosts: who can write backups
    Hosts,
    /// Make the key file of another host; needs an owner key
    Host(KeyHostArgs),
    /// Leave word that a host is not believed any more
    HostRemove(KeyHostRemoveArgs),
    /// Begin a new epoch for the same owners; needs an owner key
    Epoch(KeyEpochArgs),
    /// Give this host's key file the newest epoch; needs an owner key
    Refresh(KeyTestArgs),
    /// Print a page for the safe: what brings data back, with dozo and without. It holds no secret
    Kit(KeyKitArgs),
}

/// `dozo key add`
#[derive(Args)]
pub(crate) struct KeyAddArgs {
    /// The new owner: age1…, age1NAME1… (a hardware key), "ssh-ed25519 …" or "ssh-rsa …"
    #[arg(value_name = "RECIPIENT", required_unless_present = "passphrase")]
    pub(crate) recipient: Option<String>,
    /// The new owner is a passphrase, under this label; it is asked for
    #[arg(long, value_name = "LABEL", conflicts_with = "recipient")]
    pub(crate) passphrase: Option<String>,
    /// Read that passphrase from a file instead (or from DOZO_NEW_PASSPHRASE)
    #[arg(long, value_name = "FILE", requires = "passphrase")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// `dozo key remove`
#[derive(Args)]
pub(crate) struct KeyRemoveArgs {
    /// Recipients, or the beginnings of their names in `dozo key owners`
    #[arg(value_name = "OWNER", required = true)]
    pub(crate) gone: Vec<String>,
    #[command(flatten)]
    pub(crate) epoch: KeyEpochArgs,
}

/// `dozo key epoch`
#[derive(Args)]
pub(crate) struct KeyEpochArgs {
    /// Say who an owner is, where no record of the repository proves it. Can be given more than once
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) owner: Vec<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// `dozo key test`, `dozo key refresh`
#[derive(Args)]
pub(crate) struct KeyTestArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// `dozo key host`
#[derive(Args)]
pub(crate) struct KeyHostArgs {
    /// The new host's name, for people
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The key file to make: take it to the new host, with mode 0600
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// `dozo key host-remove`
#[derive(Args)]
pub(crate) struct KeyHostRemoveArgs {
    /// Its name or uid
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
}

/// `dozo key kit`
#[derive(Args)]
pub(crate) struct KeyKitArgs {
    /// Write the page into a new file, and recover.sh beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
