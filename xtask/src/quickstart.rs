//! The README's first command: everything from nothing to a verified restore, on this machine, with a real directory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{self, Profile};
use crate::compare::{self, Owners};
use crate::shell::{run, say};

/// Backs up `directory` with the freshly built program, and proves that it comes back.
pub(crate) fn quickstart(directory: &Path) -> Result<()> {
    let directory = directory.canonicalize().with_context(|| format!("find {}", directory.display()))?;
    let built = build::all(Profile::Dev)?;
    let home = build::target().join("quickstart");
    if home.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("clear {}", home.display()))?;
    }
    std::fs::create_dir_all(&home)?;
    let dozo = |arguments: &[&str]| {
        let mut command = Command::new(&built.dozo);
        command.args(arguments).current_dir(&home);
        command.env("XDG_CACHE_HOME", home.join("cache")).env("XDG_STATE_HOME", home.join("state"));
        say(format!("\n$ dozo {}", arguments.join(" ")));
        run(&mut command)
    };

    let url = format!("file://{}", home.join("repository").display());
    dozo(&["init", &url, "--single-owner"])?;
    let config = home.join("dozo.toml");
    let job = format!(
        "\n[job.quickstart]\nplugin = \"filesystem\"\nconfig = {{ paths = [{0:?}] }}\ngrant = {{ read = [{0:?}] }}\n",
        directory.display().to_string()
    );
    let text = std::fs::read_to_string(&config)? + &job;
    std::fs::write(&config, text)?;
    say(format!("\nA job was added to {}:{job}", config.display()));
    dozo(&["config", "check"])?;
    dozo(&["run"])?;
    say("\nOnce more: nothing has changed, so nothing is read.");
    dozo(&["run"])?;
    dozo(&["snapshots"])?;
    dozo(&["key", "test", "--identity", "owner.key"])?;
    dozo(&["verify", "--read-data", "--identity", "owner.key"])?;
    dozo(&["restore", "quickstart", "--to", "restored", "--identity", "owner.key"])?;

    let restored = home.join("restored").join(directory.strip_prefix("/").unwrap_or(&directory));
    say(format!("\nComparing {} with {}", restored.display(), directory.display()));
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let owners = if root { Owners::Compared } else { Owners::Ignored };
    let compared = compare::trees(&directory, &restored, owners)?;
    if !compared.differences.is_empty() {
        let shown: Vec<&str> = compared.differences.iter().take(20).map(String::as_str).collect();
        bail!("{} differences:\n{}", compared.differences.len(), shown.join("\n"));
    }
    say(format!(
        "equal: {} entries, {} bytes; kinds, modes, {owned}times, targets and contents are the same\n\n\
         What to try next, in {home}:\n  \
         {dozo} ls quickstart -l\n  \
         {dozo} cat quickstart PATH --identity owner.key\n  \
         {dozo} plugin info filesystem\n  \
         edit dozo.toml, and see what `{dozo} config check` says\n\
         To start over: cargo xtask quickstart [DIRECTORY]",
        compared.entries,
        compared.bytes,
        owned = if root { "owners, " } else { "" },
        home = home.display(),
        dozo = built.dozo.display(),
    ));
    Ok(())
}
