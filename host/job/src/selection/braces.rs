//! `{a,b}` in a pattern: one that stands for several.

/// Most patterns that one may stand for.
const ALTERNATIVES_MAX: usize = 1_000;

/// The patterns without braces that one with braces stands for.
pub(super) fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let (mut done, mut todo) = (Vec::new(), vec![pattern.to_string()]);
    while let Some(pattern) = todo.pop() {
        match first(&pattern)? {
            None => done.push(pattern),
            Some(commas) => {
                let (Some(begin), Some(end)) = (commas.first(), commas.last()) else { continue };
                let (before, behind) = (&pattern[..*begin], &pattern[end + 1..]);
                todo.extend(
                    commas.windows(2).map(|pair| format!("{before}{}{behind}", &pattern[pair[0] + 1..pair[1]])),
                );
            }
        }
        if done.len() + todo.len() > ALTERNATIVES_MAX {
            return Err(format!("it stands for more than {ALTERNATIVES_MAX} patterns"));
        }
    }
    Ok(done)
}

/// Where the outermost braces that come first begin, their commas, and where they end.
fn first(pattern: &str) -> Result<Option<Vec<usize>>, String> {
    let (mut depth, mut places) = (0_usize, Vec::new());
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, depth) {
            ('\\', _) => drop(chars.next()),
            ('[', _) => skip_class(&mut chars),
            ('{', _) => {
                depth += 1;
                if depth == 1 {
                    places.push(at);
                }
            }
            ('}', 0) => return Err(r"it has a `}` that no `{` begins: write `\}` for the character".into()),
            ('}', 1) if places.len() == 1 => {
                return Err(r"it has `{…}` without a `,` in it: write `\{` for the character".into());
            }
            ('}', 1) => {
                places.push(at);
                return Ok(Some(places));
            }
            ('}', _) => depth -= 1,
            (',', 1) => places.push(at),
            _ => {}
        }
    }
    if depth == 0 { Ok(None) } else { Err(r"it has a `{` that no `}` ends: write `\{` for the character".into()) }
}

/// Skips a class that has just begun. One that does not end is refused by whoever reads it.
fn skip_class(chars: &mut std::str::CharIndices<'_>) {
    let rest = chars.as_str();
    let negated = rest.starts_with(['!', '^']);
    // The first member is one, whatever it is.
    for _ in 0..usize::from(negated) {
        chars.next();
    }
    let mut is_first = true;
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            ']' if !is_first => return,
            _ => {}
        }
        is_first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_stand_for_what_is_in_them() {
        let sorted = |pattern: &str| {
            let mut all = alternatives(pattern).unwrap();
            all.sort();
            all
        };
        assert_eq!(sorted("*.{jpg,png}"), ["*.jpg", "*.png"]);
        assert_eq!(sorted("a{,.bak}"), ["a", "a.bak"]);
        assert_eq!(sorted("{a,b{c,d}}{x,y}"), ["ax", "ay", "bcx", "bcy", "bdx", "bdy"]);
        for pattern in [r"\{a,b\}", "[{]a,b[}]", "[]{,}]", "[!]{}]", "a,b"] {
            assert_eq!(sorted(pattern), [pattern]);
        }
        for pattern in ["{", "}", "{a}", "{{a,b}", "{a,b}}"] {
            assert!(alternatives(pattern).is_err(), "{pattern}");
        }
        assert!(alternatives(&"{a,b}".repeat(10)).is_err());
    }
}
