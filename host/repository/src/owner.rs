//! An owner's key: whatever opens key documents. An age identity file, plain or behind a passphrase; an SSH key; a plugin's
//! identity; a passphrase. FORMAT.md section 5.

use std::io::Read;
use std::sync::Arc;

use age::secrecy::{ExposeSecret, SecretString};
use age::{plugin, ssh, x25519};
use zeroize::Zeroizing;

use crate::ask::{Ask, Asker, Nobody};
use crate::error::{Error, Result};
use crate::id::RepositoryId;
use crate::limits::{KEY_FILE_BYTES_MAX, KEY_FILE_WORK_MAX, PASSPHRASE_WORK_MAX};
use crate::recipient::{PASSPHRASE, Recipient, missing_plugin, owner_name};
use crate::seal;

/// The comment that pins the repository in an owner's key file.
const PIN: &str = "# dozo repository: ";

type Identities = Vec<Box<dyn age::Identity + Send + Sync>>;

/// An owner's key: opens the key documents of the repository, and with them content. Cloning shares it.
#[derive(Clone)]
pub struct OwnerKey {
    identities: Arc<Identities>,
    /// The owners' strings that it is known to answer to; a plugin's identity does not tell.
    strings: Vec<String>,
    passphrase: Option<SecretString>,
    asker: Asker,
    /// The repository that the file pins, if it does.
    pub repository: Option<RepositoryId>,
}

impl OwnerKey {
    /// A fresh X25519 identity and the text of its file.
    pub fn generate(repository: RepositoryId) -> (Recipient, Zeroizing<String>) {
        let identity = x25519::Identity::generate();
        let text = owner_file(&identity, repository);
        (Recipient::parse(&identity.to_public().to_string()).expect("age reads what it wrote"), text)
    }

    /// From the text of an age identity file that needs nobody to be asked.
    pub fn parse(text: &str) -> Result<Self> {
        OwnerKey::read(text.as_bytes(), Arc::new(Nobody))
    }

    /// From the bytes of an age identity file, of one that is encrypted with a passphrase, or of an SSH key. Passphrases of
    /// files are asked for here, once; a hardware key's touch or PIN when the key is used.
    pub fn read(file: &[u8], ask: Arc<dyn Ask>) -> Result<Self> {
        let asker = Asker::new(ask);
        if file.starts_with(b"age-encryption.org/") || file.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
            return OwnerKey::plain(&decrypt_file(file, &asker)?, asker);
        }
        let text = std::str::from_utf8(file).map_err(|e| not_a_key("it is not text").caused_by(e))?;
        if let Some(other) = other_kind(text) {
            return Err(other);
        }
        match text.trim_start().starts_with("-----BEGIN ") {
            true => OwnerKey::ssh(text.trim_start(), asker),
            false => OwnerKey::plain(text, asker),
        }
    }

    /// The key that a passphrase is.
    pub fn passphrase(label: &str, ask: Arc<dyn Ask>) -> Result<Self> {
        let (owner, asker) = (Recipient::passphrase(label)?, Asker::new(ask));
        let passphrase = asker.secret(&format!("the passphrase of the owner {owner}"))?;
        let identities: Identities = vec![Box::new(passphrase_identity(passphrase.clone()))];
        let strings = vec![owner.to_string()];
        let passphrase = Some(passphrase);
        Ok(OwnerKey { identities: Arc::new(identities), strings, passphrase, asker, repository: None })
    }

    fn plain(text: &str, asker: Asker) -> Result<Self> {
        let (mut identities, mut strings) = (Identities::new(), Vec::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            if let Ok(identity) = line.parse::<x25519::Identity>() {
                strings.push(identity.to_public().to_string());
                identities.push(Box::new(identity));
            } else if let Ok(identity) = line.parse::<plugin::Identity>() {
                let (name, one) = (identity.plugin().to_string(), std::slice::from_ref(&identity));
                let plugin = plugin::IdentityPluginV1::new(&name, one, asker.clone()).map_err(missing_plugin)?;
                strings.clear();
                identities.push(Box::new(plugin));
            } else {
                // The line itself may be a secret with a slip in it.
                return Err(not_a_key(&format!("line {} is no identity", number + 1)));
            }
        }
        if identities.is_empty() {
            return Err(Error::invalid("it holds no age identity"));
        }
        if identities.len() != strings.len() {
            strings.clear();
        }
        let pin = text.lines().find_map(|line| line.strip_prefix(PIN));
        let repository = pin.map(|id| id.trim().parse()).transpose()?;
        Ok(OwnerKey { identities: Arc::new(identities), strings, passphrase: None, asker, repository })
    }

    fn ssh(text: &str, asker: Asker) -> Result<Self> {
        let unsupported = || {
            Error::unsupported("this kind of key cannot be an owner's")
                .hinted("an SSH key of the kind ssh-ed25519 or ssh-rsa, in OpenSSH's own format")
        };
        let identity = ssh::Identity::from_buffer(text.as_bytes(), None)
            .map_err(|e| not_a_key("it is no SSH key either").caused_by(e))?;
        let owner = ssh::Recipient::try_from(identity.clone()).map_err(|_| unsupported())?;
        let identity = match identity {
            ssh::Identity::Unencrypted(_) => identity,
            ssh::Identity::Encrypted(key) => {
                let passphrase = asker.secret("the passphrase of the SSH key")?;
                key.decrypt(passphrase).map_err(|e| wrong_passphrase("the SSH key", &e))?.into()
            }
            ssh::Identity::Unsupported(_) => return Err(unsupported()),
        };
        let (identities, strings): (Identities, _) = (vec![Box::new(identity)], vec![owner.to_string()]);
        Ok(OwnerKey { identities: Arc::new(identities), strings, passphrase: None, asker, repository: None })
    }

    /// The owners' strings that it is known to answer to.
    pub(crate) fn strings(&self) -> &[String] {
        &self.strings
    }

    /// The names in the store of the key documents that are this owner's, if the key tells.
    pub(crate) fn names(&self) -> Vec<String> {
        self.strings.iter().map(|string| owner_name(string)).collect()
    }

    /// The passphrase of an owner, if this is their key.
    pub(crate) fn passphrase_of(&self, owner: &Recipient) -> Option<SecretString> {
        self.passphrase.clone().filter(|_| self.strings.contains(&owner.to_string()))
    }

    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Opens an age file; `max` bounds its plaintext. May wait for a person.
    pub(crate) fn open(&self, sealed: &[u8], max: usize) -> Result<Vec<u8>> {
        let identities: Vec<&dyn age::Identity> = self.identities.iter().map(|i| i.as_ref() as _).collect();
        seal::open(sealed, &identities, max).map_err(|error| self.asker.reason(error))
    }
}

/// A passphrase as age wants it for opening; the work that a document may ask for is bounded.
pub(crate) fn passphrase_identity(passphrase: SecretString) -> age::scrypt::Identity {
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(PASSPHRASE_WORK_MAX);
    identity
}

/// The label in an owner's string, if it is a passphrase's.
pub fn passphrase_label(owner: &str) -> Option<&str> {
    owner.strip_prefix(PASSPHRASE)
}

/// The text of an identity file that is encrypted with a passphrase.
fn decrypt_file(file: &[u8], asker: &Asker) -> Result<Zeroizing<String>> {
    let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(file))
        .map_err(|e| not_a_key("its age header is damaged").caused_by(e))?;
    if !decryptor.is_scrypt() {
        return Err(not_a_key("it is encrypted, and not with a passphrase"));
    }
    let mut identity = age::scrypt::Identity::new(asker.secret("the passphrase of the owner key file")?);
    identity.set_max_work_factor(KEY_FILE_WORK_MAX);
    let reader = decryptor.decrypt(std::iter::once(&identity as _)).map_err(|e| wrong_passphrase("the file", &e))?;
    let mut text = Zeroizing::new(String::new());
    let damaged = |e| not_a_key("it is damaged, or holds no text").caused_by(e);
    reader.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(damaged)?;
    Ok(text)
}

fn wrong_passphrase(noun: &str, error: &age::DecryptError) -> Error {
    Error::denied(format!("{noun} does not open with this passphrase"))
        .caused_by(std::io::Error::other(error.to_string()))
}

fn not_a_key(why: &str) -> Error {
    Error::invalid(format!("it is not an age identity file: {why}"))
}

/// Whether a file is a secret key of any kind that dozo reads: what its mode means depends on that.
pub fn is_secret_key(file: &[u8]) -> bool {
    let text = String::from_utf8_lossy(file);
    let armour =
        |line: &str| line.starts_with("-----BEGIN ") && (line.contains(" PRIVATE KEY") || line.contains(" AGE "));
    let secret = |line: &str| ["AGE-SECRET-KEY-", "AGE-PLUGIN-"].iter().any(|begin| line.starts_with(begin));
    file.starts_with(b"age-encryption.org/")
        || text.trim_start().starts_with('{') && text.contains(HOST_KEY)
        || text.lines().any(|line| armour(line) || secret(line))
}

/// What a host's key file says it is.
const HOST_KEY: &str = "dozo/host-key/";

/// A key, and not an owner's: the one that lies beside it is often taken for it.
fn other_kind(text: &str) -> Option<Error> {
    if text.trim_start().starts_with('{') && text.contains(HOST_KEY) {
        let what = "it is a host's key, which writes and lists, and reads no content";
        return Some(Error::invalid(what).hinted("an owner's key is needed: `dozo key owners` lists whose there are"));
    }
    let public = |line: &str| ["age1", "ssh-ed25519 ", "ssh-rsa "].iter().any(|begin| line.starts_with(begin));
    if text.lines().any(public) && !is_secret_key(text.as_bytes()) {
        let what = "it is the public half of a key, which reads nothing";
        return Some(Error::invalid(what).hinted("the private half is needed: the file beside it without `.pub`"));
    }
    None
}

/// The text of an owner's key file.
fn owner_file(identity: &x25519::Identity, repository: RepositoryId) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "# dozo owner key: with it, and the repository, every backup can be read. Keep it offline, and a copy elsewhere.\n\
         {PIN}{repository}\n# public key: {}\n{}\n",
        identity.to_public(),
        identity.to_string().expose_secret(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Secret;

    #[test]
    fn an_owner_key_pins_its_repository() {
        let repository = Secret::new([5; 32]).repository();
        let (owner, text) = OwnerKey::generate(repository);
        let key = OwnerKey::parse(&text).unwrap();
        assert_eq!((key.repository, key.names()), (Some(repository), vec![owner.name()]));
        for bad in ["", "# nothing\n", "age1xyz\n", "AGE-SECRET-KEY-1GARBAGE\n", "-----BEGIN CERTIFICATE-----\n"] {
            assert!(OwnerKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_a_secret_key_is_known_from_what_is_none() {
        let (_, text) = OwnerKey::generate(Secret::new([5; 32]).repository());
        let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n";
        let host = "{\n  \"schema\": \"dozo/host-key/1\"\n}";
        for key in [text.as_str(), ssh, host, "age-encryption.org/v1\n", "-----BEGIN AGE ENCRYPTED FILE-----\n"] {
            assert!(is_secret_key(key.as_bytes()), "{key}");
        }
        for other in
            ["root:x:0:0:root:/root:/bin/bash\n", "", "ssh-ed25519 AAAA me", "-----BEGIN CERTIFICATE-----\n", "{}"]
        {
            assert!(!is_secret_key(other.as_bytes()), "{other}");
        }
        assert!(OwnerKey::parse(host).err().unwrap().chain().contains("a host's key"));
        assert!(OwnerKey::parse("ssh-ed25519 AAAA me\n").err().unwrap().chain().contains("public half"));
    }

    #[test]
    fn a_secret_with_a_slip_is_not_shown() {
        let (_, text) = OwnerKey::generate(Secret::new([5; 32]).repository());
        let slip = text.replace("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-2");
        let error = OwnerKey::parse(&slip).err().unwrap();
        assert!(!error.chain().contains("AGE-SECRET"), "{}", error.chain());
    }
}
