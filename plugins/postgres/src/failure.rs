//! What went wrong at the server, by what the operator can do about it.

use dozo_sdk::{Error, Result};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

/// Why something at the server failed: it said so, or it could not be asked.
#[derive(Debug)]
pub(crate) enum Failure {
    Server(ServerError),
    /// The server's WAL does not follow on what was backed up, and why.
    Gap(String),
    Other(Error),
}

/// An error as the server tells it. Its words may be in any language; the code is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerError {
    /// SQLSTATE: PostgreSQL, appendix A.
    pub(crate) code: String,
    severity: String,
    pub(crate) message: String,
    detail: Option<String>,
    /// The function of the server that says it: unlike its words, the same in every language.
    pub(crate) routine: String,
}

/// A file is not there: of WAL, one that the server has recycled.
const UNDEFINED_FILE: &str = "58P01";
/// A page is damaged.
pub(crate) const DATA_CORRUPTED: &str = "XX001";
/// Something is not in the state that was needed.
pub(crate) const NOT_IN_PREREQUISITE_STATE: &str = "55000";

/// Functions of the server that open the files of a base backup: one that they may not open is nothing that the role lacks.
const OPENS_FILES: [&str; 4] = ["sendFile", "sendDir", "ReadDirExtended", "AllocateDir"];
const MEND_A_FILE: &str = "on the server's machine, give that file or directory to the user whom the server runs as, or move it out \
                           of the data directory if it is none of PostgreSQL's; then `dozo run --full`";

/// What to do where the server lets nobody in.
const HBA: &str = "the first line of pg_hba.conf that fits decides: `hostssl` lines are for TLS alone (`?sslmode=verify-full`), base \
                   backups and WAL need a line with `replication` as its database and probes one with the database of `url`, \
                   `peer` lets in only the system user of the same name; and the role must be there and have LOGIN";

impl ServerError {
    pub(crate) fn new(mut fields: ErrorFields<'_>) -> Result<Self> {
        let mut error = ServerError::default();
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => error.code = value,
                b'V' => error.severity = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'R' => error.routine = value,
                _ => {}
            }
        }
        Ok(error)
    }

    /// Whether it is a warning; servers before 9.6 are not spoken to, so this is not translated.
    pub(crate) fn is_warning(&self) -> bool {
        self.severity == "WARNING"
    }

    fn words(&self) -> String {
        let detail = self.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("the server says: {}{detail} [{}]", self.message, self.code)
    }
}

impl Failure {
    /// Whether the server said this.
    pub(crate) fn is(&self, code: &str) -> bool {
        matches!(self, Failure::Server(error) if error.code == code)
    }

    /// The same of a walsender that was asked for WAL: that it does not have it any more is a gap.
    pub(crate) fn of_wal(self) -> Self {
        if self.is(UNDEFINED_FILE) {
            return Failure::Gap("the server has recycled WAL that was not backed up".into());
        }
        self
    }

    /// Whether the server says nothing more after it.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Failure::Server(error) if matches!(error.severity.as_str(), "FATAL" | "PANIC"))
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Failure::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Other(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Other(error.into())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        let error = match failure {
            Failure::Other(error) => return error,
            Failure::Gap(why) => return Error::Invalid(why),
            Failure::Server(error) => error,
        };
        let words = error.words();
        let code = error.code.as_str();
        let hinted = |hint: &str| format!("{words}; hint: {hint}");
        match code {
            "28P01" => Error::Denied(hinted(
                "the password is wrong, or has expired (`ALTER ROLE … VALID UNTIL 'infinity'`), or the role is not there",
            )),
            "28000" => Error::Denied(hinted(HBA)),
            "42501" if OPENS_FILES.contains(&error.routine.as_str()) => Error::Denied(hinted(MEND_A_FILE)),
            "42501" => Error::Denied(hinted("`dozo check` tells what the role lacks, with the SQL that gives it")),
            "53300" => {
                Error::Unavailable(hinted("`dozo check` tells what the server lacks, with the SQL that mends it"))
            }
            "3D000" => Error::Invalid(hinted("write the name of a database that is there behind the `/` of `url`")),
            DATA_CORRUPTED => Error::Corrupt(words),
            "53400" | NOT_IN_PREREQUISITE_STATE | "22023" | "42704" => Error::Invalid(words),
            "0A000" => Error::Unsupported(words),
            _ if code.starts_with("28") => Error::Denied(words),
            _ if code.starts_with("42") => Error::Invalid(words),
            // Shutting down, starting up, out of connections or of disk: later it may work.
            _ => Error::Unavailable(words),
        }
    }
}
