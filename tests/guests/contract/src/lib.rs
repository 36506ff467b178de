//! A plugin that uses every function of the contract that this version offers, each in an act of its own, and says so
//! when one does not do what the contract promises. The tests stand in tests/it/contract.rs.

mod backup;
mod restore;
mod tell;

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

    async fn restore(config: Option<Config>, restore: Restore) -> Result<()> {
        restore::act(&config.map(|config| config.act).unwrap_or_default(), &restore).await
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
