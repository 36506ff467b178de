//! The line between dozo and a server, with faults: a port that leads to the server's, and is cut or stalls after a number
//! of bytes that came from there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

/// Bytes carried at once.
const PIECE_BYTES: usize = 16 << 10;
/// A line that stalls does so no longer: no test may hang.
const STALL_MAX: Duration = Duration::from_secs(120);

/// What becomes of the bytes that the server sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// They arrive.
    Carry,
    /// So many arrive, of all connections together, then all connections end, and new ones as they begin.
    CutAfter(u64),
    /// So many arrive, then all connections end; those that are begun later are carried.
    CutOnceAfter(u64),
    /// So many arrive, then nothing moves until the plan is another.
    StallAfter(u64),
}

struct State {
    plan: Plan,
    carried: u64,
    /// Whether the plan has come to its end.
    reached: bool,
    open: Vec<Weak<TcpStream>>,
}

/// A port on loopback.
pub(crate) struct Line {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Line {
    /// To a server's port.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { plan: Plan::Carry, carried: 0, reached: false, open: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                carry(client, server, &theirs);
            }
        });
        Line { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Everything arrives from now on.
    pub(crate) fn carry(&self) {
        self.plan(Plan::Carry);
    }

    /// So many more bytes arrive, then every connection ends.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.plan(Plan::CutAfter(bytes));
    }

    /// So many more bytes arrive, then every connection ends; later ones do not.
    pub(crate) fn cut_once_after(&self, bytes: u64) {
        self.plan(Plan::CutOnceAfter(bytes));
    }

    /// So many more bytes arrive, then nothing moves.
    pub(crate) fn stall_after(&self, bytes: u64) {
        self.plan(Plan::StallAfter(bytes));
    }

    fn plan(&self, plan: Plan) {
        let mut state = self.shared.state.lock().unwrap();
        (state.plan, state.carried, state.reached) = (plan, 0, false);
        self.shared.changed.notify_all();
    }

    /// How many bytes have come from the server since the plan was made.
    pub(crate) fn carried(&self) -> u64 {
        self.shared.state.lock().unwrap().carried
    }

    /// Whether the line was cut, or has stalled.
    pub(crate) fn reached(&self) -> bool {
        self.shared.state.lock().unwrap().reached
    }

    /// Waits until it has stalled.
    #[track_caller]
    pub(crate) fn wait_for_stall(&self) {
        let begun = Instant::now();
        while !self.reached() {
            assert!(begun.elapsed() < STALL_MAX, "only {} bytes came over the line", self.carried());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Carries one connection. When either end is gone, both are closed: a server that nobody reads from would wait for ever.
fn carry(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let (client, server) = (Arc::new(client), Arc::new(server));
    shared.state.lock().unwrap().open.extend([Arc::downgrade(&client), Arc::downgrade(&server)]);
    let ends = (client.clone(), server.clone());
    std::thread::spawn(move || {
        let (client, server) = ends;
        let (mut from, mut to) = (&*client, &*server);
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let shared = shared.clone();
    std::thread::spawn(move || {
        back(&server, &client, &shared);
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
}

/// Carries what the server sends, as far as the plan goes.
fn back(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let mut left = &piece[..length];
        while !left.is_empty() {
            let Some(now) = shared.room(left.len()) else { return };
            if to.write_all(&left[..now]).is_err() {
                return;
            }
            left = &left[now..];
        }
    }
}

impl Shared {
    /// How many of these bytes may go on, once some may; none if the line is cut.
    fn room(&self, wanted: usize) -> Option<usize> {
        let mut state = self.state.lock().unwrap();
        loop {
            let room = match state.plan {
                Plan::Carry => u64::MAX,
                Plan::CutAfter(bytes) | Plan::CutOnceAfter(bytes) | Plan::StallAfter(bytes) => {
                    bytes.saturating_sub(state.carried)
                }
            };
            if room > 0 {
                let now = usize::try_from(room).unwrap_or(usize::MAX).min(wanted);
                state.carried += now as u64;
                return Some(now);
            }
            state.reached = true;
            if let Plan::CutAfter(_) | Plan::CutOnceAfter(_) = state.plan {
                let open = state.open.drain(..).filter_map(|end| end.upgrade());
                open.for_each(|end| drop(end.shutdown(Shutdown::Both)));
                if let Plan::CutOnceAfter(_) = state.plan {
                    state.plan = Plan::Carry;
                }
                return None;
            }
            let (again, late) = self.changed.wait_timeout(state, STALL_MAX).unwrap();
            if late.timed_out() {
                return None;
            }
            state = again;
        }
    }
}
