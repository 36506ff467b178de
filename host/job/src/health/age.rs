//! How old a job's newest snapshot may be, by how often it was made before.

use jiff::SignedDuration;

use super::Made;
use crate::limits::{OVERDUE_HISTORY, OVERDUE_MIN, OVERDUE_UNKNOWN};

/// After which time without a new snapshot a job is overdue, if nobody said how often it is expected: twice the usual distance,
/// or half more than the longest ones that are usual (a weekend of a job that runs on workdays), but not before a day has passed.
pub fn overdue_after(complete: &[Made]) -> SignedDuration {
    let mut distances: Vec<SignedDuration> = complete.windows(2).rev().take(OVERDUE_HISTORY).map(distance).collect();
    if distances.len() < 3 {
        return OVERDUE_UNKNOWN;
    }
    distances.sort_unstable();
    let median = distances[distances.len() / 2];
    // One outage among them is not what is usual.
    let longest = distances[(distances.len() - 1) * 9 / 10];
    (median * 2).max(longest + longest / 2).max(OVERDUE_MIN)
}

/// The time for each run between two snapshots: those between them were deleted, or failed.
fn distance(pair: &[Made]) -> SignedDuration {
    let runs = pair[1].sequence.saturating_sub(pair[0].sequence).clamp(1, 1_000_000);
    pair[1].at.duration_since(pair[0].at) / i32::try_from(runs).unwrap_or(1)
}
