//! Questions in SQL, by which operators see whether what came back is what was there.

use dozo_sdk::Result;

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
