//! One key document: sealed to one owner, written, read back.

use age::secrecy::SecretString;
use age::x25519;
use zeroize::Zeroizing;

use crate::ask::Asker;
use crate::document;
use crate::epochs::Epochs;
use crate::error::{Error, Result};
use crate::format::key::KeyDocument;
use crate::format::name::Place;
use crate::keys::data_identity;
use crate::limits::KEY_BODY_MAX;
use crate::owner::{OwnerKey, passphrase_identity};
use crate::owners::key_object;
use crate::pipeline::blocking;
use crate::recipient::{Recipient, Sealing};
use crate::repository::Repository;
use crate::seal;

/// An owner, and all that a person had to be asked for to seal to them.
pub(crate) struct Ready {
    owner: Recipient,
    sealing: Sealing,
}

impl Ready {
    /// Somebody who is not an owner yet: a passphrase is chosen now.
    pub(crate) async fn new(owner: &Recipient, asker: &Asker) -> Result<Self> {
        let (owner, asker) = (owner.clone(), asker.clone());
        blocking(move || {
            let what = format!("a passphrase for the new owner {owner}");
            let passphrase = owner.is_passphrase().then(|| asker.new_secret(&what)).transpose()?;
            Ok(Ready { sealing: owner.sealing(&asker, passphrase)?, owner })
        })
        .await
    }

    /// Somebody who is an owner: a passphrase must be the one that opens what they have.
    pub(crate) async fn known(
        repository: &Repository,
        epochs: &Epochs,
        owner: &Recipient,
        by: &OwnerKey,
    ) -> Result<Self> {
        let asker = by.asker().clone();
        let passphrase = match (owner.is_passphrase(), by.passphrase_of(owner)) {
            (false, _) => None,
            (true, Some(passphrase)) => Some(passphrase),
            (true, None) => Some(asked(repository, epochs, owner, &asker).await?),
        };
        Ok(Ready { sealing: owner.sealing(&asker, passphrase)?, owner: owner.clone() })
    }
}

/// Asks for an owner's passphrase and tries it: with a slip in it, nobody would ever open the new key document.
async fn asked(repository: &Repository, epochs: &Epochs, owner: &Recipient, asker: &Asker) -> Result<SecretString> {
    let (object, asker) = (key_object(epochs.current(), &owner.name()), asker.clone());
    let expected = epochs.identities.get(&epochs.current()).map(x25519::Identity::to_public);
    let sealed = repository.store().get(&object, KEY_BODY_MAX as u64).await?;
    let what = format!("the passphrase of the owner {owner}");
    let tried = blocking(move || {
        let passphrase = asker.secret(&what)?;
        let plaintext = seal::open(&sealed, &[&passphrase_identity(passphrase.clone())], KEY_BODY_MAX)?;
        let document = KeyDocument::parse(&document::split(&plaintext, KEY_BODY_MAX)?.0)?;
        match expected.is_some_and(|recipient| data_identity(&document).is_ok_and(|i| i.to_public() == recipient)) {
            true => Ok(passphrase),
            false => Err(Error::corrupt("it holds another epoch's keys")),
        }
    });
    tried.await.map_err(|e| e.context(format!("open {object} with the passphrase")))
}

/// Writes the key document of an epoch for one owner, and reads it back; returns its name.
pub(crate) async fn put_key(repository: &Repository, epoch: (u32, &x25519::Identity), ready: &Ready) -> Result<String> {
    let (number, identity) = epoch;
    let document = repository.key().document(number, identity, &ready.owner.to_string());
    let place = Place::Key { epoch: number, owner: ready.owner.name() };
    let (body, keyring, sealing) =
        (Zeroizing::new(document.to_body()), repository.keyring().clone(), ready.sealing.clone());
    let object = key_object(number, &ready.owner.name());
    let shown = ready.owner.to_string();
    let sealed = blocking(move || document::seal(&place, &body, &keyring, sealing.recipient())).await;
    let sealed = sealed.map_err(|e| e.context(format!("seal the keys of epoch {number} to {shown}")))?;
    repository.store().put(&object, &sealed).await?;
    if repository.store().get(&object, KEY_BODY_MAX as u64).await? != sealed.bytes() {
        return Err(Error::corrupt(format!("{object} is not what was written"))
            .hinted("somebody writes keys at the same time, or the store is damaged; try again"));
    }
    Ok(object)
}
