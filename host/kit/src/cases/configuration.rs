//! Wrong configurations. The host holds a table against the schema and then asks `requires` and `check`; one of the three must
//! refuse what is wrong, as invalid.

use dozo_job::{Error, Kind};
use dozo_plugin::died;
use serde_json::{Map, Value, json};

use super::schema::{properties, required, types, with, without};
use crate::outcome::{Ended, Outcome, told};
use crate::trial::{TRAP, Trial};

/// A configuration that is not as it should be.
struct Wrong {
    /// What is wrong with it.
    what: String,
    config: String,
    /// What the author should do if it is taken.
    advice: Option<&'static str>,
}

pub(crate) async fn configuration(trial: &Trial) -> Outcome {
    let schema: Value = serde_json::from_str(&trial.plugin.description().config_schema).unwrap_or_default();
    let Ok(Value::Object(table)) = serde_json::from_str(&trial.config.config) else {
        return Err(Ended::skipped("its configuration is not a table"));
    };
    let validator = jsonschema::validator_for(&schema).map_err(|e| {
        Ended::failed(format!("the schema of its configuration is no JSON Schema: {e}"), "see `description`")
    })?;
    let mut notes = Vec::new();
    for wrong in mistakes(&table, &schema) {
        let parsed = serde_json::from_str::<Value>(&wrong.config);
        let refused = !parsed.is_ok_and(|config| validator.is_valid(&config));
        match (ask(trial, &wrong.config).await, wrong.advice) {
            (Some(error), _) if died(&error.to_string()) => {
                return Err(Ended::failed(format!("with {} it died: {}", wrong.what, error.chain()), TRAP));
            }
            // Whether a secret is right only the source knows, and says so in its own way.
            (Some(error), _) if !refused && !matches!(error.kind(), Kind::Invalid | Kind::Denied) => {
                let advice = "what the operator can mend in the configuration is `Error::Invalid`";
                return Err(Ended::failed(format!("with {} it says: {}", wrong.what, told(&error)), advice));
            }
            (None, Some(advice)) if !refused => {
                return Err(Ended::failed(format!("it takes {}", wrong.what), advice));
            }
            (None, None) if !refused => notes.push(format!("it takes {}", wrong.what)),
            _ => {}
        }
    }
    Ok(notes)
}

/// What the plugin itself says against a configuration.
async fn ask(trial: &Trial, config: &str) -> Option<Error> {
    if let Err(error) = trial.plugin.needs(config, trial.config.secrets.clone()).await {
        return Some(error);
    }
    trial.check(config).await.err()
}

fn mistakes(table: &Map<String, Value>, schema: &Value) -> Vec<Wrong> {
    let mut found = vec![Wrong {
        what: "a configuration that is no JSON".into(),
        config: "{".into(),
        advice: Some("read the configuration before anything else"),
    }];
    let mut add = |what: String, config: Value, advice| found.push(Wrong { what, config: config.to_string(), advice });
    add(
        "a key that it does not know".into(),
        with(table, "dozo-kit-unknown", json!(true)),
        Some(
            "`#[serde(deny_unknown_fields)]`, or `\"additionalProperties\": false`: a mistyped key must not go unnoticed",
        ),
    );
    let required = required(schema);
    for key in &required {
        let advice = "a key that is required must be refused where it is missing";
        add(format!("a configuration without `{key}`"), without(table, key), Some(advice));
    }
    for (key, property) in properties(schema) {
        let types = types(schema, property);
        // A type that it does not have: an object is the rarest.
        let wrong = if types.contains(&"object") { json!(7) } else { json!({ "dozo-kit": true }) };
        if !types.is_empty() {
            let advice = "a value of the wrong type must be refused";
            add(format!("`{key}` of the wrong type"), with(table, key, wrong), Some(advice));
        }
        // Whether empty means something is for the plugin to say; it must not trap over it.
        let empty = [("string", json!("")), ("array", json!([])), ("object", json!({}))];
        for (_, value) in empty.into_iter().filter(|(name, _)| types.contains(name) && required.contains(&key.as_str()))
        {
            add(format!("an empty `{key}`"), with(table, key, value), None);
        }
    }
    found
}
