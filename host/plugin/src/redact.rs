//! Keeps secrets out of everything that a plugin says: messages, logs, names, attributes, standard error.

/// Shorter secrets are not looked for: they would be found in every other word.
const BYTES_MIN: usize = 4;

/// The secrets of one job.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The values that must not be told.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= BYTES_MIN).collect();
        // The longest first, so that a secret which holds another one goes whole.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Secrets(values)
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Secrets) -> Self {
        Secrets::new(self.0.into_iter().chain(others.0))
    }

    /// The text with every secret in it replaced.
    pub fn redact(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), "[secret]") } else { text }
        })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_wherever_they_stand() {
        let secrets = Secrets::new(["hunter2".into(), "hunter2-long".into(), "abc".into()]);
        let text = secrets.redact("login hunter2-long failed, hunter2 too, abc".into());
        assert_eq!(text, "login [secret] failed, [secret] too, abc");
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }
}
