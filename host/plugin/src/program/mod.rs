//! Which programs a plugin may start, and how one is run: by a process of its own ([`launcher`]) that confines it and ends
//! it with all that it started.

mod child;
mod children;
mod confine;
mod executable;
mod feeding;
mod launcher;
mod lines;
mod pattern;
mod pipes;
mod running;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use dozo_job::port::ProgramNeed;
use dozo_job::{Error, Result};

use crate::limits::{ARGUMENT_BYTES, COMMAND_BYTES};
use crate::quoted::quoted;
use launcher::Launch;
use pattern::{Fit, Pattern};

#[allow(unreachable_pub, reason = "generated code re-exports this type")]
pub use child::Child;
pub(crate) use child::{give, give_content};
pub(crate) use children::{Children, EndWithCall};
pub use launcher::launched;
pub(crate) use lines::Lines;
pub(crate) use pipes::Input;

/// What a program finds in its environment beside what it is called with.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")];

/// Variables by which loaders, shells and interpreters run other code than the program's, `*` for all that begin so. A grant
/// of a program is none of what these name.
const FOREIGN_CODE: [&str; 17] = [
    "LD_*",
    "GLIBC_*",
    "GCONV_PATH",
    "PATH",
    "SHELL*",
    "IFS",
    "ENV",
    "BASH_*",
    "PERL5*",
    "PERLLIB",
    "PYTHON*",
    "RUBY*",
    "NODE_*",
    "JAVA_*",
    "JDK_*",
    "_JAVA_*",
    "LESS*",
];

/// A program that the operator wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramGrant {
    /// A command line: absolute path, then arguments, in shell quoting. In an argument `*` is any text, though at its beginning
    /// none that begins with `-`; `**` at the end is any more arguments.
    pub command: String,
    /// Files and directories that it may read, and run programs from, beside the system's own (programs, libraries, zones,
    /// resolver, certificates). Absolute.
    pub read: Vec<PathBuf>,
    /// Files and directories that it may write. Absolute.
    pub write: Vec<PathBuf>,
}

/// The programs that one plugin may start in one job. Default: none.
#[derive(Clone, Default)]
pub struct Programs {
    grants: Arc<Vec<(Pattern, ProgramGrant)>>,
    launcher: Option<Arc<Path>>,
}

impl Programs {
    /// Reads the command lines. Whether the programs are there is looked at when they are started.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid), with the command line, if one is not quoted right or a path is not absolute.
    pub fn new(grants: Vec<ProgramGrant>) -> Result<Self> {
        let read = |grant: ProgramGrant| {
            let pattern = Pattern::parse(&grant.command)?;
            if let Some(path) = grant.read.iter().chain(&grant.write).find(|path| !path.is_absolute()) {
                let (command, path) = (&grant.command, path.display());
                return Err(Error::invalid(format!("`{path}`, granted to `{command}`, is not an absolute path")));
            }
            Ok((pattern, grant))
        };
        let grants = grants.into_iter().map(read).collect::<Result<_>>()?;
        Ok(Programs { grants: Arc::new(grants), launcher: None })
    }

    /// With this process's own binary as the program that runs them, if its `main` begins with [`launched`](crate::launched).
    #[must_use]
    pub fn through_this_binary(self) -> Self {
        self.through("/proc/self/exe")
    }

    /// With the program that runs them: one whose `main` begins with [`launched`](crate::launched). Without it none is run, because
    /// a program that is started directly could be neither confined nor ended with all that it started.
    #[must_use]
    pub fn through(self, launcher: impl AsRef<Path>) -> Self {
        Programs { launcher: Some(launcher.as_ref().into()), ..self }
    }

    /// Whether a program that a plugin says it needs is granted: each of its arguments by one that is as wide, and all files
    /// that it uses.
    pub fn admits(&self, need: &ProgramNeed) -> bool {
        let Ok(command) = Pattern::parse(&need.run) else { return false };
        let fitting = || self.grants.iter().filter(|(pattern, _)| pattern.covers(&command)).map(|(_, grant)| grant);
        let is_below = |path: &String, granted: &PathBuf| Path::new(path).starts_with(granted);
        let reads = |path| fitting().any(|grant| grant.read.iter().chain(&grant.write).any(|it| is_below(path, it)));
        let writes = |path| fitting().any(|grant| grant.write.iter().any(|it| is_below(path, it)));
        fitting().next().is_some() && need.read.iter().all(reads) && need.write.iter().all(writes)
    }

    /// Looks at every granted program: whether it is there, and nobody else could have put it there.
    ///
    /// # Errors
    /// What starting it would fail with.
    pub fn check(&self) -> Result<()> {
        self.grants.iter().try_for_each(|(pattern, _)| executable::check(pattern.program()))
    }

    /// The call of the launcher that runs a program, with its input, output and errors piped.
    ///
    /// # Errors
    /// [`NotGranted`](dozo_job::Kind::NotGranted) with the line to add, and what [`executable::check`] says.
    pub(crate) fn command(
        &self,
        name: &str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Result<Command> {
        check_bounds(name, &arguments, &environment)?;
        let (read, write) = self.granted(name, &arguments)?;
        environment.iter().try_for_each(|(variable, _)| check_variable(variable))?;
        executable::check(Path::new(name))?;
        let Some(launcher) = &self.launcher else {
            return Err(Error::unsupported("this host runs no programs: it has no launcher"));
        };
        let launch =
            Launch { read, write, program: name.into(), arguments: arguments.into_iter().map(Into::into).collect() };
        let mut command = Command::new(&**launcher);
        command.args(launch.to_keeper()).env_clear().envs(ENVIRONMENT).envs(environment).current_dir("/");
        // Ctrl-C at a terminal is the host's to hear: it ends its programs.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// What a command line may read and write: grants that fit it add up.
    fn granted(&self, name: &str, arguments: &[String]) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let (mut furthest, mut files) = (None, None::<(Vec<PathBuf>, Vec<PathBuf>)>);
        for (pattern, grant) in &*self.grants {
            match pattern.fits(Path::new(name), arguments) {
                Fit::Whole => {
                    let (read, write) = files.get_or_insert_default();
                    read.extend_from_slice(&grant.read);
                    write.extend_from_slice(&grant.write);
                }
                Fit::Until(fitting) => furthest = furthest.max(Some(fitting)),
                _ => {}
            }
        }
        if let Some(files) = files {
            return Ok(files);
        }
        let what = match furthest.map(|fitting| arguments.get(fitting)) {
            None => format!("the program `{name}` is not granted"),
            Some(Some(argument)) => format!("the argument `{argument}` of `{name}` is not granted"),
            Some(None) => format!("`{name}` is granted with more arguments only"),
        };
        let words = std::iter::once(name).chain(arguments.iter().map(String::as_str));
        let line = shlex::Quoter::new().join(words).unwrap_or_else(|_| format!("{name} **"));
        // A line that says more than what was asked for is not to be copied.
        let hint = match arguments.iter().any(|argument| argument.contains('*')) {
            true => {
                "it wants a `*` as it is, which a granted line has for anything: judge yourself what to allow".into()
            }
            false => format!("grant = {{ programs = [{}] }}", quoted(&line)),
        };
        Err(Error::not_granted(what).hinted(hint))
    }
}

/// What no command line can have, or none needs.
fn check_bounds(name: &str, arguments: &[String], environment: &[(String, String)]) -> Result<()> {
    let variables = environment.iter().flat_map(|(variable, value)| [variable, value]);
    let mut bytes = name.len();
    for text in arguments.iter().chain(variables) {
        bytes += text.len() + 1;
        if text.contains('\0') || text.len() > ARGUMENT_BYTES {
            return Err(Error::invalid(format!(
                "an argument or a variable of `{name}` has a zero byte, or more than {ARGUMENT_BYTES} bytes"
            )));
        }
    }
    if bytes > COMMAND_BYTES {
        return Err(Error::invalid(format!(
            "the arguments and the environment of `{name}` have {bytes} bytes, more than {COMMAND_BYTES}"
        )));
    }
    Ok(())
}

fn check_variable(variable: &str) -> Result<()> {
    if variable.is_empty() || variable.contains('=') {
        return Err(Error::invalid(format!("`{variable}` cannot be the name of a variable")));
    }
    let is_foreign = |foreign: &&str| match foreign.strip_suffix('*') {
        Some(beginning) => variable.starts_with(beginning),
        None => variable == *foreign,
    };
    if FOREIGN_CODE.iter().any(is_foreign) {
        return Err(Error::not_granted(format!(
            "the variable `{variable}` of a program: it could have other code run than the program that is granted"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
