//! `http`: requests that the host makes.

use std::sync::Arc;

use wasmtime::Result;

use crate::bindings::dozo::plugin::http;
use crate::bindings::dozo::plugin::types::Error as Told;
use crate::handles::ContentHandle;
use crate::interface::streaming::read_ahead;
use crate::interface::told;
use crate::network::{Body, Request, Response};
use crate::state::State;

impl http::Host for State {
    async fn send(&mut self, request: http::Request) -> Result<Result<http::Response, Told>> {
        let _busy = self.life.enter();
        let request = self.request(request)?;
        let sent = self.http.send(request).await;
        self.response(sent)
    }
}

impl State {
    /// What the plugin sends, with the content that it hands on.
    pub(crate) fn request(&mut self, request: http::Request) -> Result<Request> {
        let http::Request { method, url, headers, body } = request;
        let body = match body {
            http::Body::None => Body::None,
            http::Body::Bytes(bytes) => Body::Bytes(bytes),
            http::Body::Content(content) => {
                let content = self.table.delete(content)?.hand_on();
                Body::Pieces(read_ahead(content))
            }
        };
        let headers = headers.into_iter().map(|http::Header { name, value }| (name, value)).collect();
        Ok(Request { method, url, headers, body })
    }

    /// What it gets.
    pub(crate) fn response(&mut self, sent: dozo_job::Result<Response>) -> Result<Result<http::Response, Told>> {
        let Response { status, headers, body, of } = match sent {
            Ok(response) => response,
            Err(error) => return told(Err(error)),
        };
        // What else a server says is for the plugin to judge, and mostly for its messages alone.
        let end = match status {
            200..300 => self.unfinished.whole(of, Arc::default()),
            _ => self.unfinished.part(of),
        };
        let body = self.hold(ContentHandle::new(body, end))?;
        let headers = headers.into_iter().map(|(name, value)| http::Header { name, value }).collect();
        Ok(Ok(http::Response { status, headers, body }))
    }
}
