//! Keeps secrets out of everything that a plugin says: messages, logs, names, attributes, standard error.

/// Shorter secrets are not looked for: they would be found in every other word.
const BYTES_MIN: usize = 4;
/// Shorter lines of a secret of several lines are not looked for by themselves: a key's are longer.
const LINE_BYTES_MIN: usize = 16;

/// The secrets of one job.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The values that must not be told. Of one with several lines, a key's file, each line by itself neither: a program
    /// prints them one by one.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= BYTES_MIN).collect();
        let lines = values.iter().filter(|value| value.contains('\n')).flat_map(|value| value.lines());
        let lines: Vec<String> =
            lines.map(str::trim).filter(|line| line.len() >= LINE_BYTES_MIN).map(Into::into).collect();
        values.extend(lines);
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

    #[test]
    fn a_secret_of_several_lines_goes_line_by_line() {
        let secrets = Secrets::new(["-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIE\nshort\n".into()]);
        assert_eq!(secrets.redact("bad key: MC4CAQAwBQYDK2VwBCIE, short".into()), "bad key: [secret], short");
    }
}
