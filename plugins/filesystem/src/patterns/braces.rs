//! `{a,b}`: one pattern that stands for several.

/// Most patterns that one may stand for.
const ALTERNATIVES_MAX: usize = 1000;

/// The patterns without braces that one with braces stands for.
pub(super) fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = vec![];
    let mut todo = vec![pattern.to_string()];
    while let Some(pattern) = todo.pop() {
        match Braces::find(&pattern)? {
            None => done.push(pattern),
            Some(braces) => {
                let (before, behind) = (&pattern[..braces.begin], &pattern[braces.end + 1..]);
                todo.extend(braces.cases(&pattern).map(|case| format!("{before}{case}{behind}")));
            }
        }
        if done.len() + todo.len() > ALTERNATIVES_MAX {
            return Err(format!("stands for more than {ALTERNATIVES_MAX} patterns: write fewer `{{…}}` in one"));
        }
    }
    Ok(done)
}

/// The outermost braces that come first.
struct Braces {
    begin: usize,
    end: usize,
    commas: Vec<usize>,
}

impl Braces {
    fn find(pattern: &str) -> Result<Option<Self>, String> {
        let mut depth = 0_usize;
        let mut braces = Braces { begin: 0, end: 0, commas: vec![] };
        for (at, c) in bare(pattern) {
            match (c, depth) {
                ('{', _) => {
                    if depth == 0 {
                        braces.begin = at;
                    }
                    depth += 1;
                }
                ('}', 0) => return Err(r"has a `}` that no `{` begins: write `\}` for the character".into()),
                ('}', 1) if braces.commas.is_empty() => {
                    return Err(r"has `{…}` without a `,` in it: write `\{` and `\}` for the characters".into());
                }
                ('}', 1) => return Ok(Some(Braces { end: at, ..braces })),
                ('}', _) => depth -= 1,
                (',', 1) => braces.commas.push(at),
                _ => {}
            }
        }
        if depth == 0 { Ok(None) } else { Err(r"has a `{` that no `}` ends: write `\{` for the character".into()) }
    }

    fn cases<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = &'a str> {
        let begins = std::iter::once(self.begin).chain(self.commas.iter().copied());
        let ends = self.commas.iter().copied().chain([self.end]);
        begins.zip(ends).map(|(begin, end)| &pattern[begin + 1..end])
    }
}

/// The characters that are neither behind a `\` nor in a `[…]`, with their places.
fn bare(pattern: &str) -> impl Iterator<Item = (usize, char)> {
    let mut chars = pattern.char_indices();
    std::iter::from_fn(move || {
        loop {
            let (at, c) = chars.next()?;
            match c {
                '\\' => drop(chars.next()),
                '[' => skip_class(&mut chars),
                c => return Some((at, c)),
            }
        }
    })
}

/// Skips a class that has just begun. One that does not end is refused by whoever reads it.
fn skip_class(chars: &mut std::str::CharIndices) {
    let mut first = true;
    while let Some((_, c)) = chars.next() {
        match c {
            '!' | '^' if std::mem::take(&mut first) => {
                // A `]` behind it is a member still.
                if chars.as_str().starts_with(']') {
                    chars.next();
                }
                continue;
            }
            ']' if !first => return,
            '\\' => drop(chars.next()),
            _ => {}
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(pattern: &str) -> Vec<String> {
        let mut all = alternatives(pattern).unwrap();
        all.sort();
        all
    }

    #[test]
    fn braces_stand_for_what_is_in_them() {
        assert_eq!(sorted("a"), ["a"]);
        assert_eq!(sorted("*.{jpg,png}"), ["*.jpg", "*.png"]);
        assert_eq!(sorted("a{,.bak}"), ["a", "a.bak"]);
        assert_eq!(sorted("{a,b{c,d}}{x,y}"), ["ax", "ay", "bcx", "bcy", "bdx", "bdy"]);
        assert_eq!(sorted("/srv/{a,b/c}/d"), ["/srv/a/d", "/srv/b/c/d"]);
    }

    #[test]
    fn braces_that_are_characters_are_left_alone() {
        for pattern in [r"\{a,b\}", "[{]a,b[}]", "[]{,}]", "[!]{}]", r"[\]{]", "a,b", "[^{"] {
            assert_eq!(sorted(pattern), [pattern]);
        }
    }

    #[test]
    fn braces_that_say_nothing_are_refused() {
        for pattern in ["{", "}", "{a", "{a}", "a}", "{{a,b}", "{a,b}}", "{}", "{[,]}", "{a,[}]"] {
            assert!(alternatives(pattern).is_err(), "{pattern}");
        }
        assert!(alternatives(&"{a,b}".repeat(9)).is_ok());
        assert!(alternatives(&"{a,b}".repeat(10)).unwrap_err().contains("more than 1000"));
        assert!(alternatives(&"{".repeat(100_000)).is_err());
        assert!(alternatives(&format!("{}{}", "{a,".repeat(5_000), "}".repeat(5_000))).is_err());
    }
}
