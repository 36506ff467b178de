//! What a plugin says of itself: the operator's only manual for its table.

use serde_json::Value;

use super::schema::{all_properties, follow, is_secret, types};
use crate::limits::SUMMARY_CHARS_MAX;
use crate::outcome::{Ended, Outcome};
use crate::trial::Trial;

/// How the names of secrets end.
const SECRET_NAMES: [&str; 8] =
    ["password", "passphrase", "secret", "token", "api_key", "private_key", "secret_key", "credentials"];

pub(crate) async fn description(trial: &Trial) -> Outcome {
    let about = trial.plugin.description();
    let summary = about.summary.trim();
    if summary.is_empty() || summary.contains('\n') || summary.chars().count() > SUMMARY_CHARS_MAX {
        let why = format!("the summary is empty, more than a line, or longer than {SUMMARY_CHARS_MAX} characters");
        return Err(Ended::failed(why, "one short sentence: what it backs up"));
    }
    let schema: Value = serde_json::from_str(&about.config_schema).unwrap_or_default();
    check_schema(&schema)?;
    for (key, property) in all_properties(&schema) {
        let described = |schema: &Value| {
            schema.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
        };
        if !described(property) && !described(follow(&schema, property)) {
            let advice = "a doc comment on the field: `dozo plugin info` shows it, and the operator has nothing else";
            return Err(Ended::failed(format!("`{key}` has no description"), advice));
        }
        let name = key.rsplit('.').next().unwrap_or(&key).to_lowercase();
        let secret = SECRET_NAMES.iter().any(|ending| name.ends_with(ending));
        if secret && types(&schema, property).contains(&"string") && !is_secret(&schema, property) {
            let advice = "the type `Secret` of the SDK, or `writeOnly` in the schema: it is then given by reference, and \
                          taken out of all that the plugin says";
            return Err(Ended::failed(format!("`{key}` looks like a secret and is not marked as one"), advice));
        }
    }
    Ok(Vec::new())
}

/// It must be a schema, and one of a table.
fn check_schema(schema: &Value) -> Outcome<()> {
    let advice = "JSON Schema 2020-12 of an object: `{\"type\": \"object\", \"properties\": {…}, \"additionalProperties\": false}`";
    if let Err(error) = jsonschema::validator_for(schema) {
        return Err(Ended::failed(format!("the schema of its configuration is no JSON Schema: {error}"), advice));
    }
    if types(schema, schema) != ["object"] {
        return Err(Ended::failed("the schema of its configuration is not that of a table", advice));
    }
    Ok(())
}
