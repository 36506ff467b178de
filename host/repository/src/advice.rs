//! What to type where a store is damaged. A mirror is repaired where it is, from the repository: the commands for that name it.

use crate::repository::Repository;

/// The commands for one store.
pub(crate) struct Advice {
    /// The mirror's name as a shell takes it; none where the store is the repository itself.
    mirror: Option<String>,
}

impl Repository {
    /// What to type where this is damaged.
    pub(crate) fn advice(&self) -> Advice {
        Advice { mirror: self.mirror().map(quoted) }
    }
}

impl Advice {
    /// What puts right what is damaged.
    pub(crate) fn repair(&self) -> String {
        self.command("dozo repair", "--at")
    }

    /// What finds damage.
    pub(crate) fn verify(&self) -> String {
        self.command("dozo verify", "--from")
    }

    fn command(&self, command: &str, option: &str) -> String {
        match &self.mirror {
            None => command.into(),
            Some(mirror) => format!("{command} {option} {mirror}"),
        }
    }

    /// That a repair copies something back, and from where.
    pub(crate) fn copied_back(&self) -> String {
        let repair = self.repair();
        match self.mirror {
            None => format!("`{repair}` copies it back from a mirror"),
            Some(_) => format!("`{repair}` copies it back from the repository or another mirror"),
        }
    }

    /// What to do about a pack that snapshots need.
    pub(crate) fn pack(&self) -> String {
        let back = self.copied_back();
        match self.mirror {
            None => format!("{back}; without one, the next run stores again what the source still has"),
            Some(_) => back,
        }
    }

    /// The same where no other store has it.
    pub(crate) fn pack_that_is_nowhere(&self) -> String {
        match &self.mirror {
            None => "no mirror at hand has it: the next run stores again what the source still has".into(),
            Some(mirror) => format!(
                "no other store at hand has it: `dozo run` stores again what the source still has, `dozo mirror {mirror}` brings \
                 it here"
            ),
        }
    }
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_named_as_a_shell_takes_it() {
        let at = |name: &str| Advice { mirror: Some(quoted(name)) }.repair();
        assert_eq!(at("nas"), "dozo repair --at nas");
        assert_eq!(at("the nas"), "dozo repair --at 'the nas'");
        assert_eq!(at("it's"), "dozo repair --at 'it'\\''s'");
        assert_eq!(Advice { mirror: None }.verify(), "dozo verify");
    }
}
