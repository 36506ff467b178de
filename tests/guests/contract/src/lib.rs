//! A plugin that uses every function of the contract that this version offers, each in an act of its own, and says so
//! when one does not do what the contract promises. The tests stand in tests/it/contract.rs.

mod backup;
mod restore;
mod tell;

use std::collections::BTreeMap;

use dozo_sdk::prelude::*;

/// What to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The name of an act.
    act: String,
    /// A file in a granted directory.
    #[serde(default)]
    file: String,
    /// What must not be told.
    password: Option<Secret>,
    /// The same in other places.
    deep: Option<Deep>,
}

/// Secrets wherever a configuration can have them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Deep {
    /// By name.
    tokens: BTreeMap<String, Secret>,
    /// A user and a password.
    pair: Option<(String, Secret)>,
    /// The same as a table.
    login: Option<Login>,
    /// One of several ways.
    access: Option<Access>,
    /// One of several, told apart by a word.
    tagged: Vec<Tagged>,
}

/// A user and a password.
#[allow(dead_code, reason = "what is no secret is shown by `Debug` alone")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    /// Who.
    user: String,
    /// What must not be told.
    password: Secret,
}

/// How somebody is let in.
#[allow(dead_code, reason = "what is no secret is shown by `Debug` alone")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Access {
    /// By nothing.
    Anonymous,
    /// By a token.
    Token(Secret),
    /// By a file, whose path is no secret.
    File {
        /// Where it is.
        path: String,
    },
}

/// The same by a word.
#[allow(dead_code, reason = "what is no secret is shown by `Debug` alone")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tagged {
    /// By a password.
    Password {
        /// What must not be told.
        value: Secret,
    },
    /// By a key, whose path is no secret.
    Key {
        /// Where it is.
        value: String,
    },
}

impl Deep {
    /// Every secret, revealed.
    fn revealed(&self) -> Vec<String> {
        let tagged = self.tagged.iter().filter_map(|tagged| match tagged {
            Tagged::Password { value } => Some(value),
            Tagged::Key { .. } => None,
        });
        let access = self.access.iter().filter_map(|access| match access {
            Access::Token(token) => Some(token),
            Access::Anonymous | Access::File { .. } => None,
        });
        let all = self.tokens.values().chain(self.pair.iter().map(|(_, password)| password));
        let all = all.chain(self.login.iter().map(|login| &login.password)).chain(access).chain(tagged);
        all.map(|secret| secret.reveal().to_string()).collect()
    }
}

struct Contract;

impl Source for Contract {
    type Config = Config;
    const INFO: Info = Info { name: "contract", version: "0.1.0", summary: "uses every function of the contract" };

    async fn check(config: Config) -> Result<Vec<(String, String)>> {
        Ok(vec![("act".into(), config.act)])
    }

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        backup.identify("contract")?;
        backup::act(&config, &backup).await
    }

    async fn probe(_: Config, question: String) -> Result<String> {
        match question.as_str() {
            "who?" => Err(Error::Denied("the role may not; hint: GRANT it".into())),
            _ => Ok(format!("42 to {question}")),
        }
    }

    async fn abandoned(config: Config) -> Result<()> {
        match config.act.as_str() {
            "cannot-abandon" => Err(Error::Unavailable("the source is gone too".into())),
            _ => {
                dozo_sdk::log::warn("ABANDONED");
                Ok(())
            }
        }
    }

    /// A snapshot of the act `window` covers the times and the positions that it says, and one name.
    async fn covers(attributes: Vec<(String, String)>, at: Moment) -> Result<Option<String>> {
        let known = |name: &str| attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let (Some(from), Some(until)) = (known("from"), known("until")) else {
            return Err(Error::Unsupported("there is no window in this snapshot".into()));
        };
        let covers = match &at {
            Moment::Latest => true,
            Moment::Time(time) => (&from..=&until).contains(&time),
            Moment::Position(position) => position == "16/B374D848",
            Moment::Name(name) => name == "before the change",
        };
        Ok((!covers).then(|| format!("it recovers to {from} … {until}")))
    }

    async fn restore_to_directory(restore: Restore) -> Result<()> {
        let act = restore.options.iter().find(|(name, _)| name == "act").map_or("", |(_, act)| act.as_str());
        restore::act(act, &restore).await
    }
}

/// The contract's promise, or what was found instead.
fn promise(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Internal(format!("the contract is broken: {what}"))) }
}

/// Bytes that do not compress and do not repeat.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(length);
    bytes
}

dozo_sdk::export!(Contract);
