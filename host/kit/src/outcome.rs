//! How a case ends, while it is under way.

use dozo_job::Error;

/// What a case that holds has to tell, or why it does not hold.
pub(crate) type Outcome<T = Vec<String>> = Result<T, Ended>;

/// Why a case did not come to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The plugin broke its word.
    Failed { why: String, advice: String },
    /// It could not be tried here.
    Skipped { why: String },
}

impl Ended {
    /// The plugin did what it must not; the advice is for its author.
    pub(crate) fn failed(why: impl Into<String>, advice: impl Into<String>) -> Self {
        Ended::Failed { why: why.into(), advice: advice.into() }
    }

    /// It could not be tried.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Ended::Skipped { why: why.into() }
    }
}

/// Trouble of the kit's own: its repository, its directory. Nothing was proven, so nothing passed.
impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        let advice = error.hint().unwrap_or("this is not the plugin's doing: make it go away and try again");
        Ended::failed(format!("the kit could not try it: {}", error.chain()), advice)
    }
}

/// An error in one line, with its kind.
pub(crate) fn told(error: &Error) -> String {
    format!("{} ({})", error.chain(), error.kind().word())
}
