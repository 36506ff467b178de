//! Who asks S3: the usual places of credentials, in the usual order. Knows the names of variables and the format of the
//! credentials file.

use std::path::{Path, PathBuf};

use dozo_repository::{Error, S3Credentials};
use zeroize::Zeroizing;

/// A variable of the environment; an empty one is none.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A longer credentials file is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the configuration says about the credentials file.
pub(super) struct Profile {
    pub(super) name: Option<String>,
    pub(super) file: Option<PathBuf>,
}

/// Credentials, and the region that stands beside them.
pub(super) struct Found {
    pub(super) credentials: S3Credentials,
    pub(super) region: Option<String>,
}

/// The address of another service than Amazon's.
pub(super) fn endpoint(env: Environment<'_>) -> Option<String> {
    env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL"))
}

/// The same of this process's environment.
pub(crate) fn endpoint_of_environment() -> Option<String> {
    endpoint(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The region of the environment.
pub(super) fn region(env: Environment<'_>) -> Option<String> {
    env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION"))
}

/// Looks in all places. None if there are none, and only a machine's role is left.
pub(super) fn find(profile: &Profile, env: Environment<'_>) -> Result<Option<Found>, Error> {
    let region = region(env);
    if profile.name.is_some() || profile.file.is_some() {
        return from_file(profile, env).map(|found| Some(with_region(found, region)));
    }
    if let Some(access_key) = env("AWS_ACCESS_KEY_ID") {
        let Some(secret_key) = env("AWS_SECRET_ACCESS_KEY") else {
            return Err(Error::invalid("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"));
        };
        let session_token = env("AWS_SESSION_TOKEN").map(Into::into);
        let keys = S3Credentials::Keys { access_key: access_key.into(), secret_key: secret_key.into(), session_token };
        return Ok(Some(Found { credentials: keys, region }));
    }
    if let (Some(token_file), Some(role)) = (env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN")) {
        return Ok(Some(Found { credentials: S3Credentials::WebIdentity { token_file, role }, region }));
    }
    if env("AWS_PROFILE").is_some() || default_file(env).is_some_and(|file| file.exists()) {
        return from_file(profile, env).map(|found| Some(with_region(found, region)));
    }
    let container = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    Ok(container.map(|relative_uri| Found { credentials: S3Credentials::Container { relative_uri }, region }))
}

/// The environment's region goes before the file's.
fn with_region(found: Found, region: Option<String>) -> Found {
    Found { region: region.or(found.region), ..found }
}

fn default_file(env: Environment<'_>) -> Option<PathBuf> {
    let named = env("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    named.or_else(|| Some(Path::new(&env("HOME")?).join(".aws/credentials")))
}

fn from_file(profile: &Profile, env: Environment<'_>) -> Result<Found, Error> {
    let name = profile.name.clone().or_else(|| env("AWS_PROFILE")).unwrap_or_else(|| "default".into());
    let Some(file) = profile.file.clone().or_else(|| default_file(env)) else {
        return Err(Error::invalid("there is no HOME in which a credentials file could be"));
    };
    let what = format!("read the profile `{name}` from {}", file.display());
    let failed = |e| Error::io(what.clone(), e);
    if std::fs::metadata(&file).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(Error::invalid(format!("{what}: it is too long")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(&file).map_err(failed)?);
    let value = |key: &str| in_section(&text, &name, key);
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(access_key), Some(secret_key)) => {
            let session_token = value("aws_session_token").map(Into::into);
            let (access_key, secret_key) = (access_key.into(), secret_key.into());
            let credentials = S3Credentials::Keys { access_key, secret_key, session_token };
            Ok(Found { credentials, region: value("region") })
        }
        _ => Err(Error::invalid(format!("{what}: it has no aws_access_key_id and aws_secret_access_key")).hinted(
            "`secret_key = { command = […] }` in [repository.s3] asks a program, where the keys are elsewhere",
        )),
    }
}

/// The value of a key in a section of such a file.
fn in_section(text: &str, section: &str, key: &str) -> Option<String> {
    let header = |line: &str| line.strip_prefix('[')?.split(']').next().map(|name| name.trim().to_string());
    let lines = text.lines().map(str::trim).skip_while(|line| header(line).as_deref() != Some(section));
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    let mut values = lines.filter(|line| !line.starts_with(['#', ';'])).filter_map(|line| line.split_once('='));
    let (_, value) = values.find(|(name, _)| name.trim() == key)?;
    Some(value.trim().to_string()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dozo_job::Kind;

    const FILE: &str = "# mine\n[default]\naws_access_key_id = AKONE\naws_secret_access_key=one/+=\n\n[other]\n\
                        aws_access_key_id=AKTWO\naws_secret_access_key = two\naws_session_token = t\nregion = eu-west-1\n\
                        [half]\naws_access_key_id = AKHALF\n";

    fn key(found: &Found) -> String {
        match &found.credentials {
            S3Credentials::Keys { .. } => format!("keys, {:?}", found.region),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_credentials_file_is_read_by_section() {
        assert_eq!(in_section(FILE, "default", "aws_secret_access_key").as_deref(), Some("one/+="));
        assert_eq!(in_section(FILE, "other", "aws_access_key_id").as_deref(), Some("AKTWO"));
        assert_eq!(in_section(FILE, "default", "aws_session_token"), None, "that of another section");
        assert_eq!(in_section(FILE, "missing", "region"), None);
    }

    #[test]
    fn places_are_asked_in_order() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("keys");
        std::fs::write(&file, FILE).unwrap();
        let home = home.path().display().to_string();
        let ask = |profile: Option<&str>, file: Option<&Path>, variables: &[(&str, &str)]| {
            let env = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string());
                found.or_else(|| (name == "HOME").then(|| home.clone()))
            };
            find(&Profile { name: profile.map(Into::into), file: file.map(Into::into) }, &env)
        };
        let keys = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "here")];
        assert!(ask(None, None, &[]).unwrap().is_none(), "nothing anywhere");
        assert_eq!(key(&ask(None, None, &keys).unwrap().unwrap()), "keys, Some(\"here\")");
        let named = ask(Some("other"), Some(&file), &[]).unwrap().unwrap();
        assert_eq!(key(&named), "keys, Some(\"eu-west-1\")");
        let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "r")];
        assert!(key(&ask(None, None, &identity).unwrap().unwrap()).starts_with("WebIdentity"));
        assert_eq!(ask(None, None, &keys[..1]).err().unwrap().kind(), Kind::Invalid);
        assert_eq!(ask(Some("half"), Some(&file), &[]).err().unwrap().kind(), Kind::Invalid);
        assert_eq!(ask(Some("missing"), Some(&file), &[]).err().unwrap().kind(), Kind::Invalid);
    }
}
