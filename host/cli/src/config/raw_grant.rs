//! A plugin's grants and limits as they are written. Knows what may stand there, not what it means.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// What a plugin may reach.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantTable {
    /// Directories that it may list and read, absolute.
    #[serde(default)]
    pub(crate) read: Vec<PathBuf>,
    /// Where it may connect to: `"HOST:PORT"`, `"*.SUFFIX:PORT"`, `"ADDRESS:PORT"`, `"CIDR:PORT"` (`*` for any port) or
    /// `"unix:///PATH"`. A private address that a name leads to must be written out beside the name.
    #[serde(default)]
    pub(crate) network: Vec<OrText<NetworkTable>>,
    /// Command lines that it may have run: an absolute path, then arguments as a shell reads them; `*` in an argument is any
    /// text, `**` at the end any more arguments. A program dials for itself: `network` does not bound it.
    #[serde(default)]
    pub(crate) programs: Vec<OrText<ProgramTable>>,
}

/// A target, and how TLS is spoken there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkTable {
    /// The target.
    pub(crate) to: String,
    /// File of the certificates (PEM) that may sign the server's. Default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// File of this host's certificate (PEM), where the server wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// File of the private key (PEM) that belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_key: Option<PathBuf>,
    /// Whether it is reached through the proxy that the environment names (`HTTPS_PROXY`, else `ALL_PROXY`), unless that names
    /// none, or `NO_PROXY` has the target. Where its name leads is then the proxy's to say. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) proxy: bool,
}

/// A command line, and what of the file system the program may use.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramTable {
    /// The command line.
    pub(crate) run: String,
    /// Files and directories that it may read beside the system's own, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) read: Vec<PathBuf>,
    /// Files and directories that it may write, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) write: Vec<PathBuf>,
}

/// What a plugin may use.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsTable {
    /// Memory, such as `"256MiB"` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) memory: Option<bytesize::ByteSize>,
    /// How long a run or a restore may take, such as `"12h"`. Default: 7 days.
    #[schemars(with = "Option<String>")]
    pub(crate) wall: Option<jiff::SignedDuration>,
    /// How long it may go without asking anything of the host, such as `"5m"` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) stall: Option<jiff::SignedDuration>,
    /// Files, contents, connections and the like that it may hold at once. Default: 100,000.
    #[schemars(range(min = 1))]
    pub(crate) handles: Option<usize>,
    /// How often it may ask something of the host in one call. Default: 1,000,000,000.
    #[schemars(range(min = 1))]
    pub(crate) host_calls: Option<u64>,
    /// Lines that it may log; what comes after them is counted and not shown. Default: 10,000.
    pub(crate) log_lines: Option<u64>,
    /// Bytes that one answer over HTTP may have, such as `"10GiB"`. Default: as many as come.
    #[schemars(with = "Option<String>")]
    pub(crate) response_bytes: Option<bytesize::ByteSize>,
}

/// A table that is written as one string where there is nothing more to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrText<T>(pub(crate) T);

/// What the string means, and what to call it where something else stands.
pub(crate) trait FromText {
    /// What is expected, for messages.
    const EXPECTED: &'static str;
    fn from_text(text: String) -> Self;
}

impl FromText for NetworkTable {
    const EXPECTED: &'static str = "a target such as \"db.internal:5432\", or a table with `to`";

    fn from_text(to: String) -> Self {
        NetworkTable { to, ..NetworkTable::default() }
    }
}

impl FromText for ProgramTable {
    const EXPECTED: &'static str = "a command line such as \"/usr/bin/pg_dump *\", or a table with `run`";

    fn from_text(run: String) -> Self {
        ProgramTable { run, ..ProgramTable::default() }
    }
}

impl<T: Serialize> OrText<T> {
    /// As it stands in a configuration: the string alone, if that says all.
    pub(crate) fn to_toml(&self) -> toml::Value {
        match toml::Value::try_from(&self.0) {
            Ok(toml::Value::Table(table)) if table.len() == 1 => table.into_iter().next().map(|(_, text)| text),
            other => other.ok(),
        }
        // Strings and lists of paths that came out of a TOML file go back into one.
        .unwrap_or_else(|| toml::Value::String(String::new()))
    }
}

impl<'de, T: Deserialize<'de> + FromText> Deserialize<'de> for OrText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either(PhantomData)).map(OrText)
    }
}

/// Reads either form. Unlike an untagged enum it says what is wrong inside the table.
struct Either<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + FromText> Visitor<'de> for Either<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(text.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<T: JsonSchema> JsonSchema for OrText<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}OrText", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let table = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}
