//! The headers of a request: each is sent as the plugin wrote it, or refused. What frames the message, names the server or
//! belongs to the connection is the host's to say: else a plugin, or who made it send something, could have one request taken
//! for two, or for another server's.

use dozo_job::{Error, Result};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

/// What belongs to the connection and not to the request (RFC 9110, 7.6.1), or to the client.
pub(super) const OURS: [&str; 11] = [
    "host",
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
];

/// The headers, and the length of the body if it is among them.
pub(super) fn fields(given: Vec<(String, Vec<u8>)>) -> Result<(HeaderMap, Option<u64>)> {
    let (mut headers, mut length) = (HeaderMap::new(), None);
    for (name, value) in given {
        let (name, value) = field(&name, &value)?;
        if name == CONTENT_LENGTH {
            let said = number(&value).filter(|_| length.is_none());
            length = Some(said.ok_or_else(|| Error::invalid("`content-length` is to be one number, once"))?);
        }
        headers.try_append(name, value).map_err(|_| Error::invalid("the request has too many headers"))?;
    }
    let ours = HeaderValue::from_static(concat!("dozo/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(ours);
    Ok((headers, length))
}

fn field(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue)> {
    let none = |why: &str| Error::invalid(format!("the header {name:?} cannot be sent: {why}"));
    let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| none("its name has characters that none has"))?;
    if OURS.contains(&known.as_str()) {
        return Err(Error::invalid(format!("the header `{known}` is the host's to set")));
    }
    if known.as_str() != name {
        return Err(none("names are sent in lower case").hinted(format!("the plugin should write `{known}`")));
    }
    // A recipient strips it (RFC 9112, 5.1).
    if value.trim_ascii().len() < value.len() {
        return Err(none("its value has white space at its beginning or end, which would not arrive"));
    }
    let mut value = HeaderValue::from_bytes(value)
        .map_err(|_| none("its value has a control character: an end of line, or another but a tab"))?;
    value.set_sensitive(true);
    Ok((known, value))
}

/// A number in its one canonical form, so that no recipient parses it differently.
fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use dozo_job::Kind;

    use super::*;

    fn one(name: &str, value: &[u8]) -> Result<(HeaderMap, Option<u64>)> {
        fields(vec![(name.into(), value.into())])
    }

    fn refused(given: &[(&str, &[u8])], word: &str) {
        let given = given.iter().map(|(name, value)| ((*name).into(), value.to_vec())).collect();
        let error = fields(given).err().unwrap_or_else(|| panic!("not refused: {word}"));
        let said = format!("{} {:?}", error.chain(), error.hint());
        assert!(error.kind() == Kind::Invalid && said.contains(word) && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn what_frames_a_message_is_the_hosts() {
        for name in OURS {
            refused(&[(name, b"hunter2")], name);
            refused(&[(&name.to_uppercase(), b"hunter2")], name);
        }
        for length in ["+7", "07", "7 7", "7,7", "", "-1", "0x7", "99999999999999999999"] {
            refused(&[("content-length", length.as_bytes())], "one number");
        }
        refused(&[("content-length", b"7"), ("content-length", b"7")], "once");
        assert_eq!(one("content-length", b"7").unwrap().1, Some(7));
    }

    #[test]
    fn what_would_not_arrive_as_it_is_is_refused() {
        for value in ["hunter2\r\nhost: b", "hunter2\n", "hunter2\r", "hunter2\0", "hunter2\x7f", "hunter2\x1b[1m"] {
            refused(&[("x", value.as_bytes())], "\"x\"");
        }
        for value in [" hunter2", "hunter2 ", "\thunter2", "hunter2\t", " "] {
            refused(&[("x", value.as_bytes())], "white space");
        }
        for name in ["", "x y", "x:", "x\r\ny", "ü", "\0", ":path"] {
            refused(&[(name, b"hunter2")], "characters that none has");
        }
        refused(&[("X-Api-Key", b"hunter2")], "`x-api-key`");
    }

    #[test]
    fn the_rest_is_sent_as_it_is() {
        let every: Vec<u8> = (0x21..=0xff).filter(|byte| *byte != 0x7f).chain(*b"\t a").collect();
        for value in [&b""[..], b"a", b"a  b", b"\xff\xfe", &every] {
            assert_eq!(one("x", value).unwrap().0["x"].as_bytes(), value);
        }
        let twice = vec![("x".into(), b"b".to_vec()), ("y".into(), vec![]), ("x".into(), b"a".to_vec())];
        let (headers, _) = fields(twice).unwrap();
        assert!(headers.get_all("x").iter().eq(["b", "a"]));
        assert!(headers["user-agent"].to_str().unwrap().starts_with("dozo/"));
        assert_eq!(one("user-agent", b"mine").unwrap().0["user-agent"], "mine");
    }
}
