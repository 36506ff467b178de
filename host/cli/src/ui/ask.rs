//! Asking a person: a passphrase, a PIN, a touch. From a file or the environment where one is named, else from the terminal;
//! where there is none, an error that says what to do, never a wait.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dozo_job::shown;
use dozo_repository::{Ask, Error, Kind, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The terminal of the process, wherever its input and output go.
const TERMINAL: &str = "/dev/tty";
/// Longest passphrase in a file.
const PASSPHRASE_BYTES_MAX: u64 = 4 << 10;

/// The terminal as it was before a passphrase was asked for: an interrupt must not leave it silent.
static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Asks the operator.
#[derive(Default)]
pub(crate) struct Operator {
    /// Holds the passphrase of a key that exists.
    pub(crate) file: Option<PathBuf>,
    /// Holds the passphrase of a new owner.
    pub(crate) new_file: Option<PathBuf>,
}

impl Ask for Operator {
    fn say(&self, message: &str) {
        super::note(message.trim_end());
    }

    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Result<bool> {
        let answers = format!("{question} [y: {yes}, n: {}] ", no.unwrap_or("no"));
        Ok(ask_line(question, &answers)?.trim().eq_ignore_ascii_case("y"))
    }

    fn public(&self, what: &str) -> Result<String> {
        Ok(ask_line(what, &format!("{what}: "))?.trim().to_string())
    }

    fn secret(&self, what: &str) -> Result<Zeroizing<String>> {
        match from_elsewhere(self.file.as_deref(), "DOZO_PASSPHRASE")? {
            Some(secret) => Ok(secret),
            None => ask_hidden(what, "`--passphrase-file FILE`, or DOZO_PASSPHRASE in the environment"),
        }
    }

    fn new_secret(&self, what: &str) -> Result<Zeroizing<String>> {
        if let Some(secret) = from_elsewhere(self.new_file.as_deref(), "DOZO_NEW_PASSPHRASE")? {
            return Ok(secret);
        }
        let hint = "`--new-passphrase-file FILE`, or DOZO_NEW_PASSPHRASE in the environment";
        let secret = ask_hidden(what, hint)?;
        match ask_hidden("the same again", hint)? == secret {
            true => Ok(secret),
            false => Err(Error::invalid("the two passphrases differ")),
        }
    }
}

/// Which of several things is meant; none where there is nobody to ask.
pub(crate) fn choose(question: &str, choices: &[String]) -> Result<Option<usize>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let lines: String = choices.iter().enumerate().map(|(at, choice)| format!("  {}  {choice}\n", at + 1)).collect();
    let answer = ask_line("the number", &format!("{question}\n{lines}Which one? [1-{}] ", choices.len()))?;
    let number = answer.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let chosen = number.filter(|at| *at < choices.len());
    chosen.map(Some).ok_or_else(|| Error::invalid("none of them was chosen, so nothing was done"))
}

/// A passphrase from a file or the environment, if either was given.
fn from_elsewhere(file: Option<&Path>, variable: &str) -> Result<Option<Zeroizing<String>>> {
    let secret = match file {
        Some(file) => {
            let failed = |e| Error::io(format!("read the passphrase from {}", file.display()), e);
            if std::fs::metadata(file).map_err(failed)?.len() > PASSPHRASE_BYTES_MAX {
                return Err(Error::invalid(format!("{} is too long for a passphrase", file.display())));
            }
            // What is not text was not typed, and so is none of anybody's passphrases.
            Zeroizing::new(std::fs::read_to_string(file).map_err(|e| failed(e).with_kind(Kind::Invalid))?)
        }
        None => match std::env::var(variable) {
            Ok(secret) => Zeroizing::new(secret),
            Err(_) => return Ok(None),
        },
    };
    // Files end with a newline that nobody means.
    let secret = Zeroizing::new(secret.trim_end_matches(['\n', '\r']).to_string());
    match secret.is_empty() {
        true => Err(Error::invalid("the passphrase is empty")),
        false => Ok(Some(secret)),
    }
}

fn ask_hidden(what: &str, hint: &str) -> Result<Zeroizing<String>> {
    let terminal = terminal(what).map_err(|e| e.hinted(hint))?;
    let settings = tcgetattr(&terminal).map_err(|e| Error::io("ask the terminal", e.into()))?;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal, settings));
    let secret = rpassword::prompt_password(format!("{}: ", shown(what)));
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(Zeroizing::new(secret.map_err(|e| Error::io(format!("ask for {what}"), e))?))
}

fn ask_line(what: &str, prompt: &str) -> Result<String> {
    let mut terminal = terminal(what)?;
    let failed = |e| Error::io(format!("ask for {what}"), e);
    terminal.write_all(shown(prompt).as_bytes()).map_err(failed)?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line).map_err(failed)?;
    Ok(line)
}

fn terminal(what: &str) -> Result<File> {
    let open = File::options().read(true).write(true).open(TERMINAL);
    open.map_err(|_| Error::denied(format!("there is no terminal to ask for {what}")))
}

/// Shows again what is typed, if it was hidden: for a program that ends while it asks.
pub(crate) fn restore_terminal() {
    if let Some((terminal, settings)) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(&terminal, OptionalActions::Now, &settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_its_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "correct horse\n").unwrap();
        let operator = Operator { file: Some(file.path().into()), new_file: Some("/nonexistent".into()) };
        assert_eq!(operator.secret("x").unwrap().as_str(), "correct horse");
        assert!(operator.new_secret("x").is_err());
        std::fs::write(file.path(), "\n").unwrap();
        assert!(operator.secret("x").is_err(), "empty");
    }
}
