//! Lines of the configuration as they are shown beside a complaint: without what may be a secret, also where it has no business.

/// The line without secrets. What takes their place is as long, so that a marker stays under what it means.
pub(super) fn masked(line: &str) -> String {
    without_parameters(&without_secrets(&without_passwords(line)))
}

/// A password in a URL, which is refused, is not printed on the way.
fn without_passwords(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("://") {
        let end = behind.find(['"', '\'', ' ']).unwrap_or(behind.len());
        let password = behind[..end].rfind('@').and_then(|at| Some(behind[..at].find(':')? + 1..at));
        shown.push_str(before);
        shown.push_str("://");
        let taken = password.as_ref().map_or(0, |password| password.end);
        if let Some(password) = password {
            shown.push_str(&behind[..password.start]);
            shown.extend(behind[password].chars().map(|_| '*'));
        }
        rest = &behind[taken..];
    }
    shown + rest
}

/// How the names of secrets end, where nothing else says what is one.
const SECRET_NAMES: [&str; 8] =
    ["password", "passphrase", "secret", "token", "api_key", "private_key", "secret_key", "credentials"];

/// The same of what is written behind the name of a secret: the schema of its plugin is not known to the parser of TOML.
fn without_secrets(line: &str) -> String {
    let (mut shown, mut rest) = (String::new(), line);
    while let Some((before, behind)) = rest.split_once('=') {
        let name = before.trim_end().trim_end_matches(['"', '\'']).to_lowercase();
        let value = behind.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote.filter(|_| is_secret_name(&name)) else {
            shown.push_str(&rest[..=before.len()]);
            rest = behind;
            continue;
        };
        let inner = &value[1..];
        let end = inner.find(quote).unwrap_or(inner.len());
        shown.push_str(&rest[..rest.len() - inner.len()]);
        shown.extend(inner[..end].chars().map(|_| '*'));
        rest = &inner[end..];
    }
    shown + rest
}

/// The same of what the query of a URL calls a secret: `?password=…`.
fn without_parameters(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['?', '&']) {
        let (before, parameter) = rest.split_at(at + 1);
        shown.push_str(before);
        rest = parameter;
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.%".contains(c);
        if name.chars().all(plain) && is_secret_name(&name.to_lowercase()) {
            let end = value.find(['&', '#', '"', '\'', ' ']).unwrap_or(value.len());
            shown.push_str(&parameter[..=name.len()]);
            shown.extend(value[..end].chars().map(|_| '*'));
            rest = &value[end..];
        }
    }
    shown + rest
}

fn is_secret_name(name: &str) -> bool {
    SECRET_NAMES.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (line, shown) in [
            (r#"url = "postgres://dozo:geheim@db:5432/app""#, r#"url = "postgres://dozo:******@db:5432/app""#),
            (r#"url = "x://a:b/c@d", "y://e:ff@g""#, r#"url = "x://a:***@d", "y://e:**@g""#),
            (r#"url = "postgres://dozo@db:5432/app""#, r#"url = "postgres://dozo@db:5432/app""#),
            ("url = \"s3://bucket/prefix\"", "url = \"s3://bucket/prefix\""),
        ] {
            assert_eq!(without_passwords(line), shown);
        }
    }

    #[test]
    fn what_is_named_as_a_secret_is_not_shown() {
        for (line, shown) in [
            (r#"password = "hunter2" junk"#, r#"password = "*******" junk"#),
            (r#"config = { user = "a", api_key='b c', x = 1"#, r#"config = { user = "a", api_key='***', x = 1"#),
            (r#""db_password" = "hunter2"#, r#""db_password" = "*******"#),
            (r#"password = { env = "PGPASSWORD" }"#, r#"password = { env = "PGPASSWORD" }"#),
            (r#"key = "host.key""#, r#"key = "host.key""#),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }

    #[test]
    fn a_secret_in_the_query_of_a_url_is_not_shown() {
        for (line, shown) in [
            (
                r#"url = "postgres://h/db?sslmode=x&password=hunter2""#,
                r#"url = "postgres://h/db?sslmode=x&password=*******""#,
            ),
            (r#"url = "https://h/?Access_Token=ab&x=1" # y"#, r#"url = "https://h/?Access_Token=**&x=1" # y"#),
            (r#"url = "https://h/?page=2&size=3""#, r#"url = "https://h/?page=2&size=3""#),
            ("why = \"is it so?\"", "why = \"is it so?\""),
        ] {
            assert_eq!(masked(line), shown);
        }
    }
}
