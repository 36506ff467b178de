//! Identities as types, so that the id of a chunk is never taken for that of a pack.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:expr, $noun:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// The first eight digits: enough to name it to a person.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = Error;
            /// Takes lower-case digits alone: one id has one spelling.
            fn from_str(text: &str) -> Result<Self> {
                let mut bytes = [0; $bytes];
                let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if lower => Ok($name(bytes)),
                    _ => Err(Error::corrupt(format!(
                        concat!("`{}` is not ", $noun, ": {} lower-case hex digits"), text, $bytes * 2,
                    ))),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut digits = [0; $bytes * 2];
                hex::encode_to_slice(self.0, &mut digits).map_err(serde::ser::Error::custom)?;
                serializer.serialize_str(std::str::from_utf8(&digits).map_err(serde::ser::Error::custom)?)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// SHA-256 of an object's bytes.
    ObjectId, 32, "an object id"
);
id!(
    /// Keyed BLAKE3 of a chunk's plaintext. Data and catalog chunks have keys of their own and never meet.
    ChunkId, 32, "a chunk id"
);
id!(
    /// What a repository's secret commits to; pinned in every key file.
    RepositoryId, 32, "a repository id"
);
id!(
    /// A host that writes to a repository: random, says nothing.
    HostUid, 8, "a host uid"
);
id!(
    /// A job of a host: derived from its name under the repository's secret.
    JobUid, 16, "a job uid"
);
id!(
    /// Somebody at work: random.
    LeaseId, 16, "a lease id"
);

impl ObjectId {
    /// The id of an object with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        ObjectId(sha2::Sha256::digest(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = ObjectId::of(b"");
        assert_eq!(id.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        for wrong in ["", "e3", &id.to_string().to_uppercase(), &format!("{id}0"), &id.to_string().replace('e', "g")] {
            assert!(wrong.parse::<ObjectId>().is_err(), "{wrong}");
        }
    }
}
