//! A source of the track for languages without async: plain functions, no streams.
#![allow(unsafe_code, reason = "the generated exports")]

#[allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "source-plugin-sync", generate_all });
}

use bindings::dozo::plugin::snapshot::{self, Writer};
use bindings::dozo::plugin::source_types::{Moment, Request, RestoreRequest, ScratchServer};
use bindings::dozo::plugin::types::{Chunking, Description, Entry, Error, Kind, Needs};
use bindings::exports::dozo::plugin::source_sync::Guest;

struct Plain;

impl Guest for Plain {
    fn describe() -> Description {
        Description {
            name: "plain".into(),
            version: "0.1.0".into(),
            summary: "a source without async".into(),
            config_schema: "{}".into(),
        }
    }
    fn requires(_: String) -> Result<Needs, Error> {
        Ok(Needs { network: vec![], read: vec![], write: vec![], programs: vec![], exclusive: vec![] })
    }
    fn check(_: String) -> Result<Vec<(String, String)>, Error> {
        Ok(vec![])
    }
    fn backup(_: Request) -> Result<(), Error> {
        snapshot::identify("plain")?;
        let entry = Entry {
            path: "plain.txt".into(),
            kind: Kind::File,
            size: None,
            modified: None,
            version: None,
            posix: None,
            attributes: vec![],
        };
        let writer = Writer::new(&entry, Chunking::Content);
        let piece = [b'p'; 65536];
        // More than the pipeline holds at once: a plain call waits, and comes back.
        for _ in 0..1024 {
            writer.write(&piece)?;
        }
        Writer::finish(writer, 1024 * 65536)
    }
    fn committed(_: String, _: Vec<(String, String)>) -> Result<(), Error> {
        Ok(())
    }
    fn abandoned(_: String) -> Result<(), Error> {
        Ok(())
    }
    fn scratch(_: String, _: String) -> Result<Option<ScratchServer>, Error> {
        Ok(None)
    }
    fn covers(_: Vec<(String, String)>, _: Moment) -> Result<Option<String>, Error> {
        Ok(None)
    }
    fn restore(_: RestoreRequest) -> Result<(), Error> {
        Err(Error::Unsupported("plain cannot restore".into()))
    }
    fn probe(_: String, _: String) -> Result<String, Error> {
        Err(Error::Unsupported("plain answers no questions".into()))
    }
}

bindings::export!(Plain with_types_in bindings);
