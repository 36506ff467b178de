//! A plugin that never says who it is: asked to describe itself, it computes for ever.

use dozo_sdk::bindings::dozo::plugin::source_types::{Moment, Request, RestoreRequest};
use dozo_sdk::bindings::dozo::plugin::types::Description;
use dozo_sdk::bindings::exports::dozo::plugin::source::Guest;
use dozo_sdk::{Error, Needs, Result, ScratchServer};

struct Mute;

fn nothing<T>() -> Result<T> {
    Err(Error::Unsupported("mute".into()))
}

impl Guest for Mute {
    fn describe() -> Description {
        let mut n = 0u64;
        loop {
            n = std::hint::black_box(n.wrapping_add(1));
        }
    }
    fn requires(_: String) -> Result<Needs> {
        nothing()
    }
    async fn check(_: String) -> Result<Vec<(String, String)>> {
        nothing()
    }
    async fn backup(_: Request) -> Result<()> {
        nothing()
    }
    async fn committed(_: String, _: Vec<(String, String)>) -> Result<()> {
        nothing()
    }
    async fn abandoned(_: String) -> Result<()> {
        nothing()
    }
    async fn scratch(_: String, _: String) -> Result<Option<ScratchServer>> {
        nothing()
    }
    async fn covers(_: Vec<(String, String)>, _: Moment) -> Result<Option<String>> {
        nothing()
    }
    async fn restore(_: RestoreRequest) -> Result<()> {
        nothing()
    }
    async fn probe(_: String, _: String) -> Result<String> {
        nothing()
    }
}

dozo_sdk::bindings::__export_source!(Mute with_types_in dozo_sdk::bindings);
