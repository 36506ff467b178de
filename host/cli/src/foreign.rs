//! Words of other backup tools: who types one is told what it is called here. They are no aliases, or there would be two names
//! for everything.

use clap::error::{ContextKind, ContextValue};

/// Commands of others, and what does that here.
const COMMANDS: [(&str, &str); 22] = [
    ("backup", "`dozo run` runs the jobs of the configuration"),
    ("create", "`dozo run` makes a snapshot; `dozo init` makes a repository"),
    ("forget", "`dozo prune` deletes what no rule of retention keeps; `retention` in the configuration has the rules"),
    ("expire", "`dozo prune` deletes what no rule of retention keeps; `retention` in the configuration has the rules"),
    ("delete", "`dozo prune` deletes what no rule of retention keeps; `retention` in the configuration has the rules"),
    ("list", "`dozo snapshots` lists the snapshots, `dozo ls SNAPSHOT` what is in one"),
    ("info", "`dozo snapshots` lists the snapshots, `dozo status` says how jobs stand"),
    ("dump", "`dozo cat SNAPSHOT PATH` writes one file to standard output"),
    ("extract", "`dozo restore SNAPSHOT --to DIR` restores"),
    ("copy", "`dozo mirror` fills the other stores of the repository"),
    ("stats", "`dozo status` says what there is and how much room it takes"),
    ("unlock", "nothing stays locked: what a killed command held is passed over, at another host after a while"),
    ("mount", "`dozo ls SNAPSHOT` lists what is in a snapshot, `dozo cat SNAPSHOT PATH` writes one file"),
    ("find", "`dozo ls SNAPSHOT -r 'PATTERN'` lists what has a name, with patterns as in `exclude`"),
    ("diff", "`dozo ls SNAPSHOT -r` lists a snapshot; no command compares two"),
    ("schedule", "dozo has no scheduler of its own yet: a crontab or a systemd timer runs `dozo run`"),
    ("rm", "`dozo prune` deletes what no rule of retention keeps; `retention` in the configuration has the rules"),
    ("cleanup", "`dozo prune` deletes what no rule of retention keeps; `retention` in the configuration has the rules"),
    ("tag", "`dozo run` with `--tag WORD` gives a snapshot a word, `dozo hold SNAPSHOT` keeps one that is there"),
    ("history", "`dozo snapshots` lists the snapshots, `dozo status` says what became of the last runs"),
    ("version", "`--version` says which this is"),
    ("test", "`dozo verify` tries what is stored, `dozo key test` an owner's key, `dozo check` what a run would find"),
];
/// The same of `dozo key`.
const KEY_COMMANDS: [(&str, &str); 3] = [
    ("list", "`dozo key owners` lists who can read, `dozo key hosts` who can write"),
    ("rotate", "`dozo key epoch` begins with new keys, `dozo key add` and `dozo key remove` change owners"),
    ("passwd", "`dozo key add` adds an owner, `dozo key remove` takes the old one away"),
];
/// Arguments of others.
const ARGUMENTS: [(&str, &str); 12] = [
    ("--target", "`--to DIR` says where a restore goes"),
    ("--dry-run", "a plan alone is what a command that deletes shows without `--yes`"),
    ("--include", "paths and patterns stand behind the snapshot: `dozo restore SNAPSHOT '*.pdf' --to DIR`"),
    ("--job", "jobs are named without an option: `dozo run JOB`"),
    ("--repair", "`dozo repair` mends what `dozo verify` found"),
    ("--exclude", "what a job leaves out stands in its table: `config = { exclude = [\"*.tmp\"] }`"),
    ("--host", "`HOST/JOB` names another host's job: `dozo ls HOST/JOB`"),
    ("--all", "without names, every job is meant"),
    ("--repo", "`--config FILE` names a configuration, and its `[repository]` the repository"),
    ("--password-file", "`--identity FILE` names an owner's key, `--passphrase-file FILE` holds a passphrase"),
    ("--keep-daily", "rules stand in the configuration: `retention = { daily = 7 }`"),
    ("--keep-last", "rules stand in the configuration: `retention = { last = 7 }`"),
];

/// Prints a mistake in the command line, with what was meant if that is another tool's word; or help, where that was asked for.
pub(crate) fn show(error: &mut clap::Error) -> std::io::Result<()> {
    let hint = hint(error, &std::env::args().collect::<Vec<_>>());
    if hint.is_some() {
        // A word that looks alike is something else.
        for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::Suggested] {
            error.remove(kind);
        }
    }
    let printed = error.print();
    if let Some(hint) = hint {
        crate::ui::note(format!("hint: {hint}"));
    }
    printed
}

fn hint(error: &clap::Error, typed: &[String]) -> Option<&'static str> {
    let said = |kind| match error.get(kind)? {
        ContextValue::String(word) => Some(word.clone()),
        _ => None,
    };
    let find = |list: &[(&str, &'static str)], word: &str| {
        list.iter().find(|(known, _)| *known == word).map(|(_, hint)| *hint)
    };
    if let Some(word) = said(ContextKind::InvalidSubcommand) {
        let is_key = typed.iter().any(|argument| argument == "key");
        return find(if is_key { &KEY_COMMANDS } else { &COMMANDS }, &word);
    }
    let argument = said(ContextKind::InvalidArg)?;
    let argument = argument.split(['=', ' ']).next()?;
    // A run has no plan: what was meant to be harmless would back up without the option.
    if argument == "--dry-run" && typed.iter().any(|word| word == "run") {
        return Some("`dozo check` tries what a run needs, and stores nothing");
    }
    find(&ARGUMENTS, argument)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn hint_of(line: &str) -> Option<&'static str> {
        let typed: Vec<String> = line.split(' ').map(str::to_string).collect();
        let error = Cli::try_parse_from(&typed).err().unwrap_or_else(|| panic!("`{line}` is understood"));
        hint(&error, &typed)
    }

    #[test]
    fn other_tools_words_are_known() {
        for (line, word) in [
            ("dozo backup", "dozo run"),
            ("dozo forget --keep-daily 7", "dozo prune"),
            ("dozo restore files --target /tmp/x", "--to"),
            ("dozo restore files --target=/tmp/x", "--to"),
            ("dozo prune --dry-run", "--yes"),
            ("dozo key list", "dozo key owners"),
            ("dozo run --all", "every job"),
            ("dozo run --dry-run", "dozo check"),
            ("dozo run --job files", "dozo run JOB"),
            ("dozo restore files --include x", "behind the snapshot"),
            ("dozo verify --repair", "dozo repair"),
            ("dozo key rotate", "dozo key epoch"),
            ("dozo find x", "dozo ls"),
            ("dozo test", "dozo verify"),
        ] {
            assert!(hint_of(line).is_some_and(|hint| hint.contains(word)), "{line}: {:?}", hint_of(line));
        }
        assert_eq!(hint_of("dozo frobnicate"), None);
        assert_eq!(hint_of("dozo run --frobnicate"), None);
    }

    /// What is a hint's name must be one that the program has.
    #[test]
    fn hints_lead_to_commands_that_there_are() {
        for (word, hint) in COMMANDS.iter().chain(&KEY_COMMANDS).chain(&ARGUMENTS) {
            for named in hint.split('`').skip(1).step_by(2).filter(|named| named.starts_with("dozo ")) {
                let words: Vec<&str> = named
                    .split(' ')
                    .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
                    .collect();
                let typed = words.iter().copied().chain(["--help"]);
                let error = Cli::try_parse_from(typed).err().unwrap();
                assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{word}: {named}");
            }
        }
    }
}
