//! The plugin `postgres` against real servers, 14 to 18: what it backs up comes back to servers that start, are sound, and
//! hold what the source held; to any moment; whatever goes wrong.

mod job;
mod line;
mod load;
mod plan;
mod server;
mod tools;

mod checkpoint;
mod checks;
mod conformance;
mod damage;
mod faults;
mod history;
mod kept;
mod layouts;
mod left_out;
mod lost;
mod many;
mod moments;
mod proof;
mod refusals;
mod resume;
mod round_trip;
mod sessions;
mod shrunk;
mod sockets;
mod targets;
mod tls;
mod unreadable;
