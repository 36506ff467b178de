//! Questions in SQL, by which operators see whether what came back is what was there.

use dozo_sdk::{Error, Result};

use crate::config::Settings;
use crate::failure::Failure;
use crate::server::Server;

/// How long the server may think about an answer.
const TIMEOUT: &str = "45s";

/// Asks; the answer as `psql -At` prints it, columns apart by `|`; nothing if there is no row. Nothing is changed: the transaction may not write, and
/// one statement is all that it takes.
pub(crate) fn ask(server: &mut Server, question: &str) -> Result<String, Failure> {
    server.wire.query(&format!("BEGIN READ ONLY; SET LOCAL statement_timeout = '{TIMEOUT}'"))?;
    let answer = server.wire.statement(question);
    server.wire.query("ROLLBACK")?;
    let rows = answer?;
    let line = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|");
    Ok(rows.into_iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// A right that the role does not have.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Why a question is not answered, with the SQL that lets the role ask it.
pub(crate) fn explain(failure: Failure, settings: &Settings) -> Error {
    let (place, denied) = (&settings.place, failure.is(INSUFFICIENT_PRIVILEGE));
    let error = Error::from(failure);
    let what = error.message().split("; hint: ").next().unwrap_or_default();
    match denied {
        true => {
            let (what, grant) = (format!("asked in `{}`: {what}", place.database), grant(what, &place.role));
            Error::Denied(format!("{what}; hint: as the owner of it, in `{}`: {grant}", place.database))
        }
        false => error.context(&format!("asked in `{}`", place.database)),
    }
}

/// What is to be granted, as far as the server's words tell: where they are English, they name it.
fn grant(words: &str, role: &str) -> String {
    let role = quoted(role);
    let named = words.split_once("permission denied for ").map(|(_, rest)| rest.split(" [").next().unwrap_or(rest));
    let (kind, name) = named.and_then(|named| named.split_once(' ')).unwrap_or_default();
    match kind {
        "table" | "view" | "relation" => format!("`GRANT SELECT ON {} TO {role}`", quoted(name)),
        "schema" => format!("`GRANT USAGE ON SCHEMA {} TO {role}`", quoted(name)),
        "sequence" => format!("`GRANT SELECT ON SEQUENCE {} TO {role}`", quoted(name)),
        "function" => format!("`GRANT EXECUTE ON FUNCTION {} TO {role}`", quoted(name)),
        _ => format!("`GRANT SELECT ON … TO {role}`"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_granted_is_said() {
        for (words, grant_) in [
            (
                "the server says: permission denied for table documents [42501]",
                "`GRANT SELECT ON \"documents\" TO \"dozo\"`",
            ),
            (
                "the server says: permission denied for schema app [42501]",
                "`GRANT USAGE ON SCHEMA \"app\" TO \"dozo\"`",
            ),
            ("the server says: keine Berechtigung [42501]", "`GRANT SELECT ON … TO \"dozo\"`"),
        ] {
            assert_eq!(grant(words, "dozo"), grant_);
        }
    }
}
