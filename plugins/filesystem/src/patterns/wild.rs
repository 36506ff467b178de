//! The one loop behind `*` in names and `**` in paths.

/// Whether a sequence of tokens, of which some are stars, matches all that lies before `end`. `step` is the place behind
/// what a token that is no star matches at a place, `skip` the place behind whatever is there.
///
/// Each token but a star matches one thing, so only the last star ever has to take more: no pattern takes longer than its
/// length times that of what it is held against.
pub(super) fn wild(
    tokens: usize,
    end: usize,
    is_star: impl Fn(usize) -> bool,
    step: impl Fn(usize, usize) -> Option<usize>,
    skip: impl Fn(usize) -> Option<usize>,
) -> bool {
    let (mut token, mut at) = (0, 0);
    // The token behind the last star, and up to where that star takes all.
    let mut star = None;
    loop {
        if token < tokens && is_star(token) {
            token += 1;
            if token == tokens {
                return true;
            }
            star = Some((token, at));
        } else if token == tokens && at == end {
            return true;
        } else if let Some(next) = (token < tokens).then(|| step(token, at)).flatten() {
            (token, at) = (token + 1, next);
        } else {
            let Some((behind, taken)) = star else { return false };
            let Some(next) = skip(taken) else { return false };
            (token, at) = (behind, next);
            star = Some((behind, next));
        }
    }
}
