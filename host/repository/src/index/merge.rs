//! Reading several tables as one, in the order of chunk ids, and making one table of several. Memory holds some blocks of
//! each, however long they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;

use super::live::Live;
use super::rows::{ChunkRow, DocumentRow, PackRow};
use super::table::{Rows, Table};
use crate::id::ChunkId;

/// No pack: its document is gone, or the pack does not count.
pub(super) const NONE: u32 = u32::MAX;

/// A row of one of the tables. The order of fields is the order in which rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    id: ChunkId,
    pub(super) table: usize,
    pub(super) position: u32,
    pub(super) row: ChunkRow,
}

/// All rows of some tables, sorted.
pub(super) struct Merge<'a> {
    sources: Vec<(u32, Rows<'a, ChunkRow>)>,
    heads: BinaryHeap<Reverse<Candidate>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(tables: impl Iterator<Item = &'a Table>) -> io::Result<Self> {
        let mut merge = Merge { sources: tables.map(|table| (0, table.chunks())).collect(), heads: BinaryHeap::new() };
        for table in 0..merge.sources.len() {
            let head = merge.advance(table)?;
            merge.heads.extend(head.map(Reverse));
        }
        Ok(merge)
    }

    fn advance(&mut self, table: usize) -> io::Result<Option<Candidate>> {
        let (next, rows) = &mut self.sources[table];
        let Some(row) = rows.next().transpose()? else { return Ok(None) };
        let position = *next;
        *next += 1;
        Ok(Some(Candidate { id: row.id, table, position, row }))
    }

    fn pop(&mut self) -> io::Result<Option<Candidate>> {
        let Some(Reverse(first)) = self.heads.peek().copied() else { return Ok(None) };
        let next = self.advance(first.table)?;
        match (self.heads.peek_mut(), next) {
            (Some(mut head), Some(next)) => *head = Reverse(next),
            (Some(head), None) => drop(PeekMut::pop(head)),
            (None, _) => {}
        }
        Ok(Some(first))
    }

    /// All rows of the next chunk; false at the end.
    pub(super) fn next_chunk(&mut self, rows: &mut Vec<Candidate>) -> io::Result<bool> {
        rows.clear();
        let Some(first) = self.pop()? else { return Ok(false) };
        rows.push(first);
        while self.heads.peek().is_some_and(|Reverse(head)| head.id == first.id) {
            rows.extend(self.pop()?);
        }
        Ok(true)
    }
}

/// What is left of several tables without the documents that are gone: the parts of one table.
pub(super) struct Merged<'a> {
    tables: &'a [Live],
    pub(super) documents: Vec<DocumentRow>,
    /// For each table, which pack of the new one each of its packs becomes.
    packs: Vec<Vec<u32>>,
}

impl<'a> Merged<'a> {
    pub(super) fn new(tables: &'a [Live]) -> Self {
        let documents = tables.iter().flat_map(Live::documents).filter(|(_, live)| *live).map(|(row, _)| *row);
        let mut next = 0;
        let mut renumber = |live: bool| {
            let number = if live { next } else { NONE };
            next += u32::from(live);
            number
        };
        let packs = tables.iter().map(|table| table.packs_live().map(&mut renumber).collect()).collect();
        Merged { tables, documents: documents.collect(), packs }
    }

    pub(super) fn packs(&self) -> impl Iterator<Item = io::Result<PackRow>> {
        let packs = self.tables.iter().zip(&self.packs).flat_map(|(table, numbers)| table.table.packs().zip(numbers));
        packs.filter(|(row, number)| row.is_err() || **number != NONE).map(|(row, _)| row)
    }

    pub(super) fn chunks(&self) -> io::Result<impl Iterator<Item = io::Result<ChunkRow>>> {
        let mut merge = Merge::new(self.tables.iter().map(|table| &table.table))?;
        let (mut group, mut rows) = (Vec::new(), Vec::new().into_iter());
        Ok(std::iter::from_fn(move || {
            loop {
                if let Some(row) = rows.next() {
                    return Some(Ok(row));
                }
                match merge.next_chunk(&mut group) {
                    Ok(true) => rows = self.renumbered(&group).into_iter(),
                    Ok(false) => return None,
                    Err(e) => return Some(Err(e)),
                }
            }
        }))
    }

    /// In the order of the new numbers, so that a table depends on its documents alone.
    fn renumbered(&self, group: &[Candidate]) -> Vec<ChunkRow> {
        let new = |candidate: &Candidate| {
            let pack = self.packs[candidate.table][candidate.row.pack as usize];
            (pack != NONE).then_some(ChunkRow { pack, ..candidate.row })
        };
        let mut rows: Vec<ChunkRow> = group.iter().filter_map(new).collect();
        rows.sort_unstable();
        rows
    }
}
