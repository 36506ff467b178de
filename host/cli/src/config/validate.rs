//! A job's or a notifier's table against the schema that its plugin publishes.

use std::path::Path;

use dozo_plugin::Secrets;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::place::did_you_mean;
use super::secrets::{self, Secrecy};
use super::{ConfigError, Loaded, PluginTable};

/// A configuration as the plugin gets it.
pub(crate) struct ResolvedConfig {
    /// JSON, secrets in place.
    pub(crate) json: String,
    /// What must not be told.
    pub(crate) secrets: Secrets,
}

impl Loaded {
    /// Checks a plugin's table against its schema and puts its secrets in place.
    pub(crate) fn resolve(
        &self,
        table: PluginTable<'_>,
        schema: &str,
        secrecy: Secrecy,
    ) -> Result<ResolvedConfig, ConfigError> {
        let at = |keys: &[String]| -> Vec<String> {
            table.keys.iter().copied().chain(["config"]).map(str::to_string).chain(keys.iter().cloned()).collect()
        };
        let plain = |keys: &[String], message: String| self.fault_hiding(&at(keys), message, &[]);
        let schema: Value = serde_json::from_str(schema)
            .map_err(|e| plain(&[], format!("the schema of its plugin is not JSON: {e}")))?;
        let mut config = serde_json::to_value(table.config)
            .map_err(|e| plain(&[], format!("this table cannot be handed to the plugin: {e}")))?;
        // Whatever is wrong: a secret that is written out is not shown with it.
        let hidden = secrets::written_out(&config, &schema);
        let hidden: Vec<Vec<String>> = hidden.iter().map(|keys| at(keys)).collect();
        let fault = |keys: &[String], message: String| self.fault_hiding(&at(keys), message, &hidden);
        let directory = self.file.parent().unwrap_or(Path::new(""));
        let found = secrets::resolve(&mut config, &schema, directory, secrecy)
            .map_err(|wrong| fault(&wrong.keys, wrong.message).hinted(wrong.hint))?;
        let secrets = Secrets::new(found);
        let validator = jsonschema::validator_for(&schema)
            .map_err(|e| fault(&[], format!("the schema of its plugin is not a JSON Schema: {e}")))?;
        if let Some(error) = validator.iter_errors(&config).next() {
            let mut keys: Vec<String> = error.instance_path().iter().map(|part| part.to_string()).collect();
            // A secret that is in its place is part of what is not as it should be.
            let shows =
                secrets.redact(error.instance().to_string()) == error.instance().to_string() && hidden.is_empty();
            let (message, hint) = describe(&error, &schema, &mut keys, shows);
            return Err(fault(&keys, secrets.redact(message)).hinted(hint));
        }
        Ok(ResolvedConfig { json: config.to_string(), secrets })
    }
}

/// A complaint of the schema in the operator's words; may lengthen the path of keys it is about.
fn describe(
    error: &jsonschema::ValidationError<'_>,
    schema: &Value,
    keys: &mut Vec<String>,
    shows: bool,
) -> (String, String) {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let key = unexpected.first().cloned().unwrap_or_default();
            let known = schema.get("properties").and_then(Value::as_object).filter(|_| keys.is_empty());
            let hint = known.map(|known| did_you_mean(&key, known.keys().map(String::as_str))).unwrap_or_default();
            keys.push(key.clone());
            (format!("`{key}` is not a key that the plugin knows"), hint)
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let about = schema.pointer(&format!("/properties/{key}/description")).and_then(Value::as_str);
            (format!("the plugin needs `{key}`"), about.unwrap_or_default().to_string())
        }
        _ if shows => (error.to_string(), String::new()),
        _ => (error.masked().to_string(), String::new()),
    }
}
