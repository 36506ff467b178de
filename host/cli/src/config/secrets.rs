//! Secrets in a job's table: `{ env = "NAME" }`, `{ file = "PATH" }`, `{ command = ["PROGRAM", …] }`, wherever the
//! plugin's schema says that a value is secret (`writeOnly`). One that is written out is refused, and never shown.

use std::path::Path;

use dozo_plugin::schema::{Place, as_reference};
use serde_json::Value;

use super::secret_command::{self, TELLING};
use super::secret_file::read_secret;

/// Longest secret; a private key fits.
pub(super) const SECRET_BYTES_MAX: usize = 64 << 10;

/// Whether secrets are fetched, or only their places checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Fetched.
    Fetch,
    /// Replaced by a word, so that the rest can be checked where the secrets are not at hand.
    Pretend,
}

/// What is wrong with a secret, and where in the table.
pub(crate) struct SecretFault {
    pub(crate) keys: Vec<String>,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Replaces references to secrets by the secrets; returns them, so that they can be kept out of messages.
pub(crate) fn resolve(
    config: &mut Value,
    schema: &Value,
    directory: &Path,
    secrecy: Secrecy,
) -> Result<Vec<String>, SecretFault> {
    let mut walk = Walk { directory, secrecy, keys: Vec::new(), found: Vec::new() };
    walk.value(config, &Place::root(schema))?;
    Ok(walk.found)
}

/// Where values are written out that may have been meant as secrets, by their keys: they are not shown, whatever is wrong.
pub(crate) fn written_out(config: &Value, schema: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    look(config, Some(&Place::root(schema).with_all()), &mut Vec::new(), &mut found);
    found
}

/// Without a place, everything is taken for a secret.
fn look(value: &Value, place: Option<&Place<'_>>, keys: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let is_reference = value.as_object().is_some_and(|table| as_reference(table).is_some());
    let is_secret = place.is_none_or(|place| !is_reference && place.is_written_out(value));
    let mut below = |key: String, value: &Value, below: Option<Place<'_>>| {
        if is_secret || below.is_some() {
            keys.push(key);
            look(value, below.as_ref().filter(|_| !is_secret), keys, found);
            keys.pop();
        }
    };
    match value {
        Value::Object(table) => {
            table
                .iter()
                .for_each(|(key, inner)| below(key.clone(), inner, place.and_then(|place| place.key(value, key))));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(number, inner)| {
            below(number.to_string(), inner, place.and_then(|place| place.item(value, number)));
        }),
        _ if is_secret => found.push(keys.clone()),
        _ => {}
    }
}

struct Walk<'a> {
    directory: &'a Path,
    secrecy: Secrecy,
    keys: Vec<String>,
    found: Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value, place: &Place<'_>) -> Result<(), SecretFault> {
        let reference = value.as_object().and_then(as_reference);
        if place.is_secret(value) {
            if let Some(reference) = reference {
                return self.secret(reference, value);
            }
            if place.is_written_out(value) {
                return Err(self.written_out(value));
            }
        }
        let shape = value.clone();
        match value {
            Value::Object(table) => {
                if let Some(reference) = reference.filter(|key| place.key(&shape, key).is_none()) {
                    let why = format!("`{reference}` refers to a secret, but this value is none");
                    return Err(self.fault(why, "write the value itself"));
                }
                for (key, value) in table {
                    if let Some(place) = place.key(&shape, key) {
                        self.below(key.clone(), value, &place)?;
                    }
                }
            }
            Value::Array(items) => {
                for (number, value) in items.iter_mut().enumerate() {
                    if let Some(place) = place.item(&shape, number) {
                        self.below(number.to_string(), value, &place)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn below(&mut self, key: String, value: &mut Value, place: &Place<'_>) -> Result<(), SecretFault> {
        self.keys.push(key);
        self.value(value, place)?;
        self.keys.pop();
        Ok(())
    }

    fn secret(&mut self, reference: &str, value: &mut Value) -> Result<(), SecretFault> {
        let secret = match self.secrecy {
            Secrecy::Pretend => "pretended".to_string(),
            Secrecy::Fetch => self.fetch(reference, &value[reference])?,
        };
        self.found.push(secret.clone());
        *value = Value::String(secret);
        Ok(())
    }

    fn written_out(&self, value: &Value) -> SecretFault {
        let hint = "`{ env = \"NAME\" }`, `{ file = \"PATH\" }` or `{ command = [\"PROGRAM\", \"ARGUMENT\"] }`";
        match value {
            Value::Object(_) => self.fault("this is no reference to a secret".into(), hint),
            _ => self.fault("a secret is written out in the configuration".into(), hint),
        }
    }

    fn fetch(&self, reference: &str, from: &Value) -> Result<String, SecretFault> {
        let secret = match (reference, from) {
            ("env", Value::String(name)) => {
                std::env::var(name).map_err(|_| self.fault(format!("the environment variable {name} is not set"), ""))
            }
            ("file", Value::String(path)) => read_secret(&self.directory.join(path), SECRET_BYTES_MAX)
                .map_err(|wrong| self.fault(wrong.message, &wrong.hint)),
            ("command", Value::Array(words)) => self.run(words),
            _ => Err(self.fault(format!("`{reference}` has a value of the wrong type"), "")),
        }?;
        // Files and programs end their output with a newline that nobody means.
        let secret = secret.trim_end_matches(['\n', '\r']).to_string();
        match secret.len() {
            0 => Err(self.fault("the secret is empty".into(), "")),
            n if n > SECRET_BYTES_MAX => Err(self.fault("the secret has more than 64 KiB".into(), "")),
            _ => Ok(secret),
        }
    }

    fn run(&self, words: &[Value]) -> Result<String, SecretFault> {
        let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
        let Some([program, arguments @ ..]) = words.as_deref() else {
            return Err(self.fault("`command` wants a program and its arguments".into(), ""));
        };
        secret_command::told(program, arguments, SECRET_BYTES_MAX, TELLING).map_err(|message| self.fault(message, ""))
    }

    fn fault(&self, message: String, hint: &str) -> SecretFault {
        SecretFault { keys: self.keys.clone(), message, hint: hint.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "properties": {
                "url": {"type": "string"},
                "password": {"$ref": "#/$defs/Secret"},
                "token": {"anyOf": [{"$ref": "#/$defs/Secret"}, {"type": "null"}]},
                "nested": {"properties": {"key": {"writeOnly": true}}},
                "tokens": {"additionalProperties": {"$ref": "#/$defs/Secret"}},
                "pair": {"prefixItems": [{"type": "string"}, {"$ref": "#/$defs/Secret"}]},
            },
            "$defs": {"Secret": {"type": "string", "writeOnly": true}},
        })
    }

    fn run(mut config: Value) -> Result<(Value, Vec<String>), SecretFault> {
        let found = resolve(&mut config, &schema(), Path::new("/"), Secrecy::Fetch)?;
        Ok((config, found))
    }

    #[test]
    fn references_become_secrets() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\n").unwrap();
        let config = json!({
            "url": "x", "password": {"file": file.path()}, "nested": {"key": {"command": ["echo", "from-command"]}},
            "token": {"command": ["printf", "t0ken"]}, "tokens": {"a": {"command": ["printf", "map"]}},
            "pair": ["env", {"command": ["printf", "pair"]}],
        });
        let (config, mut found) = run(config).ok().unwrap();
        assert_eq!(
            config,
            json!({"url": "x", "password": "from-file", "token": "t0ken", "nested": {"key": "from-command"},
                "tokens": {"a": "map"}, "pair": ["env", "pair"]})
        );
        found.sort();
        assert_eq!(found, ["from-command", "from-file", "map", "pair", "t0ken"]);
    }

    #[test]
    fn secrets_that_are_written_out_or_missing_are_refused() {
        for (config, keys) in [
            (json!({"password": "hunter2"}), "password"),
            (json!({"password": {"env": "DOZO_TEST_SURELY_UNSET"}}), "password"),
            (json!({"password": {"file": "/nonexistent"}}), "password"),
            (json!({"password": {"command": ["false"]}}), "password"),
            (json!({"password": {"command": ["true"]}}), "password"),
            (json!({"nested": {"key": 7}}), "nested.key"),
            (json!({"url": {"env": "HOME"}}), "url"),
            (json!({"password": {"plain": "hunter2"}}), "password"),
            (json!({"tokens": {"a": "hunter2"}}), "tokens.a"),
            (json!({"pair": ["user", "hunter2"]}), "pair.1"),
        ] {
            let fault = run(config.clone()).err().unwrap_or_else(|| panic!("{config} passed"));
            assert_eq!(fault.keys.join("."), keys, "{config}");
            assert!(!fault.message.contains("hunter2"));
            if config.to_string().contains("hunter2") {
                let written: Vec<String> = written_out(&config, &schema()).iter().map(|keys| keys.join(".")).collect();
                assert!(written.len() == 1 && written[0].starts_with(keys), "{written:?} of {config}");
            }
        }
    }
}
