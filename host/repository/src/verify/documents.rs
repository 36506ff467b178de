//! Key documents, records and leases: whether each can be read.

use crate::error::{Error, Kind, Result};
use crate::format::lease::LeaseDocument;
use crate::format::name::{parse_document, parse_key};
use crate::limits::{KEY_BODY_MAX, LEASE_BODY_MAX, RECORD_BODY_MAX};
use crate::repository::Repository;
use crate::seal;
use crate::view::Problem;

/// Key documents, records and leases that cannot be read.
pub(crate) async fn problems(repository: &Repository) -> Result<Vec<Problem>> {
    let mut problems = current_keys(repository).await?;
    // What has another name is nobody's.
    let mut records = repository.store().list("records").await?;
    records.retain(|object| parse_document(&object.name).is_ok());
    problems.extend(repository.read_documents(records, RECORD_BODY_MAX, |_, _| Ok(())).await?.problems);
    let mut leases = repository.store().list("leases").await?;
    leases.retain(|object| parse_document(&object.name).is_ok());
    let parse = |_: &_, body: &[u8]| LeaseDocument::parse(body);
    problems.extend(repository.read_documents(leases, LEASE_BODY_MAX, parse).await?.problems);
    Ok(problems)
}

/// Key documents that no owner can open, as far as a host can tell: that they begin as age files do.
pub(crate) async fn current_keys(repository: &Repository) -> Result<Vec<Problem>> {
    let (mut problems, mut current) = (Vec::new(), 0);
    for object in repository.store().list("keys").await? {
        let Ok((epoch, _)) = parse_key(&object.name) else { continue };
        match repository.store().get_if_there(&object.name, KEY_BODY_MAX as u64).await {
            Ok(None) => {}
            Ok(Some(sealed)) => match seal::check_header(&sealed) {
                Ok(()) => current += u64::from(epoch == repository.key().epoch),
                Err(why) => problems.push(Problem { object: object.name, why }),
            },
            Err(why) if why.kind() == Kind::Corrupt => problems.push(Problem { object: object.name, why }),
            Err(why) => return Err(why),
        }
    }
    if current == 0 {
        let epoch = repository.key().epoch;
        let why = Error::corrupt(format!("there is none of epoch {epoch}: nobody could read what is stored now"));
        problems.push(Problem { object: format!("keys/{epoch}-"), why });
    }
    Ok(problems)
}
