//! Which packs a verification reads.

use crate::id::ObjectId;

/// Which packs to read.
#[derive(Clone, Copy, Debug)]
pub enum Sample {
    /// Every one.
    All,
    /// So many in a hundred, and one at least: those behind this id, in the order of ids, round and round. Whoever goes on behind
    /// the last one reads every pack in turn; new packs fall in anywhere, because ids are digests.
    Percent(u8, ObjectId),
}

impl Sample {
    /// Those that are read, in that order, and the others.
    pub(super) fn divide<T>(self, mut packs: Vec<T>, id: impl Fn(&T) -> ObjectId) -> (Vec<T>, Vec<T>) {
        let Sample::Percent(percent, behind) = self else { return (packs, Vec::new()) };
        let count = (packs.len() * usize::from(percent)).div_ceil(100).min(packs.len());
        packs.sort_unstable_by_key(&id);
        let first = packs.partition_point(|pack| id(pack) <= behind);
        packs.rotate_left(first);
        let others = packs.split_off(count);
        (packs, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u8) -> Vec<ObjectId> {
        (0..count).map(|n| ObjectId::of(&[n])).collect()
    }

    #[test]
    fn samples_have_one_pack_at_least_and_go_round() {
        for (count, percent, each) in [(0, 10, 0), (1, 1, 1), (2, 10, 1), (10, 10, 1), (11, 10, 2), (7, 99, 7)] {
            let (mut behind, mut read) = (ObjectId([7; 32]), Vec::new());
            for _ in 0..count {
                let (taken, others) = Sample::Percent(percent, behind).divide(ids(count), |id| *id);
                assert_eq!((taken.len(), taken.len() + others.len()), (each, usize::from(count)));
                behind = *taken.last().unwrap();
                read.extend(taken);
            }
            read.truncate(usize::from(count));
            read.sort_unstable();
            let mut all = ids(count);
            all.sort_unstable();
            assert_eq!(read, all, "{count} packs, {percent} %");
        }
        assert_eq!(Sample::All.divide(ids(3), |id| *id).0, ids(3));
    }
}
