//! Whether far more snapshots of a job arrived than is usual: a stolen host must not push history out by a flood of
//! forged ones.

use jiff::{SignedDuration, Timestamp};

use super::alert::Finding;
use super::fact::Fact;
use crate::limits::{FLOOD_MORE, FLOOD_TIMES, FLOOD_WINDOW, FLOOD_WINDOWS};

/// When a snapshot arrived, and how many of its job were made up to then. Retention has deleted most of them; their
/// numbers still tell.
type Point = (Timestamp, f64);

/// The flood among a job's snapshots, if there is one.
pub(super) fn look(facts: &[&Fact], now: Timestamp) -> Option<Finding> {
    let begin = before(now, FLOOD_WINDOW);
    let arrived = facts.iter().filter(|fact| fact.arrived > begin).count() as u64;
    let usual = usual(&points(facts, begin), begin)?;
    let flood = arrived as f64 >= usual + FLOOD_MORE && arrived as f64 >= usual * FLOOD_TIMES;
    flood.then_some(Finding::Flood { arrived, usual: usual.round() as u64 })
}

/// The history up to a moment, oldest first.
fn points(facts: &[&Fact], end: Timestamp) -> Vec<Point> {
    let mut old: Vec<&Fact> = facts.iter().filter(|fact| fact.arrived <= end).copied().collect();
    old.sort_by_key(|fact| (fact.arrived, fact.order()));
    let mut made = 0.0;
    let mut before: Option<u64> = None;
    let mut points = Vec::with_capacity(old.len());
    for fact in old {
        // Numbers that go back prove nothing; the snapshot itself counts as one.
        made += before.map_or(0.0, |before| fact.sequence.saturating_sub(before).max(1) as f64);
        before = Some(fact.sequence);
        points.push((fact.arrived, made));
    }
    points
}

/// How many are usual in one window: the median of those before, so that one forged number changes little. None where
/// there is too little history to say.
fn usual(points: &[Point], begin: Timestamp) -> Option<f64> {
    let [first, _, ..] = points else { return None };
    let mut counts = Vec::new();
    let mut end = begin;
    for _ in 0..FLOOD_WINDOWS {
        let start = before(end, FLOOD_WINDOW);
        let known = end.duration_since(start.max(first.0));
        if known <= SignedDuration::ZERO {
            break;
        }
        let made = made_until(points, end) - made_until(points, start);
        counts.push(made * FLOOD_WINDOW.as_secs_f64() / known.as_secs_f64());
        end = start;
    }
    counts.sort_by(f64::total_cmp);
    let middle = counts.len() / 2;
    match counts.as_slice() {
        [] => None,
        counts if counts.len() % 2 == 1 => Some(counts[middle]),
        counts => Some(f64::midpoint(counts[middle - 1], counts[middle])),
    }
}

/// How many were made until a moment, in a straight line between the two points around it.
fn made_until(points: &[Point], at: Timestamp) -> f64 {
    let after = points.partition_point(|(arrived, _)| *arrived <= at);
    match (after.checked_sub(1).map(|n| points[n]), points.get(after)) {
        (None, _) => 0.0,
        (Some((_, made)), None) => made,
        (Some((left, made)), Some((right, more))) => {
            let part = at.duration_since(left).as_secs_f64() / right.duration_since(left).as_secs_f64();
            made + (more - made) * part
        }
    }
}

fn before(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.checked_sub(time).unwrap_or(Timestamp::MIN)
}
