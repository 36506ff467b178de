//! A plugin whose schema marks a secret where none can be put in its place: by the pattern of a key.

use std::collections::BTreeMap;

use dozo_sdk::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

/// What nobody can configure.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Tokens by name.
    #[schemars(schema_with = "tokens")]
    tokens: BTreeMap<String, String>,
}

fn tokens(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "patternProperties": { "^token": { "type": "string", "writeOnly": true } },
    })
}

struct Misplaced;

impl Source for Misplaced {
    type Config = Config;
    const INFO: Info = Info { name: "misplaced", version: "0.1.0", summary: "has a secret in a place that is none" };

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        backup.note(&format!("{:?}", config.tokens));
        backup.file("tokens").write(b"").map(|_| ())
    }
}

dozo_sdk::export!(Misplaced);
