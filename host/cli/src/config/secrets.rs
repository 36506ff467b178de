//! Secrets in a job's table: `{ env = "NAME" }`, `{ file = "PATH" }`, `{ command = ["PROGRAM", …] }`, wherever the
//! plugin's schema says that a value is secret (`writeOnly`). One that is written out is refused.

use std::path::Path;

use serde_json::{Map, Value};

use super::secret_command::{self, TELLING};

/// Longest secret; a private key fits.
const SECRET_BYTES_MAX: usize = 64 << 10;

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
    let mut walk = Walk { root: schema, directory, secrecy, keys: Vec::new(), found: Vec::new() };
    walk.value(config, schema)?;
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Value,
    directory: &'a Path,
    secrecy: Secrecy,
    keys: Vec<String>,
    found: Vec<String>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, value: &mut Value, schema: &'a Value) -> Result<(), SecretFault> {
        let schema = self.follow(schema);
        if is_secret(self.root, schema) {
            return self.secret(value);
        }
        match value {
            Value::Object(table) => {
                if let Some(reference) = as_reference(table) {
                    return Err(self.fault(
                        format!("`{reference}` refers to a secret, but this value is none"),
                        "write the value itself",
                    ));
                }
                for (key, value) in table {
                    self.keys.push(key.clone());
                    if let Some(schema) = schema.get("properties").and_then(|p| p.get(key)) {
                        self.value(value, schema)?;
                    }
                    self.keys.pop();
                }
                Ok(())
            }
            Value::Array(items) => {
                for (number, item) in items.iter_mut().enumerate() {
                    self.keys.push(number.to_string());
                    if let Some(schema) = schema.get("items") {
                        self.value(item, schema)?;
                    }
                    self.keys.pop();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn secret(&mut self, value: &mut Value) -> Result<(), SecretFault> {
        let hint = "`{ env = \"NAME\" }`, `{ file = \"PATH\" }` or `{ command = [\"PROGRAM\", \"ARGUMENT\"] }`";
        let Value::Object(table) = value else {
            return Err(self.fault("a secret is written out in the configuration".into(), hint));
        };
        let Some(reference) = as_reference(table) else {
            return Err(self.fault("this is no reference to a secret".into(), hint));
        };
        let secret = match self.secrecy {
            Secrecy::Pretend => "pretended".to_string(),
            Secrecy::Fetch => self.fetch(reference, &table[reference])?,
        };
        self.found.push(secret.clone());
        *value = Value::String(secret);
        Ok(())
    }

    fn fetch(&self, reference: &str, from: &Value) -> Result<String, SecretFault> {
        let secret = match (reference, from) {
            ("env", Value::String(name)) => {
                std::env::var(name).map_err(|_| self.fault(format!("the environment variable {name} is not set"), ""))
            }
            ("file", Value::String(path)) => std::fs::read_to_string(self.directory.join(path))
                .map_err(|e| self.fault(format!("read the secret from {path}: {e}"), "")),
            ("command", Value::Array(words)) => self.run(words),
            _ => Err(self.fault(format!("`{reference}` has a value of the wrong type"), "")),
        }?;
        // Files and programs end their output with a newline that nobody means.
        let secret = secret.trim_end_matches(['\n', '\r']).to_string();
        match secret.len() {
            0 => Err(self.fault("the secret is empty".into(), "")),
            n if n > SECRET_BYTES_MAX => Err(self.fault(format!("the secret has {n} bytes"), "")),
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

    /// A schema behind a `$ref` into the same document.
    fn follow(&self, schema: &'a Value) -> &'a Value {
        follow(self.root, schema)
    }

    fn fault(&self, message: String, hint: &str) -> SecretFault {
        SecretFault { keys: self.keys.clone(), message, hint: hint.into() }
    }
}

fn follow<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..16 {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// A value is secret if its schema is, or one of the alternatives that its schema gives.
fn is_secret(root: &Value, schema: &Value) -> bool {
    if schema.get("writeOnly") == Some(&Value::Bool(true)) {
        return true;
    }
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    alternatives.is_some_and(|list| list.iter().any(|s| follow(root, s).get("writeOnly") == Some(&Value::Bool(true))))
}

/// `env`, `file` or `command` if that is all that the table has.
fn as_reference(table: &Map<String, Value>) -> Option<&'static str> {
    let known = ["env", "file", "command"];
    known.into_iter().find(|key| table.len() == 1 && table.contains_key(*key))
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
            "token": {"command": ["printf", "t0ken"]},
        });
        let (config, mut found) = run(config).ok().unwrap();
        assert_eq!(
            config,
            json!({"url": "x", "password": "from-file", "token": "t0ken", "nested": {"key": "from-command"}})
        );
        found.sort();
        assert_eq!(found, ["from-command", "from-file", "t0ken"]);
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
        ] {
            let fault = run(config.clone()).err().unwrap_or_else(|| panic!("{config} passed"));
            assert_eq!(fault.keys.join("."), keys, "{config}");
            assert!(!fault.message.contains("hunter2"));
        }
    }
}
