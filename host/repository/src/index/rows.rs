//! The rows of a table, as bytes of a fixed length. What they are for is the affair of [`super::table`].

use super::block::ROWS_BYTES;
use crate::format::name::PackKind;
use crate::id::{ChunkId, ObjectId};

/// What a section of a table is made of.
pub(super) trait Row: Sized {
    /// Length of one.
    const BYTES: usize;
    /// How many a block holds.
    const PER_BLOCK: usize = ROWS_BYTES / Self::BYTES;
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it from exactly [`Row::BYTES`].
    fn take(bytes: &[u8]) -> Self;
}

/// A document of the index, and how many of the rows that follow are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DocumentRow {
    pub(super) id: ObjectId,
    /// Length of the object.
    pub(super) bytes: u32,
    pub(super) packs: u32,
    pub(super) chunks: u32,
}

/// A pack as a document names it; in the order of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackRow {
    pub(super) id: ObjectId,
    pub(super) kind: PackKind,
    pub(super) bytes: u32,
    pub(super) chunks: u32,
    pub(super) plain_bytes: u64,
}

/// A chunk in a pack of its table. The order of fields is the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChunkRow {
    pub(super) id: ChunkId,
    /// Which pack row of the same table.
    pub(super) pack: u32,
    /// Where its frame begins in the pack's plaintext.
    pub(super) start: u32,
    /// Where it begins in the frame's plaintext.
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) frame_bytes: u32,
    pub(super) frame_plain_bytes: u32,
}

impl Row for DocumentRow {
    const BYTES: usize = 44;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        put_numbers(out, &[self.bytes, self.packs, self.chunks]);
    }

    fn take(mut bytes: &[u8]) -> Self {
        let id = ObjectId(part(&mut bytes));
        let (length, packs, chunks) = (number(&mut bytes), number(&mut bytes), number(&mut bytes));
        DocumentRow { id, bytes: length, packs, chunks }
    }
}

impl Row for PackRow {
    const BYTES: usize = 49;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        out.push(u8::from(self.kind == PackKind::Catalog));
        put_numbers(out, &[self.bytes, self.chunks]);
        out.extend_from_slice(&self.plain_bytes.to_le_bytes());
    }

    fn take(mut bytes: &[u8]) -> Self {
        let id = ObjectId(part(&mut bytes));
        let kind = if part(&mut bytes) == [0] { PackKind::Data } else { PackKind::Catalog };
        let (length, chunks) = (number(&mut bytes), number(&mut bytes));
        PackRow { id, kind, bytes: length, chunks, plain_bytes: u64::from_le_bytes(part(&mut bytes)) }
    }
}

impl Row for ChunkRow {
    const BYTES: usize = 56;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        let numbers = [self.pack, self.start, self.offset, self.length, self.frame_bytes, self.frame_plain_bytes];
        put_numbers(out, &numbers);
    }

    fn take(mut bytes: &[u8]) -> Self {
        ChunkRow {
            id: ChunkId(part(&mut bytes)),
            pack: number(&mut bytes),
            start: number(&mut bytes),
            offset: number(&mut bytes),
            length: number(&mut bytes),
            frame_bytes: number(&mut bytes),
            frame_plain_bytes: number(&mut bytes),
        }
    }
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn number(bytes: &mut &[u8]) -> u32 {
    u32::from_le_bytes(part(bytes))
}

/// The next part of a row; rows are never short, because blocks are not.
fn part<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (mine, rest) = bytes.split_at(N);
    *bytes = rest;
    let mut part = [0; N];
    part.copy_from_slice(mine);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<R: Row + PartialEq + std::fmt::Debug>(row: &R) {
        let mut bytes = Vec::new();
        row.put(&mut bytes);
        assert_eq!(bytes.len(), R::BYTES);
        assert_eq!(R::take(&bytes), *row);
    }

    #[test]
    fn rows_come_back() {
        comes_back(&DocumentRow { id: ObjectId([1; 32]), bytes: 1, packs: 2, chunks: u32::MAX });
        for kind in [PackKind::Data, PackKind::Catalog] {
            comes_back(&PackRow { id: ObjectId([1; 32]), kind, bytes: 2, chunks: 3, plain_bytes: u64::MAX - 1 });
        }
        let (id, frame_bytes, frame_plain_bytes) = (ChunkId([9; 32]), 5, 6);
        comes_back(&ChunkRow { id, pack: 1, start: 2, offset: 3, length: 4, frame_bytes, frame_plain_bytes });
    }
}
