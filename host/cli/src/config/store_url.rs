//! What may stand in `url`, and what people write there instead.

use std::path::Path;

use url::Url;

pub(super) const KNOWN: &str =
    "`file:///absolute/directory`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` and `az://CONTAINER/PREFIX` are known";

/// What is wrong with a URL, and what to do.
pub(super) struct WrongUrl {
    pub(super) message: String,
    pub(super) hint: String,
    /// Whether it holds what must not be shown.
    pub(super) is_secret: bool,
}

impl WrongUrl {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        WrongUrl { message: message.into(), hint: hint.into(), is_secret: false }
    }
}

/// The URL of a directory of this machine.
pub(crate) fn url_of(directory: &Path) -> Option<String> {
    let absolute = std::path::absolute(directory).ok()?;
    Url::from_file_path(absolute).ok().map(|url| url.to_string())
}

/// A URL of a store, of a kind that dozo has.
pub(super) fn parse(text: &str) -> Result<Url, WrongUrl> {
    if let Some(wrong) = wrong_path(text) {
        return Err(wrong);
    }
    let url = Url::parse(text).map_err(|e| not_a_url(text, e))?;
    if !matches!(url.scheme(), "file" | "s3" | "gs" | "az") {
        return Err(unknown(url.scheme()));
    }
    if url.password().is_some() || !url.username().is_empty() {
        let wrong = WrongUrl::new(
            "a user or password does not belong into `url`",
            "docs/GUIDE.md, Stores, tells where credentials belong",
        );
        return Err(WrongUrl { is_secret: true, ..wrong });
    }
    if url.query().is_some() || url.fragment().is_some() {
        let wrong = WrongUrl::new(
            "`url` has something behind `?` or `#`, which means nothing here",
            "in a name, `?` is written `%3F` and `#` is written `%23`",
        );
        return Err(WrongUrl { is_secret: true, ..wrong });
    }
    Ok(url)
}

/// A path of this machine, or the URL of one that is not whole.
fn wrong_path(text: &str) -> Option<WrongUrl> {
    let suggest =
        |path: &str| url_of(Path::new(path)).map_or_else(|| KNOWN.to_string(), |url| format!("write `{url}`"));
    if text.starts_with('/') {
        return Some(WrongUrl::new("this is a path, and no URL", suggest(text)));
    }
    let file = text.get(..5).filter(|begin| begin.eq_ignore_ascii_case("file:")).map(|_| &text[5..])?;
    if file.starts_with("///") {
        return None;
    }
    let host = file.strip_prefix("//");
    // `file://localhost/x` is the same machine; of `file://x/y`, `x` would be another.
    let path = host.map_or(file, |rest| rest.strip_prefix("localhost").unwrap_or(rest));
    Some(WrongUrl::new("the URL of a directory has three `/` and its whole path", suggest(path)))
}

fn not_a_url(text: &str, error: url::ParseError) -> WrongUrl {
    let looks_like_ssh = text.split_once(':').is_some_and(|(host, path)| host.contains('@') && !path.starts_with("//"));
    let relative = text.starts_with('.') || !text.contains(':');
    let message = format!("this is not a URL: {error}");
    match (looks_like_ssh, relative) {
        (true, _) => WrongUrl { is_secret: true, ..unknown("ssh") },
        (false, true) => match url_of(Path::new(text)) {
            Some(url) => WrongUrl::new(message, format!("a directory here is `{url}`; {KNOWN}")),
            None => WrongUrl::new(message, KNOWN),
        },
        (false, false) => WrongUrl::new(message, KNOWN),
    }
}

/// A kind of store that dozo does not have, and what is probably meant.
fn unknown(scheme: &str) -> WrongUrl {
    let hint = match scheme {
        "http" | "https" => {
            "where a service speaks S3, `url` is `s3://BUCKET/PREFIX` and this address is its `endpoint`"
        }
        "sftp" | "ssh" | "scp" | "rsync" | "ftp" | "ftps" | "smb" | "cifs" | "nfs" | "dav" | "webdav" | "sshfs" => {
            "dozo does not speak it: mount it on this machine, and write `file:///MOUNT/POINT`"
        }
        "gcs" => "Google Cloud Storage is `gs://BUCKET/PREFIX`",
        "azure" | "azblob" | "abfs" | "abfss" | "wasb" | "wasbs" => "Azure Blob Storage is `az://CONTAINER/PREFIX`",
        "s3a" | "s3n" | "s3c" | "minio" | "b2" | "r2" => {
            "a service that speaks S3 is `s3://BUCKET/PREFIX` with an `endpoint`"
        }
        _ => KNOWN,
    };
    WrongUrl::new(format!("stores of the kind `{scheme}` are not known"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_said() {
        for (text, message, hint) in [
            ("/backup/My Repo #1", "a path, and no URL", "write `file:///backup/My%20Repo%20%231`"),
            ("file:relative", "three `/`", "/relative`"),
            ("file://backup/dozo", "three `/`", "/backup/dozo`"),
            ("file://localhost/backup", "three `/`", "write `file:///backup`"),
            ("backup/dozo", "not a URL", "/backup/dozo`"),
            ("sftp://me@host/x", "kind `sftp`", "mount it"),
            ("me@host:/backup", "kind `ssh`", "mount it"),
            ("http://host:9000/bucket", "kind `http`", "`endpoint`"),
            ("gcs://b/p", "kind `gcs`", "gs://"),
            ("memory://", "kind `memory`", "are known"),
            ("file:///a#b", "behind `?` or `#`", "%23"),
            ("s3://ak:secret@b/p", "does not belong", "credentials"),
        ] {
            let wrong = parse(text).err().unwrap_or_else(|| panic!("{text}"));
            assert!(wrong.message.contains(message), "{text}: {}", wrong.message);
            assert!(wrong.hint.contains(hint) && !wrong.hint.contains("secret"), "{text}: {}", wrong.hint);
        }
        for text in ["file:///a/b%20c", "s3://b/p", "gs://b", "az://c/p"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}
