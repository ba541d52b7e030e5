//! The backend's side of an exchange, whatever both sides speak.

mod sink;
mod source;
mod tunnel;
mod unread;

use gateway_grammar::Method;
use gateway_http::h1::{BodyDecoder, BodyFraming, ResponseHead};
use gateway_http::head::{HeadEdits, RequestParts};
use gateway_io::Chunk;

pub(crate) use sink::BackendSink;
pub(crate) use source::BackendSource;
pub(crate) use tunnel::tunnel_ends;
pub(crate) use unread::unread;

use crate::h1;
use crate::h1::body::LargeChunks;
use crate::h2::backend::{Call, Target};
use crate::upgrade::Upgrade;
use crate::upstream::{Lease, Leased};
use crate::{ProxyConfig, Reason};

/// The settings and storage that the response to one request is read with.
pub(crate) struct Reading<'a> {
    pub(crate) config: &'a ProxyConfig,
    /// Method of the request.
    pub(crate) method: Method,
    /// The protocol that the request is to change to.
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) head: &'a mut ResponseHead,
    pub(crate) decoder: &'a mut BodyDecoder,
    /// The chunks that its body is received in.
    pub(crate) large: LargeChunks,
    /// Takes the bytes behind the response.
    pub(crate) unasked: &'a mut Option<Chunk>,
}

/// Queues a request's head, changed by `edits`. `upgrade` is the protocol that it is to change to.
///
/// # Errors
/// It is too long, or cannot be said in the backend's protocol.
pub(crate) fn begin(
    lease: &mut Lease,
    request: &RequestParts<'_>,
    edits: &HeadEdits,
    framing: BodyFraming,
    upgrade: Option<&str>,
) -> Result<(), Reason> {
    let address = lease.backend().address;
    match &mut lease.connection {
        Leased::Exclusive(stream) => h1::backend::begin(&mut stream.send, request, edits, framing, upgrade),
        Leased::Shared(stream) => {
            let requests = &mut stream.requests();
            let target = Target { scheme: stream.scheme(), endpoint: address };
            stream.call = Call::begin(requests, request, edits, framing, upgrade, target)?;
            Ok(())
        }
    }
}

/// The way of the request's body, and the response.
pub(crate) fn halves<'a>(
    lease: &'a mut Lease,
    framing: BodyFraming,
    reading: Reading<'a>,
) -> (BackendSink<'a>, BackendSource<'a>) {
    let Reading { config, method, upgrade, head, decoder, large, unasked } = reading;
    match &mut lease.connection {
        Leased::Exclusive(stream) => (
            BackendSink::H1(h1::backend::request_sink(&mut stream.send, framing)),
            BackendSource::H1(h1::backend::response_source(
                config,
                (method, upgrade),
                &mut stream.recv,
                (head, decoder, large),
                unasked,
            )),
        ),
        Leased::Shared(stream) => {
            let (sink, source) = stream.call.halves(config, (method, framing, upgrade), (head, decoder));
            (BackendSink::H2(Box::new(sink)), BackendSource::H2(Box::new(source)))
        }
    }
}
