//! Manifests that are whole, and others.

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

/// Files in the order in which they came.
type Files<'a> = Vec<(&'a [u8], u64, u32)>;

fn files() -> Files<'static> {
    vec![(b"PG_VERSION", 3, 0x0502_4464), (b"a \"b\"\x01", 0, 0), (b"base\xff", 8192, 0x0A03_0201)]
}

/// Reads a manifest that comes in pieces of a length.
fn read(text: &[u8], files: &Files<'_>, piece: usize) -> Result<Manifest> {
    let mut came = Came::default();
    files.iter().for_each(|(path, size, crc)| came.push(path, *size, *crc));
    let mut reader = Reader::new(came);
    text.chunks(piece.max(1)).try_for_each(|bytes| reader.feed(bytes))?;
    reader.finish()
}

fn refused(lines: &str, files: &Files<'_>) -> String {
    read(sealed(lines).as_bytes(), files, 100).expect_err("it is wrong").message().to_string()
}

#[test]
fn a_manifest_is_read_and_compared() {
    let text = sealed(LINES);
    for piece in [1, 7, 100, text.len()] {
        let manifest = read(text.as_bytes(), &files(), piece).unwrap();
        assert_eq!(manifest.system_identifier, Some(7_712_608_706_123_638_404));
        let range = |timeline, start, end| WalRange { timeline, start: Lsn(start), end: Lsn(end) };
        let ranges = [range(2, 0x900_0028, 0x1_0900_0120), range(1, 0x800_0028, 0x900_0028)];
        assert_eq!(manifest.wal_ranges, ranges);
    }
    let mut more = files();
    more.insert(1, (b"backup_manifest", 1, 1));
    more.push((b"pg_wal/000000010000000000000009", 1, 1));
    read(text.as_bytes(), &more, 100).unwrap();
}

#[test]
fn version_1_has_no_system_identifier() {
    let lines =
        LINES.replace("Version\": 2", "Version\": 1").replace("\"System-Identifier\": 7712608706123638404,\n", "");
    let manifest = read(sealed(&lines).as_bytes(), &files(), 100).unwrap();
    assert_eq!(manifest.system_identifier, None);
}

#[test]
fn other_versions_are_refused_whatever_they_hold() {
    let text = sealed("{ \"PostgreSQL-Backup-Manifest-Version\": 3,\n\"Files\": { \"x\": [] },\n");
    let error = read(text.as_bytes(), &files(), 100).unwrap_err();
    assert!(matches!(&error, Error::Unsupported(what) if what.contains("version 3")), "{error:?}");
}

#[test]
fn any_changed_byte_is_seen() {
    let text = sealed(LINES).into_bytes();
    for byte in 0..text.len() {
        let mut text = text.clone();
        text[byte] ^= 1;
        let error = read(&text, &files(), 1000).err();
        assert!(matches!(error, Some(Error::Corrupt(_) | Error::Unsupported(_))), "byte {byte}");
    }
    for len in 0..text.len() {
        assert!(read(&text[..len], &files(), 1000).is_err(), "{len} bytes");
    }
    assert!(read(&[&text[..], b"x"].concat(), &files(), 1000).is_err());
    assert!(read(&[&text[..], b"\n"].concat(), &files(), 1000).is_err());
}

#[test]
fn what_differs_is_named() {
    let with = |change: &dyn Fn(&mut Files<'static>)| {
        let mut files = files();
        change(&mut files);
        refused(LINES, &files)
    };
    assert_eq!(with(&|files| files[0].1 = 4), "`PG_VERSION` has 4 bytes, and 3 in the server's manifest");
    assert_eq!(
        with(&|files| files[0].2 = 1),
        "`PG_VERSION` has the CRC-32C 00000001, and 05024464 in the server's manifest"
    );
    let gone = "is in the server's manifest, and did not come (or is listed twice)";
    assert_eq!(with(&|files| files.truncate(2)), format!(r"`base\xff` {gone}"));
    assert_eq!(with(&|files| files.retain(|file| file.1 != 3)), format!("`PG_VERSION` {gone}"));
    for at in 0..=3 {
        let named = with(&|files| files.insert(at, (b"more", 0, 0)));
        assert_eq!(named, "`more` came, and the server's manifest does not list it", "{at}");
    }
    assert!(with(&|files| files.push((b"pg_wal", 0, 0))).contains("does not list"));
}

#[test]
fn a_list_that_vouches_for_nothing_is_refused() {
    let none = LINES.replace(", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"64440205\"", "");
    assert_eq!(refused(&none, &files()), "`PG_VERSION` has no CRC-32C in the server's manifest");
    for (from, to) in [
        ("CRC32C\", \"Checksum\": \"64", "SHA256\", \"Checksum\": \"64"),
        ("64440205", "644402"),
        ("64440205", "6444020g"),
    ] {
        let refused = refused(&LINES.replace(from, to), &files());
        assert_eq!(refused, "`PG_VERSION` has no CRC-32C in the server's manifest");
    }
    let twice = LINES.replace("a \\\"b\\\"\\u0001", "PG_VERSION");
    assert!(refused(&twice, &files()).contains("listed twice"));
    assert!(refused(&LINES.replace("Encoded-Path", "Decoded-Path"), &files()).contains("without a path"));
    assert!(refused(&LINES.replace("62617365ff", "62617365f"), &files()).contains("without a path"));
    assert!(refused(&LINES.replace("0/9000028", "9000028"), &files()).contains("no position in the WAL"));
}

/// More than a piece holds, so that they lie in several.
#[test]
fn many_files_are_compared_in_order() {
    let paths: Vec<String> = (0..10_000).map(|number| format!("base/5/{number}")).collect();
    let line = |path: &String| {
        format!(
            "{{ \"Path\": \"{path}\", \"Size\": 7, \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"01000000\" }}"
        )
    };
    let listed = paths.iter().map(line).collect::<Vec<_>>().join(",\n");
    let (before, rest) = LINES.split_once("[\n").unwrap();
    let behind = rest.split_once("],\n").unwrap().1;
    let lines = format!("{before}[\n{listed}\n],\n{behind}");
    let mut files: Files<'_> = paths.iter().map(|path| (path.as_bytes(), 7, 1)).collect();
    read(sealed(&lines).as_bytes(), &files, 1 << 17).unwrap();
    files.remove(9_000);
    assert!(refused(&lines, &files).starts_with("`base/5/9000` is in the server's manifest"));
}

proptest! {
    #[test]
    fn nothing_panics(damage in prop::collection::vec((0..LINES.len(), any::<u8>()), 1..9), random: Vec<u8>) {
        let mut lines = LINES.as_bytes().to_vec();
        damage.into_iter().for_each(|(at, byte)| lines[at] = byte);
        let text = sealed(&String::from_utf8_lossy(&lines));
        let _ = read(text.as_bytes(), &files(), 64);
        let _ = read(&random, &files(), 3);
    }
}
