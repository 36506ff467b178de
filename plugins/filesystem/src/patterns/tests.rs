use super::*;

fn owned(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}

fn read(patterns: &[&str]) -> Patterns {
    Patterns::new(Key::Exclude, &owned(patterns), &owned(&["srv"])).unwrap()
}

fn refused(key: Key, patterns: &[&str], roots: &[&str]) -> String {
    let error = Patterns::new(key, &owned(patterns), &owned(roots)).expect_err(&format!("{patterns:?}"));
    error.message().to_string()
}

/// Whether a pattern matches a path, which is a directory if it ends with `/`.
fn matches(pattern: &str, path: &str) -> bool {
    read(&[pattern]).verdict(path.trim_end_matches('/'), path.ends_with('/')).is_some()
}

#[test]
fn each_wildcard_means_what_it_does_in_gitignore() {
    for (pattern, yes, no) in [
        ("a", &["srv/a", "srv/x/a", "srv/a/"][..], &["srv/ab", "srv/ba", "srv/a/b", "srv/A"][..]),
        ("*.tmp", &["srv/b.tmp", "srv/.tmp", "srv/x/b.tmp/"], &["srv/b.tmp.txt", "srv/tmp"]),
        ("cache/", &["srv/cache/", "srv/x/cache/"], &["srv/cache", "srv/caches/", "srv/cache/a"]),
        ("a?c", &["srv/abc", "srv/aéc", "srv/a%FFc", "srv/a%25c"], &["srv/ac", "srv/abbc", "srv/a%FF%FEc"]),
        ("a*c", &["srv/ac", "srv/abc", "srv/abcbc"], &["srv/a", "srv/abcd"]),
        ("*a*b?c*", &["srv/xaybzc", "srv/abbcbzc!"], &["srv/abc", "srv/bazc"]),
        ("[a-c]x", &["srv/ax", "srv/cx"], &["srv/dx", "srv/x", "srv/-x"]),
        ("[!a-c]x", &["srv/dx", "srv/éx", "srv/%FFx"], &["srv/ax", "srv/x"]),
        ("[^a]x", &["srv/bx"], &["srv/ax"]),
        ("[]-]x", &["srv/]x", "srv/-x"], &["srv/ax"]),
        ("[-a]", &["srv/-", "srv/a"], &["srv/b"]),
        (r"[\]a\\]", &["srv/]", "srv/a", r"srv/\"], &["srv/b"]),
        ("[é-ü]", &["srv/ö"], &["srv/a", "srv/%C3"]),
        (r"\*\?\[\{\!", &["srv/*?[{!"], &["srv/x?[{!"]),
        (r"\!a", &["srv/!a"], &["srv/a"]),
        (r"\#a", &["srv/#a"], &[r"srv/\#a"]),
        ("a ", &["srv/a "], &["srv/a"]),
        ("*.{jpg,p{n,m}g}", &["srv/a.jpg", "srv/a.png", "srv/a.pmg"], &["srv/a.pg", "srv/a.{jpg"]),
        ("a{,.bak}", &["srv/a", "srv/a.bak"], &["srv/ab"]),
        ("**", &["srv/a", "srv/a/b/"], &[]),
        ("a**b", &["srv/ab", "srv/axb"], &["srv/a/b"]),
        ("/srv/a", &["srv/a", "srv/a/"], &["srv/a/b", "srv/x/srv/a", "a"]),
        ("/srv/a/", &["srv/a/"], &["srv/a"]),
        ("/srv/*/b", &["srv/a/b"], &["srv/b", "srv/a/a/b"]),
        ("/srv/**/b", &["srv/b", "srv/a/b", "srv/a/a/b"], &["b", "srv/a", "srv/ab"]),
        ("/srv/a/**", &["srv/a/b", "srv/a/b/c"], &["srv/a", "srv/a/"]),
        ("/srv/**/a/**/b", &["srv/a/b", "srv/x/a/x/a/x/b"], &["srv/b/a", "srv/x/b"]),
        ("**/a/b", &["srv/a/b", "a/b", "srv/x/a/b"], &["srv/b", "srv/xa/b", "srv/a/x/b"]),
        ("**/a/**/b/", &["srv/a/b/", "srv/a/x/b/"], &["srv/a/b", "srv/b/"]),
        ("/**/a", &["a", "srv/a"], &["srv/ab"]),
        ("/{srv,opt}/{a,b/c}", &["srv/a", "srv/b/c"], &["srv/b", "srv/c"]),
    ] {
        for path in yes {
            assert!(matches(pattern, path), "{pattern} does not match {path}");
        }
        for path in no {
            assert!(!matches(pattern, path), "{pattern} matches {path}");
        }
    }
}

#[test]
fn names_are_matched_by_what_they_are_made_of() {
    for (pattern, yes, no) in [
        ("100%.txt", &["srv/100%25.txt"][..], &["srv/100%.txt"][..]),
        // As it stands in a snapshot, and a file that is called so.
        ("100%25.txt", &["srv/100%25.txt", "srv/100%2525.txt"], &["srv/100%252525.txt"]),
        (r"100\%25.txt", &["srv/100%2525.txt"], &["srv/100%25.txt"]),
        ("a%FF", &["srv/a%FF", "srv/a%25FF"], &["srv/aÿ"]),
        ("a%ff", &["srv/a%25ff"], &["srv/a%FF"]),
        ("caf%C3%A9", &["srv/caf%25C3%25A9"], &["srv/café"]),
        ("a%20b", &["srv/a%2520b"], &["srv/a b"]),
        ("a%2Fb", &["srv/a%252Fb"], &["srv/a/b", "srv/a%2Fb"]),
        ("a%2Eb", &["srv/a%252Eb"], &["srv/a.b"]),
        ("%25%", &["srv/%2525%25"], &["srv/%25%25"]),
        ("a%0A*", &["srv/a%0Ab", "srv/a%250Ab"], &["srv/ab"]),
        ("a\n", &["srv/a%0A"], &["srv/a"]),
        // Never a part of an escape, or of a character.
        ("*25", &["srv/a25", "srv/%2525"], &["srv/a%25"]),
        ("*5", &["srv/a5"], &["srv/a%25"]),
        ("*%", &["srv/a%25"], &["srv/a%2525"]),
        ("*%C3", &["srv/a%C3", "srv/a%25C3"], &["srv/aÃ", "srv/aé"]),
        ("%C3*", &["srv/%C3", "srv/%C3%FF"], &["srv/é"]),
        ("??", &["srv/%25%FF", "srv/é%0A"], &["srv/%25", "srv/é"]),
        ("[%]", &["srv/%25"], &["srv/2"]),
        ("[!%]", &["srv/2", "srv/%FF"], &["srv/%25"]),
        ("/srv/100%/*.b", &["srv/100%25/a.b"], &["srv/100%/a.b"]),
        ("/srv/%FF/a", &["srv/%FF/a", "srv/%25FF/a"], &["srv/%FE/a"]),
    ] {
        for path in yes {
            assert!(matches(pattern, path), "{pattern:?} does not match {path}");
        }
        for path in no {
            assert!(!matches(pattern, path), "{pattern:?} matches {path}");
        }
    }
}

#[test]
fn the_last_that_matches_counts() {
    let patterns = read(&["*.log", "!audit.log", "/srv/old/*", "!/srv/old/keep/", "/srv/x/audit.log"]);
    for (path, is_directory, verdict) in [
        ("srv/a.log", false, Some(true)),
        ("srv/audit.log", false, Some(false)),
        ("srv/old/audit.log", false, Some(true)),
        ("srv/old/keep", true, Some(false)),
        ("srv/old/keep", false, Some(true)),
        ("srv/x/audit.log", false, Some(true)),
        ("srv/a.txt", false, None),
    ] {
        assert_eq!(patterns.verdict(path, is_directory), verdict, "{path}");
    }
}

#[test]
fn the_nearest_directory_decides_for_what_nothing_matches() {
    let key = Key::Include;
    let patterns = Patterns::new(key, &owned(&["!/srv/a/b/", "/srv/a", "*.conf", "x/"]), &owned(&["srv"])).unwrap();
    for (path, verdict) in [
        ("srv/a/c", Some(true)),
        ("srv/a/b/c", Some(false)),
        ("srv/a/b/c.conf", Some(true)),
        ("srv/a/b/x/c/d", Some(true)),
        ("srv/x", None),
        ("srv/c", None),
    ] {
        assert_eq!(patterns.verdict_from_above(path, false), verdict, "{path}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_key_and_pattern() {
    for (pattern, why) in [
        ("", "matches nothing"),
        ("/", "matches nothing"),
        ("!", "matches nothing"),
        ("{a,}", "matches nothing"),
        ("//", "//"),
        ("x/cache", "has a `/` inside"),
        ("./cache", "has a `/` inside"),
        ("**x/cache", "has a `/` inside"),
        ("{/srv/a,b/c}", "has a `/` inside"),
        ("/srv//cache", "//"),
        ("/srv/./cache", "`.` or `..`"),
        ("/srv/../cache", "`.` or `..`"),
        ("..", "`.` or `..`"),
        ("# temporary files", "begins with `#`"),
        ("a[", "no `]` ends"),
        ("[]", "no `]` ends"),
        ("[!]", "no `]` ends"),
        (r"[a\]", "no `]` ends"),
        ("/srv/[a/b]", "`/` in `[…]`"),
        ("[z-a]", "is empty"),
        ("[[:alpha:]]", "`[:`"),
        ("{a", "no `}` ends"),
        ("a}", "no `{` begins"),
        ("{3F2504E0-4F89}", "without a `,`"),
        (r"a\", r"ends with a `\`"),
        (r"/srv/a\/b", r"has a `\/`"),
        ("a\0", "NUL"),
    ] {
        for (key, word) in [(Key::Exclude, "exclude"), (Key::Include, "include"), (Key::Tolerate, "tolerate")] {
            let message = refused(key, &[pattern], &["srv"]);
            assert!(message.starts_with(&format!("{word}: `{pattern}` ")) && message.contains(why), "{message}");
        }
    }
    assert!(refused(Key::Exclude, &[&"a".repeat(20_000)], &["srv"]).contains("16384 bytes"));
    assert!(refused(Key::Exclude, &[&"{a,b}".repeat(20)], &["srv"]).contains("1000"));
}

#[test]
fn what_can_match_nothing_is_refused() {
    let roots = ["srv", "opt/app"];
    for wrong in
        ["/cache", "/etc/*.bak", "/srv2/a", "/*/b/c/../d", "/opt/*.d", "/opt/x/**", "/srv", "/opt", "/op[a-z]", "/*"]
    {
        refused(Key::Exclude, &[wrong], &roots);
    }
    for right in [
        "/opt/app/x/*",
        "/*/app",
        "/*/*",
        "/**",
        "**/x/cache",
        "cache/",
        "*.tmp",
        "/srv/**/old",
        "/{srv,etc}/x",
        "/**/app",
    ] {
        assert!(Patterns::new(Key::Exclude, &owned(&[right]), &owned(&roots)).is_ok(), "{right}");
    }
    for right in ["/srv", "/opt", "/*", "/*/app"] {
        assert!(Patterns::new(Key::Include, &owned(&[right]), &owned(&roots)).is_ok(), "{right}");
    }
    assert!(refused(Key::Exclude, &["/srv"], &roots).contains("is one of the paths"));
    assert!(refused(Key::Tolerate, &["/etc"], &roots).contains("lies in none of the paths"));
    assert!(Patterns::new(Key::Exclude, &owned(&["/proc"]), &owned(&[""])).is_ok());
}

#[test]
fn what_takes_nothing_back_is_refused() {
    for wrong in [
        &["!a"][..],
        &["/srv/*.log", "!/srv/a.txt"],
        &["!/srv/x/a", "/srv/x/*"],
        // It lies in a directory that is left out.
        &["/srv/x/", "!/srv/x/keep"],
        &["/srv/x", "!/srv/x/a/b/*.c"],
        &["/srv/*", "!/srv/x/keep"],
        &["!/srv/x/keep", "/srv/x/*", "/srv/x"],
        &["*", "!/srv/x/keep"],
        &["x/", "!/srv/a/x/keep"],
        &["build/", "!**/build/keep"],
        &["/srv/*/x/", "!/srv/*/x/keep"],
        &["x*/", "!/srv/**/x*/keep"],
        &["/srv/x/", "!/srv/{x,x/y}/keep"],
        &["!/srv/x/b", "!**/build/keep", "build/"],
        &["/srv/100%25/", "!/srv/100%25/keep"],
    ] {
        assert!(refused(Key::Exclude, wrong, &["srv"]).contains("takes nothing back"), "{wrong:?}");
    }
    for right in [
        &["*.log", "!audit.log"][..],
        &["/srv/x/*", "!/srv/x/keep"],
        &["/srv/x/**", "!/srv/x/keep"],
        &["/srv/*", "!/srv/x/", "/srv/x/*", "!/srv/x/keep"],
        &["*", "!*.conf", "!*/"],
        &["build/", "!/srv/mine/build/", "!**/build/keep"],
        &["build", "!**/b*/", "!**/build/keep"],
        &["/srv/x/", "!/srv/{x,y}/*.log"],
        // What stands in `paths` is taken, whatever it is called.
        &["srv/", "*", "!/srv/y"],
        &["srv/", "*", "!**/srv/y"],
    ] {
        let read = Patterns::new(Key::Exclude, &owned(right), &owned(&["srv"]));
        assert!(read.is_ok(), "{right:?}: {read:?}");
    }
    assert!(Patterns::new(Key::Include, &owned(&["!/srv/a/b", "/srv/a"]), &owned(&["srv"])).is_ok());
    assert!(refused(Key::Include, &["!*.tmp"], &["srv"]).contains("takes nothing back"));
}

#[test]
fn who_is_refused_is_told_what_to_write() {
    let message = refused(Key::Exclude, &["/srv/*", "!/srv/x/keep"], &["srv"]);
    assert!(
        message.contains("`/srv/*` leaves out `/srv/x`") && message.contains("`!/srv/x/`, `/srv/x/*` before"),
        "{message}"
    );
    for told in [
        &["/srv/*", "!/srv/x/", "/srv/x/*", "!/srv/x/keep"][..],
        &["build/", "!**/build/", "**/build/*", "!**/build/keep"],
    ] {
        assert!(Patterns::new(Key::Exclude, &owned(told), &owned(&["srv"])).is_ok(), "{told:?}");
    }
}
