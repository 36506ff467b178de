//! Vectors that cannot be typed: documents, which are read beside the frozen repository's own and sealed with its keys,
//! and trailers of packs.

use std::fs;
use std::path::Path;

use age::x25519;
use dozo_repository::format::index::to_body;
use dozo_repository::format::pack::{FrameEntry, append_padded_trailer, append_trailer};
use dozo_repository::{ChunkId, ObjectId, Result};
use serde_json::Value;

use crate::Frozen;

/// Puts a document into a copy of the frozen repository and reads it as the program would. A name that ends with `/` or
/// `-` lacks the document's own id.
pub(crate) async fn read(object: &str, bytes: &[u8]) -> Result<()> {
    let (_dir, copy) = Frozen::copy();
    let id = ObjectId::of(bytes);
    let name = if object.ends_with(['/', '-']) { format!("{object}{id}") } else { object.to_string() };
    let file = copy.store().join(&name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
    let repository = copy.open().await;
    if name.starts_with("keys/") {
        // A key document that is refused is passed over where another one opens.
        let others = copy.objects().into_iter().filter(|other| other.starts_with("keys/") && *other != name);
        others.for_each(|other| fs::remove_file(copy.store().join(other)).unwrap());
        return repository.unlock(&copy.owner()).await.map(|_| ());
    }
    let view = repository.view().await?;
    assert!(view.snapshots().len() >= 3, "{name} took other snapshots with it");
    view.problems().iter().find(|problem| problem.object == name).map_or(Ok(()), |problem| Err(problem.why.clone()))
}

/// Writes the vectors that are not there.
pub(crate) fn write(frozen: &Frozen, folder: &Path) {
    let keys = Keys::read(frozen);
    for (name, expect, object, bytes) in documents(&keys).into_iter().chain(key_documents(&keys)) {
        write_one(&folder.join("document"), name, &format!("expect: {expect}\nobject: {object}\nbytes: hex"), &bytes);
    }
    for (name, expect, bytes) in trailers() {
        write_one(&folder.join("trailer"), name, &format!("expect: {expect}\nbytes: hex"), &bytes);
    }
}

fn write_one(folder: &Path, name: &str, header: &str, bytes: &[u8]) {
    let file = folder.join(format!("{name}.txt"));
    if !file.exists() {
        fs::create_dir_all(folder).unwrap();
        let digits = hex::encode(bytes).into_bytes();
        let lines: Vec<&str> = digits.chunks(120).map(|line| std::str::from_utf8(line).unwrap()).collect();
        fs::write(file, format!("{header}\n\n{}\n", lines.join("\n"))).unwrap();
    }
}

/// The frozen repository's keys, taken from its key files as FORMAT.md section 5 says.
struct Keys {
    document: [u8; 32],
    catalog: x25519::Recipient,
    owner: x25519::Recipient,
    /// The body of its oldest snapshot, and the place of its job.
    snapshot: Value,
    job: String,
    /// The body of its one key document, and what the owner is called in names of objects.
    key: Value,
    owner_name: String,
}

impl Keys {
    fn read(frozen: &Frozen) -> Self {
        let host: Value = serde_json::from_slice(&fs::read(frozen.path("host.key")).unwrap()).unwrap();
        let secret = hex::decode(host["secret"].as_str().unwrap()).unwrap();
        let catalog: x25519::Identity = host["catalog_identity"].as_str().unwrap().parse().unwrap();
        let owner = fs::read_to_string(frozen.path("owner.key")).unwrap();
        let owner: x25519::Identity = owner.lines().last().unwrap().parse().unwrap();
        let objects = frozen.objects();
        let first = |prefix: &str| objects.iter().find(|name| name.starts_with(prefix)).unwrap().as_str();
        let body = |name: &str, identity: &x25519::Identity| -> Value {
            let plain = age::decrypt(identity, &fs::read(frozen.store().join(name)).unwrap()).unwrap();
            serde_json::from_slice(&zstd::decode_all(&plain[..plain.len() - 48]).unwrap()).unwrap()
        };
        let (snapshot, key) = (body(first("snapshots/"), &catalog), body(first("keys/"), &owner));
        let text = |value: &Value| value.as_str().unwrap().to_string();
        Keys {
            document: blake3::derive_key("dozo 2026-11 document mac", &secret),
            catalog: catalog.to_public(),
            owner_name: ObjectId::of(owner.to_public().to_string().as_bytes()).to_string()[..16].to_string(),
            owner: owner.to_public(),
            job: format!("snapshots/{}/{}/", text(&snapshot["host"]["uid"]), text(&snapshot["job"]["uid"])),
            snapshot,
            key,
        }
    }

    fn mac(&self, kind: &str, place: &str, body: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for part in [kind, place] {
            message.extend((part.len() as u64).to_le_bytes());
            message.extend(part.as_bytes());
        }
        blake3::keyed_hash(&self.document, &[&message, body].concat()).as_bytes().to_vec()
    }

    /// A document's plaintext as it should be.
    fn plain(&self, kind: &str, place: &str, body: &[u8]) -> Vec<u8> {
        [frame(body), mac_frame(b"dozo-mac", &self.mac(kind, place, body))].concat()
    }

    fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        age::encrypt(&self.catalog, plain).unwrap()
    }
}

/// A zstd frame with content size and checksum.
fn frame(body: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.include_checksum(true).unwrap();
    compressor.compress(body).unwrap()
}

/// A zstd frame as a stream of unknown length gives it.
fn unsized_frame(body: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_contentsize(false).unwrap();
    std::io::copy(&mut &*body, &mut encoder).unwrap();
    encoder.finish().unwrap()
}

fn skippable(magic: u32, content: &[u8]) -> Vec<u8> {
    [&magic.to_le_bytes(), &(content.len() as u32).to_le_bytes(), content].concat()
}

fn mac_frame(mark: &[u8], mac: &[u8]) -> Vec<u8> {
    skippable(0x184D_2A5D, &[mark, mac].concat())
}

type Document = (&'static str, &'static str, String, Vec<u8>);

const NO_MAC: &str = "refused: authentication code is missing";
const WRONG_MAC: &str = "refused: not written by this repository's hosts, or not for this place";

/// Indexes and snapshots.
fn documents(keys: &Keys) -> Vec<Document> {
    let body = to_body(&[]);
    let (good, mac) = (keys.plain("index", "index/", &body), keys.mac("index", "index/", &body));
    let sealed = keys.sealed(&good);
    let index = |name, expect, plain: &[u8]| (name, expect, "index/".to_string(), keys.sealed(plain));
    let raw = |name, expect, bytes: &[u8]| (name, expect, "index/".to_string(), bytes.to_vec());
    let with = |frame: &[u8]| [frame, &mac_frame(b"dozo-mac", &mac)].concat();
    let mut wrong_checksum = frame(&body);
    *wrong_checksum.last_mut().unwrap() ^= 1;
    let unmeasured = blake3::keyed_hash(&keys.document, &[b"indexindex/".as_slice(), &body].concat());
    let strangers = blake3::keyed_hash(&[7; 32], &[b"indexindex/".as_slice(), &body].concat());
    let other = x25519::Identity::generate().to_public();
    let mut all = vec![
        index("index-ok", "ok", &good),
        index("mac-missing", NO_MAC, &frame(&body)),
        index("mac-alone", "refused: zstd frame names no content size", &with(b"")),
        index("mac-zero", WRONG_MAC, &[frame(&body), mac_frame(b"dozo-mac", &[0; 32])].concat()),
        index(
            "mac-without-lengths",
            WRONG_MAC,
            &[frame(&body), mac_frame(b"dozo-mac", unmeasured.as_bytes())].concat(),
        ),
        index("mac-of-a-stranger", WRONG_MAC, &[frame(&body), mac_frame(b"dozo-mac", strangers.as_bytes())].concat()),
        index("mac-of-another-kind", WRONG_MAC, &keys.plain("record", "index/", &body)),
        index("mac-of-another-place", WRONG_MAC, &keys.plain("index", "index", &body)),
        index("mac-of-another-body", WRONG_MAC, &with(&frame(&[body.as_slice(), b"\n"].concat()))),
        index("mac-frame-of-another-mark", NO_MAC, &[frame(&body), mac_frame(b"dozo-MAC", &mac)].concat()),
        index(
            "mac-frame-of-another-magic",
            NO_MAC,
            &[&frame(&body), &skippable(0x184D_2A5E, &good[good.len() - 40..])[..]].concat(),
        ),
        index("mac-frame-too-short", NO_MAC, &[frame(&body), mac_frame(b"dozo-mac", &mac[..31])].concat()),
        index(
            "mac-frame-too-long",
            NO_MAC,
            &[frame(&body), mac_frame(b"dozo-mac", &[&mac[..], &[0]].concat())].concat(),
        ),
        index("mac-frame-first", NO_MAC, &[mac_frame(b"dozo-mac", &mac), frame(&body)].concat()),
        index("byte-behind-the-mac", NO_MAC, &[good.as_slice(), &[0]].concat()),
        index("frame-twice", "refused: does not fill its place", &with(&frame(&body).repeat(2))),
        index("frame-cut-off", "refused: damaged or cut off", &with(&frame(&body)[..20])),
        index("frame-without-size", "refused: names no content size", &with(&unsized_frame(&body))),
        index("frame-with-wrong-checksum", "refused: does not decode", &with(&wrong_checksum)),
        index("not-compressed", "refused: names no content size", &with(&body)),
        index("body-without-end", "refused: cut off", &keys.plain("index", "index/", &body[..body.len() - 1])),
        index("empty-plaintext", NO_MAC, b""),
        raw("empty-object", "refused: not an age file", b""),
        raw("not-encrypted", "refused: not an age file", &good),
        raw("age-armored", "refused: not an age file", &armored(keys, &good)),
        raw("age-cut-off", "refused: changed, or ends early", &sealed[..sealed.len() - 1]),
        raw("age-header-cut-off", "refused: not an age file, or its header is damaged", &sealed[..100]),
        raw("age-with-a-byte-behind", "refused: changed, or ends early", &[sealed.as_slice(), &[0]].concat()),
        raw("sealed-to-another", "refused: sealed to other keys", &age::encrypt(&other, &good).unwrap()),
    ];
    let elsewhere = format!("index/{}", ObjectId::of(b""));
    all.push(("name-is-not-the-digest", "refused: not have the digest that it is named by", elsewhere, sealed));
    all.extend(snapshots(keys));
    all
}

/// The form of age files that is text, which no object has.
fn armored(keys: &Keys, plain: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(keys.sealed(plain)).into_bytes();
    let lines: Vec<&[u8]> = text.chunks(64).collect();
    [b"-----BEGIN AGE ENCRYPTED FILE-----\n", &lines.join(&b'\n')[..], b"\n-----END AGE ENCRYPTED FILE-----\n"].concat()
}

/// Snapshots that are well formed and do not belong where they lie, or are not for this version.
fn snapshots(keys: &Keys) -> Vec<Document> {
    let of = |change: &[(&str, Value)]| {
        let mut body = keys.snapshot.clone();
        body["started"] = "2026-12-01T00:00:00.25Z".into();
        change.iter().for_each(|(field, value)| *body.pointer_mut(field).unwrap() = value.clone());
        serde_json::to_vec(&body).unwrap()
    };
    let place = format!("{}20261201T000000Z-", keys.job);
    let later = format!("{}20261201T000001Z-", keys.job);
    let at = |name, expect, place: &str, body: &[u8]| {
        let kind = place.split('/').next().unwrap_or_default().trim_end_matches('s');
        (name, expect, place.to_string(), keys.sealed(&keys.plain(kind, place, body)))
    };
    let elsewhere = "refused: does not belong where it lies";
    vec![
        at("snapshot-ok", "ok", &place, &of(&[])),
        at("snapshot-of-another-time", elsewhere, &later, &of(&[])),
        at("snapshot-of-another-host", elsewhere, &place, &of(&[("/host/uid", "0123456789abcdef".into())])),
        at("snapshot-of-another-job", elsewhere, &place, &of(&[("/job/uid", "0".repeat(32).into())])),
        at("snapshot-of-another-schema", "refused: has schema", &place, &of(&[("/schema", "dozo/snapshot/2".into())])),
        at(
            "snapshot-with-a-feature",
            "refused: needs the feature `cold`",
            &place,
            &of(&[("/features", vec!["cold"].into())]),
        ),
        ("snapshot-moved", WRONG_MAC, later, keys.sealed(&keys.plain("snapshot", &place, &of(&[])))),
        at("snapshot-as-an-index", "refused: has schema", "index/", &[of(&[]), b"\n".to_vec()].concat()),
        ("snapshot-mac-of-an-index", WRONG_MAC, place.clone(), keys.sealed(&keys.plain("index", &place, &of(&[])))),
    ]
}

/// Key documents of a second epoch, beside the one that is there.
fn key_documents(keys: &Keys) -> Vec<Document> {
    let place = format!("keys/2-{}", keys.owner_name);
    let of = |change: &[(&str, Value)]| {
        let mut body = keys.key.clone();
        body["epoch"] = 2.into();
        change.iter().for_each(|(field, value)| body[*field] = value.clone());
        serde_json::to_vec(&body).unwrap()
    };
    let seal = |plain: &[u8]| age::encrypt(&keys.owner, plain).unwrap();
    let at = |name, expect, body: &[u8]| (name, expect, format!("{place}.age"), seal(&keys.plain("key", &place, body)));
    let raw = |name, expect, plain: &[u8]| (name, expect, format!("{place}.age"), seal(plain));
    let (body, other) = (of(&[]), "refused: belongs to another repository");
    let stranger = blake3::derive_key("dozo 2026-11 repository id", &[9; 32]);
    vec![
        at("key-ok", "ok", &body),
        at("key-of-another-repository", other, &of(&[("repository", hex::encode(stranger).into())])),
        at("key-with-another-secret", other, &of(&[("secret", hex::encode([9; 32]).into())])),
        at("key-with-half-a-secret", "refused: not 64 hex digits", &of(&[("secret", "09".into())])),
        at(
            "key-with-a-bad-identity",
            "refused: data identity cannot be read",
            &of(&[("data_identity", "AGE-SECRET-KEY-1X".into())]),
        ),
        at("key-of-another-schema", "refused: has schema", &of(&[("schema", "dozo/key/2".into())])),
        at("key-too-long", "refused: more than 65536", &of(&[("owner", "x".repeat(66_000).into())])),
        raw("key-without-mac", NO_MAC, &frame(&body)),
        raw("key-mac-of-another-epoch", WRONG_MAC, &keys.plain("key", &format!("keys/3-{}", keys.owner_name), &body)),
        raw("key-mac-of-an-index", WRONG_MAC, &keys.plain("index", &place, &body)),
    ]
}

/// Plaintexts of packs; the frames before the trailer are not looked at here.
fn trailers() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let one = |bytes, chunks: &[u32]| FrameEntry {
        bytes,
        chunks: chunks.iter().enumerate().map(|(n, length)| (ChunkId([n as u8; 32]), *length)).collect(),
    };
    let with = |frames: &[FrameEntry]| {
        let mut plain = b"frame and frame".to_vec();
        append_trailer(&mut plain, frames).unwrap();
        plain
    };
    let mut padded = b"frame and frame".to_vec();
    append_padded_trailer(&mut padded, &[one(15, &[100])]).unwrap();
    let good = with(&[one(5, &[100]), one(10, &[1, 2, 3])]);
    let around = |content: &[u8], length: u32| {
        skippable(0x184D_2A5E, &[content, &length.to_le_bytes(), b"dozopack".as_slice()].concat())
    };
    let json = |text: &str| around(&frame(text.as_bytes()), frame(text.as_bytes()).len() as u32);
    let stream = unsized_frame(br#"{"schema":"dozo/pack/1","frames":[]}"#);
    let limits = "refused: do not fit its length or the limits";
    vec![
        ("ok", "ok", good.clone()),
        ("ok-padded", "ok", padded),
        ("ok-without-frames", "ok", with(&[])),
        ("cut-off", "refused: is missing", good[..good.len() - 1].to_vec()),
        ("byte-behind", "refused: is missing", [good.as_slice(), &[0]].concat()),
        ("end-mark-alone", "refused: is cut off", b"dozopack".to_vec()),
        ("longer-than-the-pack", "refused: is longer than the pack", around(b"", 9)),
        ("shorter-than-it-says", "refused: does not decode", around(&frame(b"{}"), 3)),
        ("not-compressed", "refused: does not decode", around(b"{}", 2)),
        ("without-size", "refused: names no content size", around(&stream, stream.len() as u32)),
        ("empty", "refused: is missing", b"".to_vec()),
        ("another-schema", "refused: has schema", json(r#"{"schema":"dozo/pack/2","frames":[]}"#)),
        ("without-schema", "refused: not well formed", json(r#"{"frames":[]}"#)),
        ("without-list-of-frames", "refused: not well formed", json(r#"{"schema":"dozo/pack/1"}"#)),
        ("frames-beyond-the-pack", limits, with(&[one(5_000, &[100])])),
        ("frame-without-chunks", limits, with(&[one(5, &[])])),
        ("chunk-beyond-the-limit", limits, with(&[one(5, &[(4 << 20) + 1])])),
        ("frame-beyond-the-limit", limits, with(&[one(5, &[4 << 20, 4 << 20, 1])])),
    ]
}
