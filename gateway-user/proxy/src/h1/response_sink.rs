//! Responses to clients over HTTP/1.1.

use std::cell::Cell;

use gateway_http::h1::BodyFraming;
use gateway_http::h1::encode::{self, Persistence, ResponseOptions};
use gateway_http::head::{HeadEdits, ResponseParts, Version};
use gateway_io::Chunk;

use super::body::H1Sink;
use super::head::RequestMeta;
use super::persistence::{Standing, of_response};
use super::sink::ChunkSink;
use crate::connection::info::ConnInfo;
use crate::exchange::progress::Progress;
use crate::exchange::wire::{HeadTooLong, ResponseSink};
use crate::upgrade::Upgrade;

/// The way of one response to its client.
pub(crate) struct H1ResponseSink<'a> {
    pub(super) info: &'a ConnInfo,
    pub(super) meta: RequestMeta,
    pub(super) body: H1Sink<'a>,
    /// Takes whether the client is told that its connection stays.
    pub(super) keep_alive: &'a mut bool,
    /// Takes whether the response ends with the connection.
    pub(super) until_close: &'a mut bool,
    pub(super) half_closed: &'a Cell<bool>,
    /// The protocol that the request is to change to.
    pub(super) upgrade: Option<Upgrade>,
    pub(super) progress: &'a Progress,
}

impl<'a> ResponseSink for H1ResponseSink<'a> {
    const CARRIES_LOGINS: bool = true;
    type Body = H1Sink<'a>;

    fn body(&mut self) -> &mut H1Sink<'a> {
        &mut self.body
    }

    fn interim(&mut self, head: &ResponseParts<'_>) -> Result<(), HeadTooLong> {
        // HTTP/1.0 knows none (RFC 9110 section 15.2).
        if self.meta.version == Version::Http10 {
            return Ok(());
        }
        let mut out = Chunk::take();
        encode::response(&mut ChunkSink::new(&mut out), head, &HeadEdits::new(), &ResponseOptions::default())
            .map_err(|_| HeadTooLong)?;
        self.body.to.queue(out);
        Ok(())
    }

    fn head(&mut self, head: &ResponseParts<'_>, edits: &HeadEdits) -> Result<(), HeadTooLong> {
        let standing = Standing {
            request_read: self.progress.read.get(),
            half_closed: self.half_closed.get(),
            draining: self.info.ends_for_drain(),
        };
        let (framing, keep) = of_response(self.meta, head.length, standing);
        let options = ResponseOptions {
            framing,
            persistence: Persistence::new(self.meta.version, keep),
            upgrade: None,
        };
        let mut out = Chunk::take();
        encode::response(&mut ChunkSink::new(&mut out), head, edits, &options).map_err(|_| HeadTooLong)?;
        (*self.keep_alive, *self.until_close) = (keep, framing == BodyFraming::UntilClose);
        (self.body.head, self.body.chunked) = (Some(out), framing == BodyFraming::Chunked);
        Ok(())
    }

    fn switch(&mut self, head: &ResponseParts<'_>, edits: &HeadEdits) -> Result<u16, HeadTooLong> {
        let protocol = self.upgrade.map(|upgrade| upgrade.name(&self.info.context.config).as_bytes());
        let options = ResponseOptions { upgrade: protocol, ..ResponseOptions::default() };
        let mut out = Chunk::take();
        encode::response(&mut ChunkSink::new(&mut out), head, edits, &options).map_err(|_| HeadTooLong)?;
        self.body.head = Some(out);
        Ok(head.status)
    }
}
