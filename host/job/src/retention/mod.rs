//! Retention: which snapshots are kept, and why. Facts about snapshots go in, a fate for each comes out. Knows no
//! store and deletes nothing; the time is the store's, and is handed in.
//!
//! Three things hold whatever the rules say: nothing is deleted while it is the newest of its kind, nothing is deleted
//! because of what arrived only just now, and what cannot be believed, or is suspicious, deletes nothing.

mod alert;
mod apply;
mod bucket;
mod fact;
mod fate;
mod flood;
mod judge;
mod rules;

pub use alert::{Alert, Finding};
pub use bucket::{Bucket, Period};
pub use fact::Fact;
pub use fate::{Fate, Reason, Superseded};
pub use judge::{Floods, Judgement, Policy, judge};
pub use rules::{Reach, Retention, Rules, Stretch};
