//! The server's own list of the files of a base backup (PostgreSQL, "Backup Manifest Format"), in versions 1 and 2.
//!
//! It can have a million lines. They are read twice, to see that they are in order and to compare, and never held.

use std::collections::HashMap;
use std::fmt;

use dozo_sdk::{Error, Result};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::lsn::Lsn;

/// The only algorithm that is asked of the server.
const ALGORITHM: &str = "CRC32C";

/// A manifest that is whole.
#[derive(Debug)]
pub(crate) struct Manifest<'a> {
    bytes: &'a [u8],
    /// Of the cluster; servers before version 17 do not tell.
    pub(crate) system_identifier: Option<u64>,
    /// What WAL it takes to make the files consistent, newest timeline first.
    pub(crate) wal_ranges: Vec<WalRange>,
}

/// A part of the WAL.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct WalRange {
    #[serde(rename = "Timeline")]
    pub(crate) timeline: u32,
    #[serde(rename = "Start-LSN")]
    pub(crate) start: Lsn,
    #[serde(rename = "End-LSN")]
    pub(crate) end: Lsn,
}

impl<'a> Manifest<'a> {
    /// Reads a manifest, and holds it against its own checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is damaged, [`Error::Unsupported`] if it is of another version.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let head = read(bytes, |_| {})?;
        if !matches!(head.version, 1 | 2) {
            return Err(Error::Unsupported(format!("the server's manifest is of version {}", head.version)));
        }
        // All lines but the last, which has the checksum.
        let lines = bytes.strip_suffix(b"\n").and_then(|lines| lines.iter().rposition(|byte| *byte == b'\n'));
        let digest = lines.map(|end| Sha256::digest(&bytes[..=end]));
        if digest.is_none_or(|digest| unhex(&head.checksum).as_deref() != Some(digest.as_slice())) {
            return Err(Error::Corrupt("the server's manifest does not have the checksum that it says".into()));
        }
        Ok(Manifest { bytes, system_identifier: head.system_identifier, wal_ranges: head.wal_ranges })
    }

    /// Holds size and CRC-32C of each file that came, by its path, against the list.
    ///
    /// # Errors
    /// [`Error::Corrupt`] that names a file that is not as listed, not there, or not listed. The manifest itself and WAL need not
    /// be.
    pub(crate) fn compare(&self, mut seen: HashMap<Vec<u8>, (u64, u32)>) -> Result<()> {
        let mut result = Ok(());
        read(self.bytes, |file| {
            if result.is_ok() {
                result = file.compare(&mut seen);
            }
        })?;
        result?;
        match seen.keys().filter(|path| !may_be_unlisted(path)).min() {
            Some(path) => {
                Err(Error::Corrupt(format!("{} came, and the server's manifest does not list it", shown(path))))
            }
            None => Ok(()),
        }
    }
}

/// Whether the server lists no such files.
fn may_be_unlisted(path: &[u8]) -> bool {
    path == b"backup_manifest" || path.starts_with(b"pg_wal/")
}

/// A line of the list.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(rename = "Path")]
    path: Option<String>,
    /// In hexadecimal, if it is not UTF-8.
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<&'a str>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<&'a str>,
    /// In hexadecimal, as the number lies in the server's memory: its low byte first.
    #[serde(rename = "Checksum")]
    checksum: Option<&'a str>,
}

impl File<'_> {
    /// Takes the file out of what was seen.
    fn compare(&self, seen: &mut HashMap<Vec<u8>, (u64, u32)>) -> Result<()> {
        let path = self.path()?;
        let wrong = |what: &str| Err(Error::Corrupt(format!("{} {what}", shown(&path))));
        let Some((size, crc)) = seen.remove(&path) else {
            return wrong("is in the server's manifest, and did not come (or is listed twice)");
        };
        if size != self.size {
            return wrong(&format!("has {size} bytes, and {} in the server's manifest", self.size));
        }
        let Some(listed) = self.crc() else {
            return wrong("has no CRC-32C in the server's manifest");
        };
        if crc != listed {
            return wrong(&format!("has the CRC-32C {crc:08x}, and {listed:08x} in the server's manifest"));
        }
        Ok(())
    }

    fn path(&self) -> Result<Vec<u8>> {
        let path = match (&self.path, self.encoded_path) {
            (Some(path), None) => Some(path.clone().into_bytes()),
            (None, Some(path)) => unhex(path),
            _ => None,
        };
        path.ok_or_else(|| Error::Corrupt("the server's manifest has a file without a path".into()))
    }

    fn crc(&self) -> Option<u32> {
        let bytes = unhex(self.checksum.filter(|_| self.algorithm == Some(ALGORITHM))?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// A path as it stands in messages.
fn shown(path: &[u8]) -> String {
    format!("`{}`", path.escape_ascii())
}

/// The bytes of hexadecimal digits.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// What a manifest says beside the list.
#[derive(Default)]
struct Head {
    version: u64,
    system_identifier: Option<u64>,
    wal_ranges: Vec<WalRange>,
    checksum: String,
}

/// Reads a manifest, handing on each file of its list.
fn read<'a>(bytes: &'a [u8], each: impl FnMut(File<'a>)) -> Result<Head> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let head = json.deserialize_map(Top(each)).and_then(|head| json.end().map(|()| head));
    head.map_err(|e| Error::Corrupt(format!("the server's manifest cannot be read: {e}")))
}

/// The manifest as JSON.
struct Top<F>(F);

impl<'de, F: FnMut(File<'de>)> Visitor<'de> for Top<F> {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Head, A::Error> {
        let mut head = Head::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "PostgreSQL-Backup-Manifest-Version" => head.version = map.next_value()?,
                // Whatever another version has, it is not for us: it stands first.
                _ if !matches!(head.version, 1 | 2) => drop(map.next_value::<IgnoredAny>()?),
                "System-Identifier" => head.system_identifier = map.next_value()?,
                "Files" => map.next_value_seed(List(&mut self.0))?,
                "WAL-Ranges" => head.wal_ranges = map.next_value()?,
                "Manifest-Checksum" => head.checksum = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(head)
    }
}

/// The list of files in it.
struct List<F>(F);

impl<'de, F: FnMut(File<'de>)> DeserializeSeed<'de> for List<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> Result<(), D::Error> {
        list.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(File<'de>)> Visitor<'de> for List<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut files: A) -> Result<(), A::Error> {
        while let Some(file) = files.next_element()? {
            (self.0)(file);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As PostgreSQL 17.11 wrote it, with fewer files.
    const LINES: &str = r#"{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": 7712608706123638404,
"Files": [
{ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2026-11-26 22:20:49 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "64440205" },
{ "Path": "a \"b\"\u0001", "Size": 0, "Last-Modified": "2026-11-26 22:20:49 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" },
{ "Encoded-Path": "62617365ff", "Size": 8192, "Last-Modified": "2026-11-26 22:20:49 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "0102030a" }
],
"WAL-Ranges": [
{ "Timeline": 2, "Start-LSN": "0/9000028", "End-LSN": "1/9000120" },
{ "Timeline": 1, "Start-LSN": "0/8000028", "End-LSN": "0/9000028" }
],
"#;

    /// With the checksum that belongs to it.
    fn sealed(lines: &str) -> String {
        let digest = Sha256::digest(lines).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{lines}\"Manifest-Checksum\": \"{digest}\"}}\n")
    }

    fn seen() -> HashMap<Vec<u8>, (u64, u32)> {
        let files =
            [(&b"PG_VERSION"[..], (3, 0x0502_4464)), (b"a \"b\"\x01", (0, 0)), (b"base\xff", (8192, 0x0A03_0201))];
        files.into_iter().map(|(path, facts)| (path.to_vec(), facts)).collect()
    }

    fn refused(lines: &str, seen: HashMap<Vec<u8>, (u64, u32)>) -> String {
        let text = sealed(lines);
        let result = Manifest::parse(text.as_bytes()).and_then(|manifest| manifest.compare(seen));
        result.expect_err("it is wrong").message().to_string()
    }

    #[test]
    fn a_manifest_is_read_and_compared() {
        let text = sealed(LINES);
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.system_identifier, Some(7_712_608_706_123_638_404));
        let range = |timeline, start, end| WalRange { timeline, start: Lsn(start), end: Lsn(end) };
        let ranges = [range(2, 0x900_0028, 0x1_0900_0120), range(1, 0x800_0028, 0x900_0028)];
        assert_eq!(manifest.wal_ranges, ranges);
        manifest.compare(seen()).unwrap();
        let mut more = seen();
        more.insert(b"backup_manifest".to_vec(), (1, 1));
        more.insert(b"pg_wal/000000010000000000000009".to_vec(), (1, 1));
        manifest.compare(more).unwrap();
    }

    #[test]
    fn version_1_has_no_system_identifier() {
        let lines =
            LINES.replace("Version\": 2", "Version\": 1").replace("\"System-Identifier\": 7712608706123638404,\n", "");
        let text = sealed(&lines);
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.system_identifier, None);
        manifest.compare(seen()).unwrap();
    }

    #[test]
    fn other_versions_are_refused_whatever_they_hold() {
        let text = sealed("{ \"PostgreSQL-Backup-Manifest-Version\": 3,\n\"Files\": { \"x\": [] },\n");
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(&error, Error::Unsupported(what) if what.contains("version 3")), "{error:?}");
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let text = sealed(LINES).into_bytes();
        for byte in 0..text.len() {
            let mut text = text.clone();
            text[byte] ^= 1;
            let error = Manifest::parse(&text).err();
            assert!(matches!(error, Some(Error::Corrupt(_) | Error::Unsupported(_))), "byte {byte}");
        }
        for len in 0..text.len() {
            assert!(Manifest::parse(&text[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let with = |path: &[u8], facts: Option<(u64, u32)>| {
            let mut seen = seen();
            match facts {
                Some(facts) => seen.insert(path.to_vec(), facts),
                None => seen.remove(path),
            };
            refused(LINES, seen)
        };
        assert_eq!(with(b"PG_VERSION", Some((4, 0))), "`PG_VERSION` has 4 bytes, and 3 in the server's manifest");
        assert_eq!(
            with(b"PG_VERSION", Some((3, 1))),
            "`PG_VERSION` has the CRC-32C 00000001, and 05024464 in the server's manifest"
        );
        assert_eq!(
            with(b"base\xff", None),
            r"`base\xff` is in the server's manifest, and did not come (or is listed twice)"
        );
        assert_eq!(with(b"more", Some((0, 0))), "`more` came, and the server's manifest does not list it");
        assert!(with(b"pg_wal", Some((0, 0))).contains("does not list"));
    }

    #[test]
    fn a_list_that_vouches_for_nothing_is_refused() {
        let none = LINES.replace(", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"64440205\"", "");
        assert_eq!(refused(&none, seen()), "`PG_VERSION` has no CRC-32C in the server's manifest");
        for (from, to) in [
            ("CRC32C\", \"Checksum\": \"64", "SHA256\", \"Checksum\": \"64"),
            ("64440205", "644402"),
            ("64440205", "6444020g"),
        ] {
            assert_eq!(
                refused(&LINES.replace(from, to), seen()),
                "`PG_VERSION` has no CRC-32C in the server's manifest"
            );
        }
        let twice = LINES.replace("a \\\"b\\\"\\u0001", "PG_VERSION");
        assert!(refused(&twice, seen()).contains("listed twice"));
        assert!(refused(&LINES.replace("Encoded-Path", "Decoded-Path"), seen()).contains("without a path"));
        assert!(refused(&LINES.replace("62617365ff", "62617365f"), seen()).contains("without a path"));
        assert!(refused(&LINES.replace("0/9000028", "9000028"), seen()).contains("no position in the WAL"));
    }

    proptest! {
        #[test]
        fn nothing_panics(damage in prop::collection::vec((0..LINES.len(), any::<u8>()), 1..9), random: Vec<u8>) {
            let mut lines = LINES.as_bytes().to_vec();
            damage.into_iter().for_each(|(at, byte)| lines[at] = byte);
            let text = sealed(&String::from_utf8_lossy(&lines));
            if let Ok(manifest) = Manifest::parse(text.as_bytes()) {
                let _ = manifest.compare(seen());
            }
            let _ = Manifest::parse(&random);
        }
    }
}
