//! Secrets in a configuration.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A password, a token, a private key. The operator gives it by reference (`{ env = "NAME" }`, `{ file = "PATH" }`,
/// `{ command = […] }`), the host puts the value in its place and takes it out of all that the plugin says. It cannot be
/// printed by mistake: it has no `Display`, no `Serialize`, and its `Debug` is `…`.
///
/// ```
/// # use dozo_sdk::Secret;
/// #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
/// struct Config {
///     /// The user's password.
///     password: Secret,
/// }
///
/// let config: Config = serde_json::from_str(r#"{"password": "hunter2"}"#).unwrap();
/// assert_eq!(format!("{config:?}"), "Config { password: … }");
/// assert_eq!(config.password.reveal(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// A string that is only written (`writeOnly`): by that the host knows it.
impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }

    /// In its place rather than by reference: the description of the field stands beside it.
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Config {
        /// Needed.
        password: Secret,
        /// Not needed.
        token: Option<Secret>,
    }

    #[test]
    fn its_schema_is_that_of_a_secret() {
        let schema = schemars::schema_for!(Config).to_value();
        for key in ["password", "token"] {
            let property = &schema["properties"][key];
            assert_eq!(property["writeOnly"], true, "{property}");
            assert!(property["description"].is_string(), "{property}");
        }
    }
}
