//! Content of several ages: what is fetched of packs of which later snapshots left little.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dozo_repository::{Cutting, Entry, Store};
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use super::{House, data_packs, house_in, noise, put};

const CHUNK: usize = 128 << 10;
const CHUNKS: usize = 320;
const AGES: usize = 8;

/// A content of which each snapshot has one chunk of eight anew, all over it.
async fn aged(house: &House) -> Vec<u8> {
    let mut content = noise(CHUNKS * CHUNK, 0);
    for age in 0..AGES {
        for chunk in (0..CHUNKS).filter(|chunk| age > 0 && (chunk * 7 + chunk / 8) % AGES == age) {
            content[chunk * CHUNK..][..CHUNK].copy_from_slice(&noise(CHUNK, (chunk * AGES + age) as u8));
        }
        let writer = house.writer().await;
        let mut entry = writer.entry(Entry::file("f"), Cutting::Every(CHUNK as u32));
        entry.write(&content).await.unwrap();
        entry.finish().await.unwrap();
        house.commit(writer).await;
    }
    content
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_fetches_little_more_than_it_needs() {
    let fetched = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: InMemory::new(), fetched: fetched.clone() };
    let house = house_in(&Store::over(Arc::new(counted), "counted")).await;
    let content = aged(&house).await;
    fetched.store(0, Ordering::Relaxed);
    assert!(house.read("f", 0).await == content);
    let (got, whole) = (fetched.load(Ordering::Relaxed), content.len() as u64);
    // What changed since the first snapshot lies there, too, unneeded: 7 of 8 chunks, in the midst of the eighth.
    assert!(got < 2 * whole + (8 << 20), "{got} bytes of packs for {whole} bytes of content");
}

/// Of each pack of the first snapshot the second one needs a MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_of_which_little_is_needed_are_not_fetched_whole() {
    let fetched = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: InMemory::new(), fetched: fetched.clone() };
    let house = house_in(&Store::over(Arc::new(counted), "counted")).await;
    let (old, new) = (noise(64 << 20, 1), noise(64 << 20, 2));
    let mixed: Vec<u8> = old
        .chunks(1 << 20)
        .zip(new.chunks(1 << 20))
        .enumerate()
        .flat_map(|(number, (old, new))| if number % 16 == 2 { old } else { new })
        .copied()
        .collect();
    for content in [&old, &mixed] {
        let writer = house.writer().await;
        let mut entry = writer.entry(Entry::file("f"), Cutting::Every(CHUNK as u32));
        entry.write(content).await.unwrap();
        entry.finish().await.unwrap();
        house.commit(writer).await;
    }
    fetched.store(0, Ordering::Relaxed);
    assert!(house.read("f", 0).await == mixed);
    // Of four packs a window, or two.
    let (got, most) = (fetched.load(Ordering::Relaxed), (60 + 4 * 9) << 20);
    assert!(got < most, "{got} bytes, of packs with {}", 124 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_beside_what_is_read_is_not_met() {
    let dir = tempfile::tempdir().unwrap();
    let house = house_in(&Store::local(dir.path()).unwrap()).await;
    let writer = house.writer().await;
    put(&writer, "f", &noise(14 << 20, 1)).await;
    house.commit(writer).await;
    let [pack] = &data_packs(dir.path())[..] else { panic!("one pack") };
    let mut bytes = std::fs::read(pack).unwrap();
    bytes[13 << 20] ^= 1;
    std::fs::write(pack, bytes).unwrap();
    let read = house.read_until_error("f", 14 << 20).await;
    assert!(((5 << 20)..=(13 << 20)).contains(&read.len()), "{} bytes", read.len());
    assert!(read == noise(14 << 20, 1)[..read.len()]);
}

/// A store that counts the bytes of packs that are fetched.
#[derive(Debug)]
struct Counted {
    inner: InMemory,
    fetched: Arc<AtomicU64>,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counted")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, name: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(name, payload, options).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unimplemented!("packs are put in one call")
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        let result = self.inner.get_opts(name, options).await?;
        if name.as_ref().starts_with("packs/") {
            self.fetched.fetch_add(result.range.end - result.range.start, Ordering::Relaxed);
        }
        Ok(result)
    }

    async fn get_ranges(&self, _: &Path, _: &[Range<u64>]) -> Result<Vec<Bytes>> {
        unimplemented!("one range at a time")
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(names)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unimplemented!("listings are whole")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unimplemented!("nothing is copied")
    }
}
