//! A full pipeline and a live connection in one plugin at once. The protocol stands in tests/guests/reach/src/live.rs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Mutex;

use crate::intake::{Memory, Pace};
use crate::{Call, server};

const FRAME: usize = 64 << 10;
const FRAMES: usize = 24 << 4;
/// Longer silence of the client ends it, as a replication server would.
const SILENCE: Duration = Duration::from_secs(1);
/// A keepalive lies behind what the system has buffered of the data; so long it may wait for its answer.
const ANSWER: Duration = Duration::from_secs(8);

async fn send(stream: &Mutex<OwnedWriteHalf>, letter: u8, payload: &[u8]) -> std::io::Result<()> {
    let head = [&[letter][..], &(payload.len() as u32).to_be_bytes(), payload].concat();
    stream.lock().await.write_all(&head).await
}

/// Streams as fast as the client takes it, sends keepalives, and hangs up on a client that is not there.
async fn replicate(stream: TcpStream, answered: Arc<AtomicUsize>) {
    let (mut read, write) = stream.into_split();
    let write = Arc::new(Mutex::new(write));
    let asked = Arc::new(AtomicUsize::new(0));
    let data = async {
        for n in 0..FRAMES {
            send(&write, b'd', &vec![n as u8; FRAME]).await.unwrap();
        }
        send(&write, b'e', &((FRAMES * FRAME) as u64).to_be_bytes()).await.unwrap();
    };
    let keepalives = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            asked.fetch_add(1, Ordering::Relaxed);
            send(&write, b'k', b"").await.unwrap();
        }
    };
    let listen = async {
        let mut unanswered = Instant::now();
        loop {
            match tokio::time::timeout(SILENCE, read.read_u8()).await {
                Err(_) => panic!("the client said nothing for {SILENCE:?}"),
                Ok(Ok(b'r')) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    unanswered = Instant::now();
                }
                Ok(Ok(b's')) => {}
                Ok(other) => return drop(other),
            }
            let open = asked.load(Ordering::Relaxed) > answered.load(Ordering::Relaxed);
            assert!(!open || unanswered.elapsed() < ANSWER, "a keepalive is unanswered for {ANSWER:?}");
        }
    };
    tokio::select! {
        () = async { tokio::join!(data, keepalives); } => {}
        () = listen => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_connection_beside_a_full_pipeline() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    let address = server(move |stream| replicate(stream, count.clone())).await.to_string();
    // Eight mebibytes a second, and once a store that stands still for longer than the server is patient.
    let pace = Pace { mebibyte: Duration::from_millis(125), hiccup: Some((8 << 20, Duration::from_millis(2_500))) };
    let intake = Arc::new(Memory::paced(pace));
    let begun = Instant::now();
    let call = Call::new("live", format!("tcp://{address}"), &[&address]);
    tokio::time::timeout(Duration::from_secs(60), call.run(&intake)).await.expect("a deadlock").unwrap();
    let all = intake.content("live").unwrap();
    assert_eq!(all.len(), FRAMES * FRAME);
    assert!(all.chunks(FRAME).enumerate().all(|(n, frame)| frame.iter().all(|byte| *byte == n as u8)));
    let (took, answered) = (begun.elapsed(), answered.load(Ordering::Relaxed));
    assert!(took > Duration::from_secs(5), "the pipeline was full: {took:?}");
    assert!(answered >= 5, "{answered} keepalives in {took:?}");
}
