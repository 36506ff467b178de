//! Sorts the lines of a manifest in bounded memory: whatever order a plugin reads its source in, and however many
//! entries it has. Runs that do not fit are spilled, compressed, to unnamed temporary files of the scratch directory.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::limits::SORT_BYTES;
use crate::path;

/// Speed over size: a spilled run lives for minutes.
const LEVEL: i32 = 1;

/// One line and the path that orders it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) path: String,
    pub(crate) line: Vec<u8>,
}

impl Ord for Keyed {
    fn cmp(&self, other: &Self) -> Ordering {
        path::compare(&self.path, &other.path)
    }
}

impl PartialOrd for Keyed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Collects lines in any order.
pub(crate) struct Sorter {
    scratch: PathBuf,
    memory: Vec<Keyed>,
    memory_bytes: usize,
    runs: Vec<File>,
}

impl Sorter {
    /// A sorter that spills to files in `scratch`, which are gone when it is.
    pub(crate) fn new(scratch: PathBuf) -> Self {
        Sorter { scratch, memory: Vec::new(), memory_bytes: 0, runs: Vec::new() }
    }

    pub(crate) fn push(&mut self, keyed: Keyed) -> Result<()> {
        self.memory_bytes += keyed.path.len() + keyed.line.len() + size_of::<Keyed>();
        self.memory.push(keyed);
        if self.memory_bytes >= SORT_BYTES { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        let run = std::mem::take(&mut self.memory);
        self.memory_bytes = 0;
        let file = write_run(&self.scratch, run)
            .map_err(|e| Error::io(format!("sort the manifest in {}", self.scratch.display()), e))?;
        self.runs.push(file);
        Ok(())
    }

    /// All lines in order of path.
    pub(crate) fn sorted(mut self) -> Result<Sorted> {
        self.memory.sort_unstable();
        let mut sources: Vec<Run> = Vec::with_capacity(self.runs.len() + 1);
        for file in self.runs {
            let reader = read_run(file).map_err(|e| Error::io("read a sorted run of the manifest", e))?;
            sources.push(Run::Spilled(Box::new(reader)));
        }
        sources.push(Run::Memory(self.memory.into_iter()));
        let mut sorted = Sorted { sources, heads: BinaryHeap::new() };
        for source in 0..sorted.sources.len() {
            sorted.advance(source)?;
        }
        Ok(sorted)
    }
}

/// A merge of all runs.
pub(crate) struct Sorted {
    sources: Vec<Run>,
    heads: BinaryHeap<Reverse<(Keyed, usize)>>,
}

enum Run {
    Memory(std::vec::IntoIter<Keyed>),
    Spilled(Box<dyn Read + Send>),
}

impl Sorted {
    fn advance(&mut self, source: usize) -> Result<()> {
        let next = match &mut self.sources[source] {
            Run::Memory(lines) => lines.next(),
            Run::Spilled(reader) => {
                read_keyed(reader).map_err(|e| Error::io("read a sorted run of the manifest", e))?
            }
        };
        self.heads.extend(next.map(|keyed| Reverse((keyed, source))));
        Ok(())
    }

    /// The next line in order.
    pub(crate) fn next(&mut self) -> Result<Option<Keyed>> {
        let Some(Reverse((keyed, source))) = self.heads.pop() else { return Ok(None) };
        self.advance(source)?;
        Ok(Some(keyed))
    }
}

fn write_run(scratch: &PathBuf, mut run: Vec<Keyed>) -> std::io::Result<File> {
    run.sort_unstable();
    let file = tempfile::tempfile_in(scratch)?;
    let mut writer = BufWriter::with_capacity(256 << 10, zstd::stream::Encoder::new(file, LEVEL)?);
    for Keyed { path, line } in run {
        for part in [path.as_bytes(), &line] {
            writer.write_all(&(part.len() as u32).to_le_bytes())?;
            writer.write_all(part)?;
        }
    }
    writer.write_all(&u32::MAX.to_le_bytes())?;
    let mut file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()?;
    file.rewind()?;
    Ok(file)
}

fn read_run(file: File) -> std::io::Result<impl Read + Send> {
    Ok(BufReader::with_capacity(64 << 10, zstd::stream::Decoder::new(file)?))
}

/// The next line of a run, or none at its mark; a run without its mark is an error like any other short read.
fn read_keyed(reader: &mut dyn Read) -> std::io::Result<Option<Keyed>> {
    let Some(path) = read_part(reader)? else { return Ok(None) };
    let line = read_part(reader)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let path = String::from_utf8(path).map_err(|_| std::io::ErrorKind::InvalidData)?;
    Ok(Some(Keyed { path, line }))
}

fn read_part(reader: &mut dyn Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length == u32::MAX {
        return Ok(None);
    }
    let mut part = vec![0; length as usize];
    reader.read_exact(&mut part)?;
    Ok(Some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(path: &str) -> Keyed {
        Keyed { path: path.into(), line: format!("line of {path}").into_bytes() }
    }

    #[test]
    fn spilled_runs_merge_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path().into());
        let mut expected = Vec::new();
        for n in 0..5_000u32 {
            let path = format!("d{}/{}", n.wrapping_mul(2_654_435_761) % 97, n);
            sorter.push(keyed(&path)).unwrap();
            expected.push(path);
            if n % 1_000 == 999 {
                sorter.spill().unwrap();
            }
        }
        expected.sort_by(|a, b| path::compare(a, b));
        let mut sorted = sorter.sorted().unwrap();
        let mut found = Vec::new();
        while let Some(keyed) = sorted.next().unwrap() {
            assert_eq!(keyed.line, format!("line of {}", keyed.path).into_bytes());
            found.push(keyed.path);
        }
        assert_eq!(found, expected);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "spilled runs have no names");
    }

    #[test]
    fn a_scratch_that_is_not_there_is_named() {
        let mut sorter = Sorter::new("/nonexistent/scratch".into());
        sorter.push(keyed("a")).unwrap();
        assert!(sorter.spill().unwrap_err().chain().contains("/nonexistent/scratch"));
    }
}
