//! `program`, `net`, `http`: the world outside. Nothing of it can be granted in this version, and each says so.

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::types::Error as Told;
use crate::bindings::dozo::plugin::{http, net, program};
use crate::handles::{ContentHandle, Never};
use crate::state::State;

fn refused(what: &str, name: &str) -> Told {
    Told::NotGranted(format!("{what} `{name}`: this version of dozo grants no {what}s"))
}

impl program::Host for State {
    fn start(
        &mut self,
        name: String,
        _arguments: Vec<String>,
        _environment: Vec<(String, String)>,
    ) -> Result<Result<Resource<Never>, Told>> {
        let _busy = self.life.enter();
        Ok(Err(refused("program", &name)))
    }
}

/// A child cannot exist, so none of this is ever called.
impl program::HostChild for State {
    fn input(&mut self, child: Resource<Never>, _: Resource<ContentHandle>) -> Result<Result<u64, Told>> {
        match *self.table.get(&child)? {}
    }

    fn write(&mut self, child: Resource<Never>, _: Vec<u8>) -> Result<Result<(), Told>> {
        match *self.table.get(&child)? {}
    }

    fn close_input(&mut self, child: Resource<Never>) -> Result<Result<(), Told>> {
        match *self.table.get(&child)? {}
    }

    fn output(&mut self, child: Resource<Never>) -> Result<Result<Resource<ContentHandle>, Told>> {
        match *self.table.get(&child)? {}
    }

    fn errors(&mut self, child: Resource<Never>) -> Result<String> {
        match *self.table.get(&child)? {}
    }

    fn wait(&mut self, child: Resource<Never>) -> Result<Result<i32, Told>> {
        match *self.table.get(&child)? {}
    }

    fn kill(&mut self, child: Resource<Never>) -> Result<()> {
        match *self.table.get(&child)? {}
    }

    fn drop(&mut self, child: Resource<Never>) -> Result<()> {
        match self.table.delete(child)? {}
    }
}

impl net::Host for State {}

/// Nor can a connection.
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
