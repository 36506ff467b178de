//! Whom key documents are sealed to: an owner as the others know them. FORMAT.md section 5.

use std::fmt;
use std::sync::Arc;

use age::secrecy::SecretString;
use age::{plugin, ssh, x25519};

use crate::ask::Asker;
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::limits::PASSPHRASE_WORK;

/// What an owner's string begins with if the key document is sealed to a passphrase; a label follows.
pub(crate) const PASSPHRASE: &str = "passphrase:";
/// Longest label of a passphrase.
const LABEL_BYTES_MAX: usize = 40;

/// An owner's public key, of any kind that age knows; or the label of a passphrase.
#[derive(Clone)]
pub struct Recipient {
    text: String,
    way: Way,
}

#[derive(Clone)]
enum Way {
    /// X25519, an SSH key, a tagged hardware key: sealed here.
    Native(Arc<dyn age::Recipient + Send + Sync>),
    /// Sealed by a program `age-plugin-NAME`.
    Plugin(plugin::Recipient),
    /// Sealed to a passphrase that must be asked for.
    Passphrase,
}

impl Recipient {
    /// From an age recipient (`age1…`, `age1NAME1…`, `ssh-ed25519 …`, `ssh-rsa …`) or `passphrase:LABEL`. A comment behind
    /// an SSH key is left out: one owner has one spelling.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some(label) = text.strip_prefix(PASSPHRASE) {
            check_label(label)?;
            return Ok(Recipient { text: text.into(), way: Way::Passphrase });
        }
        if text.starts_with("ssh-") {
            return Recipient::ssh(text);
        }
        if let Ok(recipient) = text.parse::<x25519::Recipient>() {
            return Ok(Recipient::native(recipient.to_string(), recipient));
        }
        if let Ok(recipient) = text.parse::<age::tag::Recipient>() {
            return Ok(Recipient::native(recipient.to_string(), recipient));
        }
        if let Ok(recipient) = text.parse::<age::tagpq::Recipient>() {
            return Ok(Recipient::native(recipient.to_string(), recipient));
        }
        match text.parse::<plugin::Recipient>() {
            Ok(recipient) => Ok(Recipient { text: recipient.to_string(), way: Way::Plugin(recipient) }),
            Err(_) => Err(Error::invalid(format!("`{text}` is no age recipient"))
                .hinted("age1…, age1NAME1…, ssh-ed25519 …, ssh-rsa … or passphrase:LABEL")),
        }
    }

    fn ssh(text: &str) -> Result<Self> {
        use ssh::ParseRecipientKeyError as E;
        let recipient = text.parse::<ssh::Recipient>().map_err(|error| {
            let why = match error {
                E::RsaModulusTooSmall => "an RSA key of less than 2048 bits is too weak".to_string(),
                E::RsaModulusTooLarge => "the RSA key is too large".to_string(),
                E::Unsupported(kind) => format!("keys of the kind {kind} cannot be sealed to"),
                _ => "it is not the public half of an SSH key".to_string(),
            };
            Error::invalid(why).hinted("ssh-ed25519 or ssh-rsa, the line in the file `….pub`")
        })?;
        Ok(Recipient::native(recipient.to_string(), recipient))
    }

    fn native(text: String, recipient: impl age::Recipient + Send + Sync + 'static) -> Self {
        Recipient { text, way: Way::Native(Arc::new(recipient)) }
    }

    /// A passphrase's recipient.
    pub fn passphrase(label: &str) -> Result<Self> {
        Recipient::parse(&format!("{PASSPHRASE}{label}"))
    }

    /// Whether sealing to it takes a passphrase.
    pub fn is_passphrase(&self) -> bool {
        matches!(self.way, Way::Passphrase)
    }

    /// The owner's name in the store.
    pub fn name(&self) -> String {
        owner_name(&self.text)
    }

    /// As age wants it.
    pub(crate) fn sealing(&self, asker: &Asker, passphrase: Option<SecretString>) -> Result<Sealing> {
        match (&self.way, passphrase) {
            (Way::Native(recipient), _) => Ok(Sealing(recipient.clone())),
            (Way::Plugin(recipient), _) => {
                let one = std::slice::from_ref(recipient);
                let plugin = plugin::RecipientPluginV1::new(recipient.plugin(), one, &[], asker.clone());
                Ok(Sealing(Arc::new(plugin.map_err(missing_plugin)?)))
            }
            (Way::Passphrase, Some(passphrase)) => {
                let mut recipient = age::scrypt::Recipient::new(passphrase);
                recipient.set_work_factor(PASSPHRASE_WORK);
                Ok(Sealing(Arc::new(recipient)))
            }
            (Way::Passphrase, None) => Err(Error::internal(format!("sealing to {self} without its passphrase"))),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl std::str::FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Recipient::parse(text)
    }
}

/// A recipient that is ready to be sealed to.
#[derive(Clone)]
pub(crate) struct Sealing(Arc<dyn age::Recipient + Send + Sync>);

impl Sealing {
    pub(crate) fn recipient(&self) -> &dyn age::Recipient {
        self.0.as_ref()
    }
}

/// The name of an owner in the store.
pub(crate) fn owner_name(recipient: &str) -> String {
    ObjectId::of(recipient.as_bytes()).to_string()[..16].to_string()
}

pub(crate) fn missing_plugin(error: plugin::ResolveError) -> Error {
    Error::invalid("the program of this kind of key is not installed").caused_by(std::io::Error::other(
        age::EncryptError::PluginResolve(error).to_string().lines().next().unwrap_or_default().to_string(),
    ))
}

fn check_label(label: &str) -> Result<()> {
    let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if label.is_empty() || label.len() > LABEL_BYTES_MAX || !plain {
        return Err(Error::invalid(format!("`{label}` cannot be the label of a passphrase"))
            .hinted(format!("letters, digits, `-`, `_` and `.`, at most {LABEL_BYTES_MAX}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn one_owner_has_one_spelling() {
        let plain = Recipient::parse(ED25519).unwrap();
        let noted = Recipient::parse(&format!(" {ED25519} alice@laptop\n")).unwrap();
        assert_eq!((noted.to_string(), noted.name()), (ED25519.to_string(), plain.name()));
        let own = x25519::Identity::generate().to_public().to_string();
        assert_eq!(Recipient::parse(&own).unwrap().to_string(), own);
        assert!(Recipient::passphrase("safe-1").unwrap().is_passphrase());
    }

    #[test]
    fn what_is_no_recipient_is_refused() {
        let cut = &x25519::Identity::generate().to_public().to_string()[..50];
        let long = format!("passphrase:{}", "x".repeat(41));
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY=";
        for bad in ["", "age1", cut, "passphrase:", "passphrase:a b", &long, "ssh-ed25519 AAAA", "ssh-dss AAAA", ecdsa]
        {
            assert!(Recipient::parse(bad).is_err(), "{bad}");
        }
    }
}
