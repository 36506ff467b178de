//! A program's standard error: each line goes to the log as a plugin's own lines do, without secrets and counted with them;
//! the end is kept.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use crate::convert::printable;
use crate::limits::{ERROR_LINE_BYTES, Limits};
use crate::redact::Secrets;
use crate::state::{Life, Names};
use crate::stderr::Tail;

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Lines {
    pub(crate) names: Arc<Names>,
    pub(crate) life: Arc<Life>,
    pub(crate) limits: Limits,
    pub(crate) secrets: Secrets,
    /// The last lines.
    pub(crate) tail: Tail,
}

impl Lines {
    /// Reads to the end. Whatever is wrong with a line, the next is read: a program that nobody listens to would stop.
    pub(super) fn read(&self, program: &str, from: impl Read, moved: impl Fn()) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = from.by_ref().take(ERROR_LINE_BYTES as u64).read_until(b'\n', &mut line);
            moved();
            match read {
                Ok(0) => return,
                Ok(_) => self.take(program, &line),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn take(&self, program: &str, line: &[u8]) {
        // A secret is found in whole lines only, so that is what is kept too.
        let line = printable(self.secrets.redact(String::from_utf8_lossy(line).trim_end().to_string()));
        self.tail.push(line.as_bytes());
        self.tail.push(b"\n");
        if self.life.may_log(line.len(), &self.limits) {
            let (job, plugin) = (&self.names.job, &self.names.plugin);
            tracing::info!(target: "plugin", %job, %plugin, "{program}: {line}");
        }
    }
}
