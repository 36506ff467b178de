//! Bucket and prefix of `s3://BUCKET/PREFIX`, as they are written. A URL's own reading would fold `..`, escape what is not ASCII and
//! drop tabs: the objects would lie under another name than the one that the operator looks for.

use super::store_url::WrongUrl;

/// What a prefix may hold beside letters and digits: what every service and every tool writes as it is. (S3, "Object key naming
/// guidelines", safe characters; `*` is left out, `object_store` escapes it.)
const SAFE: &str = "!-_.'()$&+,:;=@";

/// The two names. One `/` at the end is not part of the prefix.
pub(super) fn bucket_and_prefix(url: &str) -> Result<(String, String), WrongUrl> {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    let (bucket, prefix) = behind.split_once('/').unwrap_or((behind, ""));
    only_safe("bucket's name", bucket)?;
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if !prefix.is_empty() {
        prefix.split('/').try_for_each(part)?;
    }
    Ok((bucket.to_string(), prefix.to_string()))
}

/// One name between two `/`.
fn part(name: &str) -> Result<(), WrongUrl> {
    match name {
        "" => Err(WrongUrl::new("the prefix has two `/` side by side", "write one")),
        "." | ".." => {
            let message = format!("the prefix has `{name}`, which leads nowhere in a bucket");
            Err(WrongUrl::new(message, "write the prefix that is meant, without it"))
        }
        name => only_safe("prefix", name),
    }
}

fn only_safe(what: &str, name: &str) -> Result<(), WrongUrl> {
    let odd = |c: &char| !c.is_ascii_alphanumeric() && !SAFE.contains(*c);
    match name.chars().find(odd) {
        None => Ok(()),
        Some(c) => {
            let shown = match c {
                ' ' => "a space".to_string(),
                c if c.is_control() => format!("`{}`", c.escape_default()),
                c => format!("`{c}`"),
            };
            let message = format!("the {what} has {shown}, which not every service takes as it is");
            Err(WrongUrl::new(message, format!("use letters from a to z, digits, and `{SAFE}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_they_are_written_or_refused_with_the_character() {
        for (url, bucket, prefix) in [
            ("s3://b", "b", ""),
            ("s3://b/", "b", ""),
            ("gs://my_bucket.example/p", "my_bucket.example", "p"),
            ("az://$web/a/b.c/", "$web", "a/b.c"),
            ("s3://b/Team-1/host_(a)/...", "b", "Team-1/host_(a)/..."),
        ] {
            let read = bucket_and_prefix(url).ok().unwrap_or_else(|| panic!("{url}"));
            assert_eq!(read, (bucket.to_string(), prefix.to_string()), "{url}");
        }
        for (url, said) in [
            ("s3://b/my backups", "a space"),
            ("s3://b/daten/für", "`ü`"),
            ("s3://b/a%20b", "`%`"),
            ("s3://b/a/../c", "`..`"),
            ("s3://b/./c", "`.`"),
            ("s3://b/a//c", "two `/`"),
            ("s3://b//a", "two `/`"),
            ("s3://b/a//", "two `/`"),
            ("s3://b/a\tb", "`\\t`"),
            ("s3://b/a\\b", "`\\`"),
            ("s3://b/a*", "`*`"),
            ("s3://bü/a", "bucket's name has `ü`"),
        ] {
            let wrong = bucket_and_prefix(url).err().unwrap_or_else(|| panic!("{url}"));
            assert!(wrong.message.contains(said), "{url}: {}", wrong.message);
        }
    }
}
