//! A table: one file of the local cache, or its bytes in memory. First the documents that it was made of, then the packs
//! that they name, then the chunks of those, sorted by id. Of the chunks, memory holds eight bytes for each block and two
//! for each row; a lookup reads one block, and no block for nearly all chunks that are not there. A table is read whole,
//! and every seal of it checked, before it answers anything. Knows nothing of what is in the store.

use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::block::{BLOCK_BYTES, Seals, wrong};
use super::rows::{ChunkRow, DocumentRow, PackRow, Row};
use crate::id::ChunkId;

/// Another layout has another one: a file that does not begin so is not read.
const MAGIC: &[u8; 24] = b"dozo index table 1\0\0\0\0\0\0";
/// Blocks that are read at once where rows are read one after the other.
const BLOCKS_AT_ONCE: u64 = 16;

/// Where the blocks lie.
pub(super) enum Bytes {
    Memory(Vec<u8>),
    File(File),
}

/// The first block.
#[derive(Clone, Copy)]
struct Head {
    id: [u8; 32],
    documents: u32,
    packs: u32,
    chunks: u32,
}

/// One section: the blocks that it fills, and its rows.
struct Section {
    blocks: Range<u64>,
    rows: u32,
}

/// A sorted part of the index.
pub(super) struct Table {
    bytes: Bytes,
    seals: Seals,
    head: Head,
    documents: Vec<DocumentRow>,
    /// Of each block of chunks, the first eight bytes of the first id.
    fences: Vec<u64>,
    /// Of each chunk, the two bytes that follow these.
    tags: Vec<u16>,
}

impl Bytes {
    fn length(&self) -> io::Result<u64> {
        match self {
            Bytes::Memory(bytes) => Ok(bytes.len() as u64),
            Bytes::File(file) => Ok(file.metadata()?.len()),
        }
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Bytes::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| wrong())?;
                let from = start.checked_add(into.len()).and_then(|end| bytes.get(start..end));
                into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Bytes::File(file) => file.read_exact_at(into, offset),
        }
    }
}

impl Head {
    fn new(key: &[u8; 32], documents: &[DocumentRow]) -> Self {
        let (mut hasher, mut row) = (blake3::Hasher::new_keyed(key), Vec::new());
        for document in documents {
            row.clear();
            document.put(&mut row);
            hasher.update(&row);
        }
        // More than fits is found when fewer rows are counted than come.
        let sum = |of: fn(&DocumentRow) -> u32| documents.iter().map(of).fold(0, u32::saturating_add);
        let (packs, chunks) = (sum(|document| document.packs), sum(|document| document.chunks));
        // Documents never change, so a table is what its documents are.
        Head { id: hasher.finalize().into(), documents: documents.len() as u32, packs, chunks }
    }

    fn to_rows(self) -> Vec<u8> {
        let mut rows = [MAGIC.as_slice(), &self.id].concat();
        for number in [self.documents, self.packs, self.chunks] {
            rows.extend_from_slice(&number.to_le_bytes());
        }
        rows
    }

    fn parse(block: &[u8]) -> io::Result<Self> {
        let rest = block.strip_prefix(MAGIC).ok_or_else(wrong)?;
        let (id, mut rest) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
        let mut number = || {
            let (number, after) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
            rest = after;
            Ok::<_, io::Error>(u32::from_le_bytes(*number))
        };
        Ok(Head { id: *id, documents: number()?, packs: number()?, chunks: number()? })
    }

    fn documents(self) -> Section {
        Section::after(1, self.documents, DocumentRow::PER_BLOCK)
    }

    fn packs(self) -> Section {
        Section::after(self.documents().blocks.end, self.packs, PackRow::PER_BLOCK)
    }

    fn chunks(self) -> Section {
        Section::after(self.packs().blocks.end, self.chunks, ChunkRow::PER_BLOCK)
    }

    fn bytes(self) -> u64 {
        self.chunks().blocks.end * BLOCK_BYTES as u64
    }
}

impl Section {
    fn after(block: u64, rows: u32, per_block: usize) -> Self {
        Section { blocks: block..block + u64::from(rows).div_ceil(per_block as u64), rows }
    }
}

/// How long the file of a table of these documents is.
pub(super) fn table_bytes(documents: &[DocumentRow]) -> u64 {
    Head::new(&[0; 32], documents).bytes()
}

/// Writes a table. The packs and the chunks are those of the documents, the chunks sorted.
pub(super) fn write_table(
    out: &mut impl Write,
    key: &[u8; 32],
    documents: &[DocumentRow],
    packs: impl Iterator<Item = io::Result<PackRow>>,
    chunks: impl Iterator<Item = io::Result<ChunkRow>>,
) -> io::Result<()> {
    let head = Head::new(key, documents);
    let seals = Seals::new(key, &head.id);
    let mut first = head.to_rows();
    seals.close(&mut first, 0);
    out.write_all(&first)?;
    write_section(out, &seals, head.documents(), documents.iter().copied().map(Ok))?;
    write_section(out, &seals, head.packs(), packs)?;
    write_section(out, &seals, head.chunks(), chunks)?;
    out.flush()
}

fn write_section<R: Row>(
    out: &mut impl Write,
    seals: &Seals,
    section: Section,
    mut rows: impl Iterator<Item = io::Result<R>>,
) -> io::Result<()> {
    let (mut block, mut left) = (Vec::with_capacity(BLOCK_BYTES), section.rows as usize);
    for number in section.blocks {
        block.clear();
        for _ in 0..left.min(R::PER_BLOCK) {
            rows.next().ok_or_else(|| io::Error::other("there are fewer rows than were counted"))??.put(&mut block);
        }
        left = left.saturating_sub(R::PER_BLOCK);
        seals.close(&mut block, number);
        out.write_all(&block)?;
    }
    match rows.next() {
        None => Ok(()),
        Some(_) => Err(io::Error::other("there are more rows than were counted")),
    }
}

impl Table {
    /// Reads and checks all of it.
    pub(super) fn open(bytes: Bytes, key: &[u8; 32]) -> io::Result<Self> {
        let mut first = vec![0; BLOCK_BYTES];
        bytes.read_at(&mut first, 0)?;
        let head = Head::parse(&first)?;
        let seals = Seals::new(key, &head.id);
        seals.open(&first, 0)?;
        if bytes.length()? != head.bytes() {
            return Err(wrong());
        }
        let mut table = Table { bytes, seals, head, documents: Vec::new(), fences: Vec::new(), tags: Vec::new() };
        table.documents = table.rows(head.documents()).collect::<io::Result<_>>()?;
        table.packs().try_for_each(|pack| pack.map(drop))?;
        let (mut fences, mut tags) = (Vec::new(), Vec::with_capacity(head.chunks as usize));
        for (position, chunk) in table.chunks().enumerate() {
            let (fence, tag) = key_of(&chunk?.id);
            if position % ChunkRow::PER_BLOCK == 0 {
                fences.push(fence);
            }
            tags.push(tag);
        }
        (table.fences, table.tags) = (fences, tags);
        Ok(table)
    }

    /// The same table with its bytes in memory.
    pub(super) fn into_memory(self, key: &[u8; 32]) -> io::Result<Self> {
        let mut bytes = vec![0; usize::try_from(self.head.bytes()).map_err(|_| wrong())?];
        self.bytes.read_at(&mut bytes, 0)?;
        Table::open(Bytes::Memory(bytes), key)
    }

    /// Its bytes, if they are in memory.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        match &self.bytes {
            Bytes::Memory(bytes) => Some(bytes),
            Bytes::File(_) => None,
        }
    }

    /// Its name.
    pub(super) fn id(&self) -> &[u8; 32] {
        &self.head.id
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.head.bytes()
    }

    pub(super) fn documents(&self) -> &[DocumentRow] {
        &self.documents
    }

    pub(super) fn pack_count(&self) -> u32 {
        self.head.packs
    }

    pub(super) fn chunk_count(&self) -> u32 {
        self.head.chunks
    }

    /// All packs, in the order of the documents.
    pub(super) fn packs(&self) -> Rows<'_, PackRow> {
        self.rows(self.head.packs())
    }

    /// All chunks, sorted.
    pub(super) fn chunks(&self) -> Rows<'_, ChunkRow> {
        self.rows(self.head.chunks())
    }

    fn rows<R: Row>(&self, section: Section) -> Rows<'_, R> {
        let Section { blocks, rows } = section;
        Rows { table: self, blocks, left: rows, buffer: Vec::new(), block: 0, row: R::PER_BLOCK, of: PhantomData }
    }

    /// Hands every row of a chunk to `take`, with its position.
    pub(super) fn find(&self, id: &ChunkId, mut take: impl FnMut(u32, ChunkRow)) -> io::Result<()> {
        let (fence, tag) = key_of(id);
        // The block before may end with the same id.
        let first = self.fences.partition_point(|of_block| *of_block < fence).saturating_sub(1);
        for (block, tags) in self.tags.chunks(ChunkRow::PER_BLOCK).enumerate().skip(first) {
            if self.fences[block] > fence {
                break;
            }
            if tags.contains(&tag) {
                self.find_in(block, tags, id, &mut take)?;
            }
        }
        Ok(())
    }

    fn find_in(
        &self,
        block: usize,
        tags: &[u16],
        id: &ChunkId,
        take: &mut impl FnMut(u32, ChunkRow),
    ) -> io::Result<()> {
        let number = self.head.chunks().blocks.start + block as u64;
        let offset = number * BLOCK_BYTES as u64;
        let mut read = [0; BLOCK_BYTES];
        let rows = match &self.bytes {
            // Checked when it was read.
            Bytes::Memory(bytes) => bytes.get(offset as usize..).ok_or_else(wrong)?,
            Bytes::File(_) => {
                self.bytes.read_at(&mut read, offset)?;
                self.seals.open(&read, number)?
            }
        };
        let (_, tag) = key_of(id);
        for (row, _) in tags.iter().enumerate().filter(|(_, of_row)| **of_row == tag) {
            let bytes = &rows[row * ChunkRow::BYTES..][..ChunkRow::BYTES];
            if bytes.starts_with(&id.0) {
                take((block * ChunkRow::PER_BLOCK + row) as u32, ChunkRow::take(bytes));
            }
        }
        Ok(())
    }
}

/// The parts of an id that memory holds. Ids are random, so these are, too.
fn key_of(id: &ChunkId) -> (u64, u16) {
    let mut fence = [0; 8];
    fence.copy_from_slice(&id.0[..8]);
    (u64::from_be_bytes(fence), u16::from_le_bytes([id.0[8], id.0[9]]))
}

/// The rows of a section, one after the other.
pub(super) struct Rows<'a, R> {
    table: &'a Table,
    /// Blocks to read.
    blocks: Range<u64>,
    /// Rows to come.
    left: u32,
    /// Blocks that were read, which of them is at hand, and which row of it comes next.
    buffer: Vec<u8>,
    block: usize,
    row: usize,
    of: PhantomData<R>,
}

impl<R: Row> Rows<'_, R> {
    fn next_block(&mut self) -> io::Result<()> {
        self.row = 0;
        self.block += 1;
        if self.block * BLOCK_BYTES < self.buffer.len() {
            return Ok(());
        }
        self.block = 0;
        let count = BLOCKS_AT_ONCE.min(self.blocks.end.saturating_sub(self.blocks.start));
        self.buffer.resize(count as usize * BLOCK_BYTES, 0);
        self.table.bytes.read_at(&mut self.buffer, self.blocks.start * BLOCK_BYTES as u64)?;
        for (number, block) in (self.blocks.start..).zip(self.buffer.chunks(BLOCK_BYTES)) {
            self.table.seals.open(block, number)?;
        }
        self.blocks.start += count;
        Ok(())
    }
}

impl<R: Row> Iterator for Rows<'_, R> {
    type Item = io::Result<R>;

    fn next(&mut self) -> Option<io::Result<R>> {
        if self.left == 0 {
            return None;
        }
        if self.row == R::PER_BLOCK
            && let Err(e) = self.next_block()
        {
            self.left = 0;
            return Some(Err(e));
        }
        let at = self.block * BLOCK_BYTES + self.row * R::BYTES;
        let row = R::take(&self.buffer[at..at + R::BYTES]);
        self.row += 1;
        self.left -= 1;
        Some(Ok(row))
    }
}
