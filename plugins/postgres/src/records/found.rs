//! What records say that somebody may want to recover to: times of transactions, and restore points.

use super::header::{RecordHeader, array};

/// Managers (access/rmgrlist.h): of the WAL itself, and of transactions.
const WAL: u8 = 0;
const TRANSACTIONS: u8 = 1;
/// Records of theirs (catalog/pg_control.h, access/xact.h).
const SWITCH: u8 = 0x40;
const RESTORE_POINT: u8 = 0x70;
const COMMIT: u8 = 0x00;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ABORT_PREPARED: u8 = 0x40;
/// What of a record's info says which of them it is.
const WAL_KINDS: u8 = 0xF0;
const TRANSACTION_KINDS: u8 = 0x70;

/// What stands before a record's own data: who it came from, its transaction, how long the data is.
const ORIGIN: u8 = 253;
const TRANSACTION: u8 = 252;
const SHORT_DATA: u8 = 255;
const LONG_DATA: u8 = 254;

/// Bytes of a body that are held to be read: enough for a restore point, whose name has 64, and for a time.
pub(super) const KEPT: usize = 3 + 5 + 5 + 8 + 64;

/// From 1970 to 2000, where the server's time begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What was found in WAL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// When the first transaction ended, in microseconds since 1970: committed or aborted, prepared before or not.
    pub(crate) first_commit: Option<i64>,
    /// When the last one did. Neither need be the first or last in the WAL.
    pub(crate) last_commit: Option<i64>,
    /// In the order of the WAL.
    pub(crate) restore_points: Vec<RestorePoint>,
}

/// A place that somebody gave a name to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestorePoint {
    pub(crate) name: String,
    /// Where its record ends, as `pg_create_restore_point` told them.
    pub(crate) lsn: u64,
    /// Microseconds since 1970.
    pub(crate) time: i64,
}

impl Found {
    /// Takes in a whole record.
    pub(super) fn take_in(&mut self, header: &RecordHeader, body: &[u8], end: u64) {
        let Some(data) = data(body) else { return };
        let time = i64::from_le_bytes(array(data, 0)).saturating_add(EPOCH_MICROS);
        if header.manager == TRANSACTIONS {
            self.first_commit = Some(self.first_commit.map_or(time, |first| first.min(time)));
            self.last_commit = Some(self.last_commit.map_or(time, |last| last.max(time)));
        } else {
            let name = data.get(8..).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            self.restore_points.push(RestorePoint { name, lsn: end, time });
        }
    }
}

/// Whether a record's body has something in it for [`Found`].
pub(super) fn is_telling(header: &RecordHeader) -> bool {
    match header.manager {
        WAL => header.info & WAL_KINDS == RESTORE_POINT,
        TRANSACTIONS => {
            matches!(header.info & TRANSACTION_KINDS, COMMIT | ABORT | COMMIT_PREPARED | ABORT_PREPARED)
        }
        _ => false,
    }
}

/// Whether nothing follows a record in its segment.
pub(super) fn is_switch(header: &RecordHeader) -> bool {
    header.manager == WAL && header.info & WAL_KINDS == SWITCH
}

/// A record's own data, as much of it as the beginning of its body has. It must have a time at least.
fn data(mut body: &[u8]) -> Option<&[u8]> {
    loop {
        body = match body {
            [ORIGIN, _, _, rest @ ..] | [TRANSACTION, _, _, _, _, rest @ ..] => rest,
            [SHORT_DATA, _, data @ ..] | [LONG_DATA, _, _, _, _, data @ ..] => {
                return (data.len() >= 8).then_some(data);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_behind_what_stands_before_it() {
        let data_of = |body: &[u8]| data(body).map(<[u8]>::to_vec);
        assert_eq!(data_of(&[255, 8, 1, 2, 3, 4, 5, 6, 7, 8]), Some(vec![1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(
            data_of(&[253, 9, 9, 252, 9, 9, 9, 9, 254, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
            Some(vec![1, 2, 3, 4, 5, 6, 7, 8])
        );
        for none in [&[][..], &[253, 9], &[255], &[255, 7, 1, 2, 3, 4, 5, 6, 7], &[0, 8, 1, 2, 3, 4, 5, 6, 7, 8]] {
            assert_eq!(data_of(none), None, "{none:?}");
        }
    }
}
