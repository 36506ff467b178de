//! `program`: nothing of it can be granted in this version, and it says so.

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::program;
use crate::bindings::dozo::plugin::types::Error as Told;
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
