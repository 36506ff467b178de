//! Granted programs, run by the host: `pg_dump`, `mysqldump`, a script of the operator's. They run outside the sandbox, with
//! a clean environment and what their grant lets them use of the file system; they dial for themselves.
//!
//! A program is named by its absolute path. Say in [`Source::needs`](crate::Source::needs) what you will run, with `*` for
//! what varies, so that the operator is told what to grant before anything runs.
//!
//! ```no_run
//! use dozo_sdk::prelude::*;
//! use dozo_sdk::program::Command;
//!
//! fn dump(backup: &Backup, database: &str, password: &str) -> Result<()> {
//!     let dump = Command::new("/usr/bin/pg_dump").arg("--format=custom").arg(format!("--dbname={database}"));
//!     let dump = dump.env("PGPASSWORD", password).start()?;
//!     // What it prints never enters the plugin. Its end is an error unless the program ends with exit status 0.
//!     backup.file("database.dump").copy_from(dump.output()?)?;
//!     Ok(())
//! }
//! ```
//!
//! And back:
//!
//! ```no_run
//! use dozo_sdk::prelude::*;
//! use dozo_sdk::program::Command;
//!
//! fn load(restore: &Restore, database: &str) -> Result<()> {
//!     let load = Command::new("/usr/bin/pg_restore").arg(format!("--dbname={database}")).start()?;
//!     load.input(restore.read("database.dump", 0)?)?;
//!     load.finish()
//! }
//! ```

use crate::bindings::dozo::plugin::program;
use crate::{Content, Error, Result};

/// A command line in the making.
#[derive(Clone, Debug)]
#[must_use = "it runs when it is started"]
pub struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Command {
    /// A program by its absolute path.
    pub fn new(program: impl Into<String>) -> Self {
        Command { program: program.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// One more argument, whole: no shell looks at it.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment, which has no others but `PATH` and `LANG`. The right place for a password: arguments
    /// are for everybody on the machine to see. Variables that load other code (`LD_PRELOAD`, `PYTHONPATH`) are refused.
    pub fn env(mut self, variable: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((variable.into(), value.into()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`NotGranted`](Error::NotGranted), with the line that the operator must add, if program or an argument is not.
    pub fn start(&self) -> Result<Child> {
        program::start(&self.program, &self.arguments, &self.environment).map(Child)
    }
}

/// A program that runs. It is ended, with all that it started, when this and its [`output`](Child::output) are dropped, and
/// at the latest when the plugin's function returns; which fails if nobody asked how the program ended (by its output's end,
/// by [`wait`](Child::wait) or [`finish`](Child::finish)) nor [killed](Child::kill) it.
#[derive(Debug)]
pub struct Child(program::Child);

impl Child {
    /// What it prints, to be handed on or read; once. The last read is an error unless the program ended with exit status 0.
    ///
    /// Take it before you wait for anything else: a program that nobody reads from stops. Once you begin, read to the end
    /// ([`Content::drain`] helps), or [`kill`](Child::kill) the program first: otherwise the plugin's function fails.
    pub fn output(&self) -> Result<Content> {
        self.0.output()
    }

    /// Content as its input; returns how many bytes it took. To be followed by more, or by [`close_input`](Child::close_input).
    pub fn input(&self, content: Content) -> Result<u64> {
        self.0.input(content)
    }

    /// Bytes of the plugin's own as its input.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes)
    }

    /// The end of its input.
    pub fn close_input(&self) -> Result<()> {
        self.0.close_input()
    }

    /// The end of its standard error, which is in the log too.
    pub fn errors(&self) -> String {
        self.0.errors()
    }

    /// Waits for its end. The exit status; 128 and more is the signal that ended it.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) once nothing has moved for as long as a plugin may stand still.
    pub fn wait(&self) -> Result<i32> {
        self.0.wait()
    }

    /// Closes its input, waits for its end, and takes every exit status but 0 for an error, with what it wrote to standard
    /// error. For a program whose output nobody wants: what it prints is thrown away.
    pub fn finish(self) -> Result<()> {
        self.close_input()?;
        // Without an output that was taken before, the last read tells how it ended.
        if let Ok(output) = self.output() {
            return output.drain().map(|_| ());
        }
        match self.wait()? {
            0 => Ok(()),
            status => {
                Err(Error::Unavailable(format!("the program ended with exit status {status}: {}", self.errors())))
            }
        }
    }

    /// Ends it, with all that it started.
    pub fn kill(&self) {
        self.0.kill();
    }
}
