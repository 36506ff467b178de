//! Ports for servers that take a number and bind it later, or again after they were killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what systems hand out to connections (Linux: from 32,768): a port of theirs that was free a moment ago is the near
/// end of some other test's connection when the server binds it.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;
/// SeaweedFS takes the port so far above its own too.
const PARTNER: u16 = 10_000;

/// A port that nobody else has, nor the one 10,000 above it. It is this process's until it ends: tests are processes of their
/// own, and what they took is held by locks on files.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id() % u32::from(COUNT);
    for _ in 0..COUNT {
        let place = begin + 37 * u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + (place % u32::from(COUNT)) as u16;
        let Some(lock) = claim(port) else { continue };
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + PARTNER) {
            std::mem::forget(lock);
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}

fn claim(port: u16) -> Option<File> {
    let dir = std::env::temp_dir().join(format!("dozo-tests-ports-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(port.to_string())).unwrap();
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("the port {port} cannot be locked: {error}"),
    }
}
