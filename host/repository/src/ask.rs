//! What must be asked of a person while a key is used: a passphrase, a PIN, a touch. The terminal is the caller's; here is
//! the port to it.

use std::sync::{Arc, Mutex};

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::limits::PASSPHRASE_CHARS_MIN;
use crate::pack::lock;

/// Asks a person. Each method may wait for them; none may wait where nobody is.
pub trait Ask: Send + Sync {
    /// Tells something: "touch your key".
    fn say(&self, message: &str);
    /// Whether to go on; `yes` and `no` are what the answers are called.
    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Result<bool>;
    /// Something that others may see.
    fn public(&self, what: &str) -> Result<String>;
    /// A passphrase or a PIN that exists.
    fn secret(&self, what: &str) -> Result<Zeroizing<String>>;
    /// A passphrase that is chosen now.
    fn new_secret(&self, what: &str) -> Result<Zeroizing<String>>;
}

/// Nobody is there to ask: whatever needs an answer fails.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Nobody {
    fn fail<T>(what: &str) -> Result<T> {
        Err(Error::denied(format!("there is nobody to ask: {what}")))
    }
}

impl Ask for Nobody {
    fn say(&self, _message: &str) {}

    fn confirm(&self, question: &str, _yes: &str, _no: Option<&str>) -> Result<bool> {
        Nobody::fail(question)
    }

    fn public(&self, what: &str) -> Result<String> {
        Nobody::fail(what)
    }

    fn secret(&self, what: &str) -> Result<Zeroizing<String>> {
        Nobody::fail(what)
    }

    fn new_secret(&self, what: &str) -> Result<Zeroizing<String>> {
        Nobody::fail(what)
    }
}

/// The port as age wants it. age takes no reason why a question was not answered, so the reason is kept here.
#[derive(Clone)]
pub(crate) struct Asker {
    ask: Arc<dyn Ask>,
    failed: Arc<Mutex<Option<Error>>>,
}

impl Asker {
    pub(crate) fn new(ask: Arc<dyn Ask>) -> Self {
        Asker { ask, failed: Arc::default() }
    }

    /// A passphrase that exists.
    pub(crate) fn secret(&self, what: &str) -> Result<SecretString> {
        self.ask.secret(what).map(|secret| SecretString::from(secret.as_str().to_owned()))
    }

    /// A passphrase that is chosen now.
    pub(crate) fn new_secret(&self, what: &str) -> Result<SecretString> {
        let secret = self.ask.new_secret(what)?;
        match secret.chars().count() < PASSPHRASE_CHARS_MIN {
            true => {
                Err(Error::invalid(format!("a passphrase of less than {PASSPHRASE_CHARS_MIN} characters is too weak"))
                    .hinted("six words that chance chose are strong, and can be remembered"))
            }
            false => Ok(SecretString::from(secret.as_str().to_owned())),
        }
    }

    /// What really went wrong, if it was that a question had no answer.
    pub(crate) fn reason(&self, error: Error) -> Error {
        lock(&self.failed).take().unwrap_or(error)
    }

    fn keep<T>(&self, answer: Result<T>) -> Option<T> {
        answer.map_err(|error| *lock(&self.failed) = Some(error)).ok()
    }
}

impl age::Callbacks for Asker {
    fn display_message(&self, message: &str) {
        self.ask.say(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        self.keep(self.ask.confirm(message, yes, no))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.keep(self.ask.public(description))
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        self.keep(self.secret(description))
    }
}
