//! Patterns that can be of no use are refused: each is a mistake that nobody would see, a backup without what it was to
//! have, or with what it was to leave out.

use super::glob::{Glob, Part, literal};
use super::{Key, Rule, name};

const ALWAYS_TAKEN: &str = "is one of the paths, or what it lies in, and these are always taken: take it out of `paths`, or leave \
                            out what is in it (`…/*`)";

/// Returns the first pattern that can be of no use, and why.
pub(super) fn check<'a>(key: Key, rules: &[Rule<'a>], roots: &[String]) -> Result<(), (&'a str, String)> {
    for (number, rule) in rules.iter().enumerate() {
        check_place(key, rule, roots).map_err(|why| (rule.text, why))?;
        // Below a directory that is left out nothing is looked at. Below one that is included a `!` counts whatever its
        // place in the list, because it names something nearer.
        let others = if key == Key::Exclude { &rules[..number] } else { rules };
        if rule.takes_back && rule.globs.iter().all(|glob| !may_match(others, glob)) {
            let why = match key {
                Key::Exclude => "no pattern before it leaves out what it names",
                Key::Include => "nothing of what it names is included. What is to be left out stands in `exclude`",
                Key::Tolerate => "nothing of what it names is tolerated",
            };
            return Err((rule.text, format!("takes nothing back: {why}")));
        }
    }
    if key == Key::Exclude { check_reach(rules, roots) } else { Ok(()) }
}

/// Checks that a pattern can match something of what is backed up.
fn check_place(key: Key, rule: &Rule, roots: &[String]) -> Result<(), String> {
    let any = |could: fn(&Glob, &str) -> bool| rule.globs.iter().any(|glob| roots.iter().any(|root| could(glob, root)));
    // What stands in `paths` is never left out, but it can be what an included or tolerated file lies in.
    match (any(matches_below), any(matches_root)) {
        (true, _) => Ok(()),
        (false, true) if key != Key::Exclude => Ok(()),
        (false, true) => Err(ALWAYS_TAKEN.into()),
        (false, false) => Err("lies in none of the paths, and so matches nothing".into()),
    }
}

/// Checks that what is taken back does not lie in a directory that is left out: that is never looked into.
fn check_reach<'a>(rules: &[Rule<'a>], roots: &[String]) -> Result<(), (&'a str, String)> {
    for rule in rules.iter().filter(|rule| rule.takes_back) {
        let outs = rule.globs.iter().map(|glob| left_out_above(glob, rules, roots));
        if let Some((out, directory)) = outs.collect::<Option<Vec<_>>>().and_then(|outs| outs.into_iter().next()) {
            let why = format!(
                "takes nothing back: `{out}` leaves out `{directory}`, and what is in it is never looked at. If only this is to \
                 come back, write `!{directory}/`, `{directory}/*` before it"
            );
            return Err((rule.text, why));
        }
    }
    Ok(())
}

/// Whether one of the rules could match what `glob` matches, as far as that can be told: wildcards could match anything.
fn may_match(rules: &[Rule], glob: &Glob) -> bool {
    let mut matching = rules.iter().filter(|rule| !rule.takes_back).flat_map(|rule| &rule.globs);
    let Some(path) = literal(&glob.parts) else { return matching.next().is_some() };
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    let paths: Vec<&str> = above.chain([path.as_str()]).collect();
    matching.any(|other| paths.iter().any(|path| other.matches(path, name(path))))
}

/// The pattern that surely leaves out a directory in which lies all that `glob` could match, and that directory.
fn left_out_above<'a>(glob: &Glob, rules: &[Rule<'a>], roots: &[String]) -> Option<(&'a str, String)> {
    let above = (1..glob.parts.len()).map(|length| &glob.parts[..length]);
    above.filter(|parts| parts.last() != Some(&Part::Deep)).find_map(|parts| {
        let directory = Glob { directories: true, parts: parts.to_vec() };
        // What stands in `paths`, and what that lies in, is not left out by any pattern.
        let is_root = roots.iter().any(|root| matches_root(&directory, root));
        let out = (!is_root).then(|| left_out(&directory, rules)).flatten()?;
        Some((out, shown(parts)))
    })
}

/// Parts as a pattern has them.
fn shown(parts: &[Part]) -> String {
    let parts = parts.iter().map(|part| match part {
        Part::Deep => "**".to_string(),
        Part::Name(name) => name.shown(),
    });
    let shown = parts.collect::<Vec<_>>().join("/");
    if shown.starts_with("**") { shown } else { format!("/{shown}") }
}

/// The pattern that surely leaves out whatever directory has these parts.
fn left_out<'a>(directory: &Glob, rules: &[Rule<'a>]) -> Option<&'a str> {
    for rule in rules.iter().rev() {
        let matches: Vec<_> = rule.globs.iter().map(|glob| covers(glob, directory)).collect();
        match (rule.takes_back, matches.contains(&Some(true))) {
            (false, true) => return Some(rule.text),
            (true, _) if matches.iter().any(|matches| *matches != Some(false)) => return None,
            _ => {}
        }
    }
    None
}

/// Whether a pattern matches all directories that have the parts of another; none if that cannot be told.
fn covers(glob: &Glob, directory: &Glob) -> Option<bool> {
    if let Some(path) = literal(&directory.parts) {
        return Some(glob.matches(&path, name(&path)));
    }
    let (Some(Part::Name(ours)), Some(Part::Name(theirs))) = (glob.parts.last(), directory.parts.last()) else {
        return None;
    };
    let differs = match (ours.literal(), theirs.literal()) {
        (_, Some(name)) => !ours.matches(name),
        (Some(name), None) => !theirs.matches(name),
        (None, None) => false,
    };
    let at_any_depth = glob.parts.len() == 2 && glob.parts[0] == Part::Deep;
    if differs {
        Some(false)
    } else if glob.parts == directory.parts || (at_any_depth && (ours == theirs || theirs.literal().is_some())) {
        Some(true)
    } else {
        None
    }
}

/// Whether something below a path could match.
fn matches_below(glob: &Glob, root: &str) -> bool {
    places(&glob.parts, names(root)).iter().any(|place| *place < glob.parts.len())
}

/// Whether a path or a directory above it matches.
fn matches_root(glob: &Glob, root: &str) -> bool {
    let names: Vec<&str> = names(root).collect();
    (1..=names.len()).any(|length| places(&glob.parts, names[..length].iter().copied()).contains(&glob.parts.len()))
}

/// How many of the parts may have been used up when they have matched these names.
fn places<'a>(parts: &[Part], names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    // `**` may be nothing.
    let start = |place: usize| match parts.get(place) {
        Some(Part::Deep) => vec![place, place + 1],
        _ => vec![place],
    };
    let mut places = start(0);
    for name in names {
        let next = places.iter().flat_map(|place| match parts.get(*place) {
            Some(Part::Deep) => start(*place),
            Some(Part::Name(pattern)) if pattern.matches(name) => start(place + 1),
            _ => vec![],
        });
        let mut next: Vec<usize> = next.collect();
        next.sort_unstable();
        next.dedup();
        places = next;
    }
    places
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}
