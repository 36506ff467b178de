//! `net`, `http`: the world outside. Nothing of it can be granted in this version, and each says so.

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::types::Error as Told;
use crate::bindings::dozo::plugin::{http, net};
use crate::handles::{ContentHandle, Never};
use crate::state::State;

fn refused(what: &str, name: &str) -> Told {
    Told::NotGranted(format!("{what} `{name}`: this version of dozo grants no {what}s"))
}

impl net::Host for State {}

/// A connection cannot exist, so none of this is ever called.
impl net::HostConnection for State {
    fn connect(&mut self, target: String) -> Result<Result<Resource<Never>, Told>> {
        let _busy = self.life.enter();
        Ok(Err(refused("connection", &target)))
    }

    fn start_tls(&mut self, connection: Resource<Never>, _: String) -> Result<Result<Vec<u8>, Told>> {
        match *self.table.get(&connection)? {}
    }

    fn read(&mut self, connection: Resource<Never>, _: u32) -> Result<Result<Vec<u8>, Told>> {
        match *self.table.get(&connection)? {}
    }

    fn write(&mut self, connection: Resource<Never>, _: Vec<u8>) -> Result<Result<(), Told>> {
        match *self.table.get(&connection)? {}
    }

    fn receive(&mut self, connection: Resource<Never>, _: u64) -> Result<Result<Resource<ContentHandle>, Told>> {
        match *self.table.get(&connection)? {}
    }

    fn drop(&mut self, connection: Resource<Never>) -> Result<()> {
        match self.table.delete(connection)? {}
    }
}

impl http::Host for State {
    fn send(&mut self, request: http::Request) -> Result<Result<http::Response, Told>> {
        let _busy = self.life.enter();
        Ok(Err(refused("HTTP request", &request.url)))
    }
}
