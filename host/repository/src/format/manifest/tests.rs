//! Lines of a manifest, good and bad.

use super::*;
use crate::format::any;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

fn entry(path: &str) -> StoredEntry {
    let chunk = ChunkId([9; 32]);
    StoredEntry {
        entry: Entry {
            size: Some(30),
            modified: Some(Time { seconds: -1, nanoseconds: 500_000_000 }),
            version: Some("1700000000.5:77".into()),
            posix: Some(Posix {
                mode: 0o4755,
                uid: 1,
                gid: 2,
                user: Some("me".into()),
                group: None,
                xattrs: vec![("user.a".into(), vec![0, 255])],
                links: 2,
                sparse: true,
            }),
            attributes: vec![("table".into(), "x\"y".into())],
            ..Entry::file(path)
        },
        content: Content::Inline(vec![
            Extent { chunk, offset: 0, length: 10 },
            Extent { chunk, offset: 5, length: 20 },
        ]),
    }
}

fn read(line: &[u8]) -> Result<StoredEntry> {
    match parse_line(line)? {
        ParsedLine::Entry(entry) => Ok(*entry),
        _ => panic!("not an entry"),
    }
}

#[test]
fn an_entry_comes_back_from_one_line() {
    let line = to_line(&entry("a/b%0A")).unwrap();
    assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
    assert_eq!(read(line.trim_ascii_end()).unwrap(), entry("a/b%0A"));
}

#[test]
fn lines_that_lie_are_refused() {
    let good = String::from_utf8(to_line(&entry("a/b")).unwrap()).unwrap();
    let good = good.trim_end();
    for (from, to) in [
        ("a/b", "../b"),
        ("a/b", "/b"),
        (r#""size":"30""#, r#""size":"31""#),
        (r#""size":"30""#, r#""size":"030""#),
        (r#""size":"30""#, r#""size":30"#),
        ("\"file\"", "\"symlink\""),
        ("\"file\"", "\"thing\""),
        ("\"file\"", "\"hardlink\",\"target\":\"../b\""),
        (",0,10]", ",4194300,10]"),
        (",0,10]", ",0,0]"),
        ("\"4755\"", "\"9755\""),
        ("\"4755\"", "\"+755\""),
        ("-0.5", "-0.55"),
        ("-0.5", "--0.5"),
        (r#""uid":1,"#, ""),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(read(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
    }
}

#[test]
fn a_list_of_extents_that_ends_early_is_damaged() {
    let extents = vec![Extent { chunk: ChunkId([1; 32]), offset: 3, length: 4 }; 3];
    let body = extents_to_body(&extents);
    assert_eq!(parse_extents(&body).unwrap(), extents);
    for cut in (0..body.len()).filter(|n| n % (body.len() / 3) != 0 || *n == 0) {
        assert!(parse_extents(&body[..cut]).is_err(), "cut to {cut}");
    }
}

#[test]
fn any_entry_comes_back_from_one_line() {
    any::hold(any::stored(), |stored| {
        let line = to_line(&stored).unwrap();
        prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(read(line.trim_ascii_end()).unwrap(), stored);
        Ok(())
    });
}

fn is_inside(extent: &Extent) -> bool {
    extent.length > 0 && extent.offset as usize + extent.length as usize <= CHUNK_BYTES_MAX
}

/// What any reader may count on.
fn is_canonical(stored: &StoredEntry) -> std::result::Result<(), TestCaseError> {
    let StoredEntry { entry, content } = stored;
    prop_assert!(path::check(&entry.path).is_ok());
    if let EntryKind::Hardlink(path) = &entry.kind {
        prop_assert!(path::check(path).is_ok());
    }
    prop_assert!(entry.posix.as_ref().is_none_or(|posix| posix.mode <= 0o7777));
    prop_assert!(entry.modified.is_none_or(|time| time.nanoseconds < 1_000_000_000));
    prop_assert_eq!(content.length(), Some(entry.size.unwrap_or(0)));
    if let Content::Inline(extents) = content {
        prop_assert!(extents.len() <= EXTENTS_INLINE_MAX && extents.iter().all(is_inside));
    }
    let again = to_line(stored).unwrap();
    prop_assert_eq!(&read(again.trim_ascii_end()).unwrap(), stored);
    Ok(())
}

#[test]
fn a_line_that_was_changed_is_refused_or_says_something_that_can_be() {
    any::hold((any::stored(), any::changes()), |(stored, changes)| {
        let mut line = to_line(&stored).unwrap();
        line.pop();
        changes.iter().for_each(|change| change.apply(&mut line));
        match parse_line(&line) {
            Ok(ParsedLine::Entry(entry)) => is_canonical(&entry),
            _ => Ok(()),
        }
    });
}

#[test]
fn any_bytes_are_read_without_panic() {
    any::hold(any::bytes(), |bytes| {
        if let Ok(ParsedLine::Entry(entry)) = parse_line(&bytes) {
            is_canonical(&entry)?;
        }
        if let Ok(extents) = parse_extents(&bytes) {
            prop_assert_eq!(parse_extents(&extents_to_body(&extents)).unwrap(), extents);
        }
        Ok(())
    });
}

#[test]
fn any_list_of_extents_comes_back_and_a_changed_one_is_refused_or_another() {
    let extents = proptest::collection::vec(any::extent(), 1..6);
    any::hold((extents, any::changes()), |(extents, changes)| {
        let body = extents_to_body(&extents);
        prop_assert_eq!(&parse_extents(&body).unwrap(), &extents);
        let mut changed = body.clone();
        changes.iter().for_each(|change| change.apply(&mut changed));
        if let Ok(found) = parse_extents(&changed) {
            prop_assert!(found.iter().all(is_inside));
            prop_assert_eq!(parse_extents(&extents_to_body(&found)).unwrap(), found);
        }
        Ok(())
    });
}
