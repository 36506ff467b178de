//! Every bound of the format and of the pipeline, with its reason. FORMAT.md section 12 lists those that bind readers.

use jiff::SignedDuration;

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
/// A shared frame is closed at so many chunks, however short they are.
pub const FRAME_CHUNKS_TARGET: usize = 64 << 10;
/// A reader refuses a frame that claims more plaintext.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// A pack is sealed at this plaintext length: one PUT that is large enough for S3 and small enough that several in
/// flight stay within the memory budget.
pub const PACK_BYTES_TARGET: usize = 16 << 20;
/// A pack is sealed at so many chunks: of a few bytes each, 16 MiB would have more than its trailer and an index can list.
pub const PACK_CHUNKS_TARGET: usize = 128 << 10;
/// A reader refuses a larger pack.
pub const PACK_BYTES_MAX: u64 = 128 << 20;

/// Bounds of the bodies of documents, after decompression.
pub const KEY_BODY_MAX: usize = 64 << 10;
/// See [`KEY_BODY_MAX`].
pub const LEASE_BODY_MAX: usize = 256 << 10;
/// See [`KEY_BODY_MAX`].
pub const RECORD_BODY_MAX: usize = 4 << 20;
/// See [`KEY_BODY_MAX`].
pub const SNAPSHOT_BODY_MAX: usize = 64 << 20;
/// See [`KEY_BODY_MAX`].
pub const INDEX_BODY_MAX: usize = 256 << 20;
/// See [`KEY_BODY_MAX`].
pub const TOMBSTONE_BODY_MAX: usize = 256 << 20;
/// See [`KEY_BODY_MAX`].
pub const DAMAGE_BODY_MAX: usize = 256 << 20;

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

/// Longest name of a time zone in a snapshot: those of the IANA have no more than half of it.
pub const ZONE_NAME_BYTES_MAX: usize = 64;
/// A snapshot whose time is so much later than its arrival, or than now, is from the future: clocks that are kept differ by
/// less.
pub const STARTED_AHEAD_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Longest escaped path: 4,096 bytes of which each may need three, and room.
pub const PATH_BYTES_MAX: usize = 16 << 10;
/// Longest line of a manifest.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// More extents than this move out of the line into chunks of their own.
pub const EXTENTS_INLINE_MAX: usize = 256;
/// Most extents in one such chunk.
pub const EXTENTS_PER_CHUNK_MAX: usize = 4_096;
/// A piece by reference that is shorter than a smallest fixed chunk makes an entry slower to read and larger to list: so many
/// for each GiB begun, then the content must be read anew.
pub const SHORT_PIECES_PER_GIB: u64 = 4_096;
/// Attributes that are set on an entry while it is written: facts of its content, of which a source has a few.
pub const ATTRIBUTES_SET_MAX: usize = 64;
/// Parts of a snapshot that are discarded: each line of the manifest is compared with all of them.
pub const DISCARDED_MAX: usize = 16;
/// Segments of a manifest are cut between these lengths.
pub const SEGMENT_BYTES_MIN: usize = 256 << 10;
/// See [`SEGMENT_BYTES_MIN`].
pub const SEGMENT_BYTES_MAX: usize = CHUNK_BYTES_MAX - LINE_BYTES_MAX;
/// Omitted entries that a snapshot names; the rest are counted.
pub const OMITTED_NAMED_MAX: usize = 1_000;

/// Units of work that wait for a free core: enough that no core starves while another stores a pack.
pub const QUEUE_UNITS: usize = 4;
/// Packs on their way to the store at once: hides a store's latency, and is what memory they may hold.
pub const UPLOADS_IN_FLIGHT: usize = 4;
/// Data packs between two indexes of one run: what a crash may cost is at most this many packs to upload again.
pub const PACKS_PER_INDEX: usize = 64;
/// An index that lists so many chunks gets no more packs: some 20 MB, far below what a reader takes, and what a writer holds.
pub const INDEX_CHUNKS_TARGET: usize = 256 << 10;
/// A pack is in an index so many seconds after it was stored, so that a run that dies has not stored it in vain.
pub const INDEX_SECONDS: u64 = 120;
/// Ids of chunks that a run has stored, held in memory before they are sorted and spilled: twice 8 MiB.
pub const CLAIMS_IN_MEMORY: usize = 256 << 10;
/// Manifest lines held in memory before they are sorted and spilled.
pub const SORT_BYTES: usize = 16 << 20;
/// How far ahead in a content windows are looked for, to be fetched while those before are decoded.
pub const WINDOW_AHEAD_BYTES: u64 = 64 << 20;
/// What of a data pack is read at once: large enough that a request costs little beside its bytes, small enough that little of it
/// is not needed.
pub const WINDOW_BYTES: u64 = 4 << 20;
/// Windows of data packs that a reader keeps: content of several ages lies beside each other.
pub const WINDOWS_CACHED: usize = 16;
/// Whole packs that a reader keeps where a store gives no parts of objects.
pub const WHOLE_PACKS_CACHED: usize = 2;
/// Packs of the catalog that a reader keeps. They are read whole: a manifest is read from its beginning to its end.
pub const CATALOG_PACKS_CACHED: usize = 2;
/// Windows that are fetched ahead at once: hides a store's latency.
pub const WINDOWS_AHEAD: usize = 3;
/// Packs whose header a reader has opened: some hundred bytes each, and the few chunks of age that were decrypted last.
pub const PACKS_OPENED: usize = 32;
/// What of a content is read before it is asked for: as much as keeps the other cores busy while a pack is opened.
pub const READ_AHEAD_BYTES: usize = 8 << 20;
/// Decoded segments of a manifest that a reader keeps.
pub const SEGMENTS_CACHED: usize = 3;
/// Objects on their way from one store to another at once: each is held whole.
pub const COPIES_IN_FLIGHT: usize = 4;
/// Snapshots that the record of a verification names; its body has a limit.
pub const VERIFIED_SNAPSHOTS_MAX: usize = 50_000;
/// Objects read at once where order does not matter (indexes, snapshots, verification).
pub const READS_IN_FLIGHT: usize = 8;

/// Catalog packs read at once before a snapshot is put: each is held whole.
pub const CATALOG_READS_IN_FLIGHT: usize = 2;

/// How long a lease holds without a renewal: a store that does not answer for so long fails the run, and a holder that
/// crashed keeps nobody from the same work for longer.
pub const LEASE_SECONDS: u32 = 1_800;
/// A lease that claims to hold longer is refused; one that cannot be read is taken to hold so long.
pub const LEASE_SECONDS_MAX: u32 = 86_400;
/// After its seconds, a lease still counts for those who delete: a holder that woke from sleep learns that it lapsed, and
/// what it had under way has ended, long before.
pub const LEASE_AFTERLIFE_SECONDS: i64 = 86_400;
/// Numbers of renewals have six digits.
pub const LEASE_NUMBER_MAX: u32 = 999_999;
/// Tombstones, and snapshots, that one lease names: both fit into its body. Tombstones beyond are not named, so they wait.
pub const LEASE_NAMES_MAX: usize = 1_500;
/// Looks at leases until it is clear who of two that began at the same moment goes on.
pub const LEASE_TIE_LOOKS: u32 = 5;
/// Packs that one tombstone condemns.
pub const TOMBSTONE_PACKS_MAX: usize = 100_000;
/// Snapshots that one record of a prune names; further ones go to further records, so that each fits its limit.
pub const PRUNE_RECORD_SNAPSHOTS_MAX: usize = 10_000;
/// Times that a listing is read again because a document that it showed was replaced meanwhile.
pub const LISTING_TRIES: u32 = 5;
/// Looks for a snapshot in the listing after it was put; the waits between them double from 50 ms and sum to a minute.
pub const LISTED_LOOKS: u32 = 11;
/// Requests to one store at the same time: the packs on their way, the reads of a view, and room.
pub const REQUESTS_IN_FLIGHT: usize = 16;
/// A connection that is not made by then is tried again.
pub const CONNECT_SECONDS: u64 = 10;
/// What a request may take beside moving its bytes: the slow answer of a busy store.
pub const REQUEST_SECONDS: u64 = 60;
/// The slowest line that is waited for: a full pack takes nine minutes on it.
pub const LINE_BYTES_PER_SECOND_MIN: u64 = 32 << 10;
/// A body that brings no byte for so long has stalled; bytes that the other side does not confirm for so long are lost.
pub const STALL_SECONDS: u64 = 60;
/// First pause before a request is sent again; each further one may be twice as long.
pub const RETRY_PAUSE_MILLISECONDS: u64 = 200;
/// Longest pause: a store that comes back is found soon.
pub const RETRY_PAUSE_SECONDS_MAX: u64 = 15;
/// No further try after this: longer than a server takes to restart, shorter than a request's signature is valid.
pub const RETRY_SECONDS_MAX: u64 = 180;
/// More tries than that time has room for, because pauses are drawn at random and may stay short.
pub const RETRIES_MAX: usize = 1_000;
/// Connections tried before the first answer of a store: one that never answered is not restarting, its address is wrong.
pub const FIRST_TRIES: usize = 3;
/// A server's error document is a few lines.
pub const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// A page of a listing has a thousand names.
pub const LISTING_BYTES_MAX: usize = 16 << 20;
/// Bytes that a limited line moves at once.
pub const PACE_BYTES: usize = 16 << 10;
/// Longest pause between two looks for packs that come out of cold storage: that takes minutes to days.
pub const THAW_PAUSE_SECONDS_MAX: u64 = 300;
/// Index documents that are read at once have so many bytes together, or are one: decoded, each takes some five times as much.
pub const INDEX_READ_BYTES: u64 = 16 << 20;
/// Chunks of new index documents that are sorted at once: 14 MiB of rows.
pub const INDEX_SORT_CHUNKS: usize = 256 << 10;
/// A new part of the cached index that is longer is made in a file.
pub const INDEX_MEMORY_BYTES: u64 = 4 << 20;
/// The cached index is held in memory up to this length, that of a million chunks: beyond, each lookup reads a block.
pub const INDEX_RESIDENT_BYTES: u64 = 64 << 20;
/// Sorted parts of the cached index: a lookup looks into each.
pub const INDEX_TABLES_MAX: usize = 6;
/// Chunks of packs that are looked at together, where packs are looked at one after the other: each time all of the index
/// is read.
pub const INDEX_BATCH_CHUNKS: u64 = 500_000;

/// A file that a killed write left in a directory is removed when it is so old: no single object takes so long to write.
pub const LEFTOVER_AGE_MIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
