//! Every bound of the format and of the pipeline, with its reason. FORMAT.md section 12 lists those that bind readers.

/// Smallest chunk that content-defined cutting makes, but for the last of a stream.
pub const CHUNK_BYTES_MIN: usize = 256 << 10;
/// The average that cutting aims for: large enough that ids cost little, small enough that an edit costs little.
pub const CHUNK_BYTES_AVERAGE: usize = 1 << 20;
/// Largest chunk; a reader never holds more for one.
pub const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Smallest fixed chunk that a plugin may ask for: below, ids and extents outweigh what deduplication saves.
pub const CHUNK_BYTES_FIXED_MIN: u32 = 64 << 10;

/// Chunks below this share a frame, so that a tree of small files compresses as well as a tar of it.
pub const FRAME_ALONE_BYTES: usize = 512 << 10;
/// A shared frame is closed at this plaintext length.
pub const FRAME_BYTES_TARGET: usize = 1 << 20;
/// A reader refuses a frame that claims more plaintext.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// A pack is sealed at this plaintext length: one PUT that is large enough for S3 and small enough that several in
/// flight stay within the memory budget.
pub const PACK_BYTES_TARGET: usize = 16 << 20;
/// A reader refuses a larger pack.
pub const PACK_BYTES_MAX: u64 = 128 << 20;

/// Bounds of the bodies of documents, after decompression.
pub const KEY_BODY_MAX: usize = 64 << 10;
/// See [`KEY_BODY_MAX`].
pub const RECORD_BODY_MAX: usize = 4 << 20;
/// See [`KEY_BODY_MAX`].
pub const SNAPSHOT_BODY_MAX: usize = 64 << 20;
/// See [`KEY_BODY_MAX`].
pub const INDEX_BODY_MAX: usize = 256 << 20;

/// Work (as a power of two) that a passphrase costs whoever opens with it: what the `age` program takes, a second or so.
pub const PASSPHRASE_WORK: u8 = 18;
/// A key document that asks for more is refused: 1 GiB of memory, and whoever can write to the store chooses it.
pub const PASSPHRASE_WORK_MAX: u8 = 20;
/// The same for an owner's own key file, which other programs made with what their machine could.
pub const KEY_FILE_WORK_MAX: u8 = 22;
/// An owner's key file is a few lines.
pub const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
/// Whoever has the store can try passphrases for ever: shorter ones are refused.
pub const PASSPHRASE_CHARS_MIN: usize = 12;
/// Packs whose headers are read to find one of each epoch.
pub const PACKS_PROBED_MAX: usize = 2_000;

/// Longest escaped path: 4,096 bytes of which each may need three, and room.
pub const PATH_BYTES_MAX: usize = 16 << 10;
/// Longest line of a manifest.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// More extents than this move out of the line into chunks of their own.
pub const EXTENTS_INLINE_MAX: usize = 256;
/// Most extents in one such chunk.
pub const EXTENTS_PER_CHUNK_MAX: usize = 4_096;
/// Segments of a manifest are cut between these lengths.
pub const SEGMENT_BYTES_MIN: usize = 256 << 10;
/// See [`SEGMENT_BYTES_MIN`].
pub const SEGMENT_BYTES_MAX: usize = CHUNK_BYTES_MAX - LINE_BYTES_MAX;
/// Omitted entries that a snapshot names; the rest are counted.
pub const OMITTED_NAMED_MAX: usize = 1_000;

/// Units of work that wait for a free core: enough that no core starves while another stores a pack.
pub const QUEUE_UNITS: usize = 8;
/// Packs on their way to the store at once: hides a store's latency, and is what memory they may hold.
pub const UPLOADS_IN_FLIGHT: usize = 4;
/// Data packs between two indexes of one run: what a crash may cost is at most this many packs to upload again.
pub const PACKS_PER_INDEX: usize = 64;
/// Manifest lines held in memory before they are sorted and spilled.
pub const SORT_BYTES: usize = 32 << 20;
/// Decoded packs that a reader keeps.
pub const PACKS_CACHED: usize = 4;
/// Decoded segments of a manifest that a reader keeps.
pub const SEGMENTS_CACHED: usize = 3;
/// Objects read at once where order does not matter (indexes, snapshots, verification).
pub const READS_IN_FLIGHT: usize = 8;
