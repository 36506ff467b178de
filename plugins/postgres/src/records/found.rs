//! What records say that somebody who recovers must know: times of transactions, restore points, and tablespaces, which the
//! server makes outside of its data directory.

use super::header::{RecordHeader, array};

/// Managers (access/rmgrlist.h): of the WAL itself, of transactions, and of tablespaces.
const WAL: u8 = 0;
const TRANSACTIONS: u8 = 1;
const TABLESPACES: u8 = 5;
/// Records of theirs (catalog/pg_control.h, access/xact.h, commands/tablespace.h).
const SWITCH: u8 = 0x40;
const RESTORE_POINT: u8 = 0x70;
const PARAMETER_CHANGE: u8 = 0x60;
const COMMIT: u8 = 0x00;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ABORT_PREPARED: u8 = 0x40;
const CREATE_TABLESPACE: u8 = 0x00;
/// What of a record's info says which of them it is.
const KINDS: u8 = 0xF0;
const TRANSACTION_KINDS: u8 = 0x70;

/// What stands before a record's own data: who it came from, its transaction, how long the data is.
const ORIGIN: u8 = 253;
const TRANSACTION: u8 = 252;
const SHORT_DATA: u8 = 255;
const LONG_DATA: u8 = 254;

/// Bytes of a body that are held to be read: enough for a tablespace, whose place has 1024.
pub(super) const KEPT: usize = 3 + 5 + 5 + 4 + 1024;

/// From 1970 to 2000, where the server's time begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What was found in WAL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// When the first transaction ended, in microseconds since 1970: committed or aborted, prepared before or not.
    pub(crate) first_commit: Option<i64>,
    /// When the last one did. Neither need be the first or last in the WAL.
    pub(crate) last_commit: Option<i64>,
    /// Where the record of the transaction begins that ended last in the WAL.
    pub(crate) commit_at: Option<u64>,
    /// In the order of the WAL.
    pub(crate) restore_points: Vec<RestorePoint>,
    /// Tablespaces that are made, in the order of the WAL.
    pub(crate) tablespaces: Vec<MadeTablespace>,
    /// Settings that a server which recovers must have at least, where they change.
    pub(crate) parameters: Vec<Parameters>,
}

/// Settings of the server from a record on (access/xlog_internal.h, `xl_parameter_change`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// Where the record ends.
    pub(crate) lsn: u64,
    /// `max_connections`, `max_worker_processes`, `max_wal_senders`, `max_prepared_transactions`, `max_locks_per_transaction`.
    pub(crate) least: [u32; 5],
    /// WAL from here on does not say what recovery needs (`wal_level = minimal`).
    pub(crate) is_minimal: bool,
}

/// A tablespace that is made: a server that recovers makes it again, in the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeTablespace {
    pub(crate) oid: u32,
    pub(crate) location: String,
    /// Where its record ends.
    pub(crate) lsn: u64,
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
    /// Takes in a whole record, from where it begins to where it ends.
    pub(super) fn take_in(&mut self, header: &RecordHeader, body: &[u8], (at, end): (u64, u64)) {
        let Some(data) = data(body) else { return };
        let text = |from: usize| {
            let text = data.get(from..).and_then(|text| text.split(|byte| *byte == 0).next()).unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        };
        if header.manager == TABLESPACES {
            let oid = u32::from_le_bytes(array(data, 0));
            self.tablespaces.push(MadeTablespace { oid, location: text(4), lsn: end });
            return;
        }
        if header.manager == WAL && header.info & KINDS == PARAMETER_CHANGE {
            let number = |at: usize| u32::from_le_bytes(array(data, 4 * at));
            let least = [number(0), number(1), number(2), number(3), number(4)];
            self.parameters.push(Parameters { lsn: end, least, is_minimal: number(5) == 0 });
            return;
        }
        let Some(time) = data.first_chunk() else { return };
        let time = i64::from_le_bytes(*time).saturating_add(EPOCH_MICROS);
        if header.manager == TRANSACTIONS {
            self.commit_at = Some(at);
            self.first_commit = Some(self.first_commit.map_or(time, |first| first.min(time)));
            self.last_commit = Some(self.last_commit.map_or(time, |last| last.max(time)));
        } else {
            self.restore_points.push(RestorePoint { name: text(8), lsn: end, time });
        }
    }
}

/// Whether a record's body has something in it for [`Found`].
pub(super) fn is_telling(header: &RecordHeader) -> bool {
    match header.manager {
        WAL => matches!(header.info & KINDS, RESTORE_POINT | PARAMETER_CHANGE),
        TABLESPACES => header.info & KINDS == CREATE_TABLESPACE,
        TRANSACTIONS => {
            matches!(header.info & TRANSACTION_KINDS, COMMIT | ABORT | COMMIT_PREPARED | ABORT_PREPARED)
        }
        _ => false,
    }
}

/// Whether nothing follows a record in its segment.
pub(super) fn is_switch(header: &RecordHeader) -> bool {
    header.manager == WAL && header.info & KINDS == SWITCH
}

/// A record's own data, as much of it as the beginning of its body has. It must have a number at least.
fn data(mut body: &[u8]) -> Option<&[u8]> {
    loop {
        body = match body {
            [ORIGIN, _, _, rest @ ..] | [TRANSACTION, _, _, _, _, rest @ ..] => rest,
            [SHORT_DATA, _, data @ ..] | [LONG_DATA, _, _, _, _, data @ ..] => {
                return (data.len() >= 4).then_some(data);
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
        for none in [&[][..], &[253, 9], &[255], &[255, 3, 1, 2, 3], &[0, 8, 1, 2, 3, 4, 5, 6, 7, 8]] {
            assert_eq!(data_of(none), None, "{none:?}");
        }
    }
}
