//! Medians, and tables in Markdown.

use crate::shell::say;

/// The middle one; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// The median, and from where to where the values go if there are several.
pub(crate) fn spread(values: &[f64], decimals: usize) -> String {
    let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(min, max), value| (min.min(*value), max.max(*value)));
    let middle = median(values.iter().copied());
    match values.len() {
        0 => "-".into(),
        1 => format!("{middle:.decimals$}"),
        _ => format!("{middle:.decimals$} ({min:.decimals$}–{max:.decimals$})"),
    }
}

/// Prints a table; the first column is text, the others are figures. A row may end early.
pub(crate) fn print(head: &[&str], rows: Vec<Vec<String>>) {
    say(format!("| {} |", head.join(" | ")));
    say(format!("|---|{}", "---:|".repeat(head.len() - 1)));
    for mut row in rows {
        row.resize(head.len(), String::new());
        say(format!("| {} |", row.join(" | ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]).to_bits(), 2.0f64.to_bits());
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5f64.to_bits());
        assert_eq!(spread(&[2.0, 1.0, 4.0], 1), "2.0 (1.0–4.0)");
        assert_eq!(spread(&[2.25], 1), "2.2");
    }
}
