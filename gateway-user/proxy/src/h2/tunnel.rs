//! A stream and a backend's connection as the two ends of a tunnel (RFC 8441).

use std::cell::RefCell;
use std::rc::Rc;

use gateway_http::h1::BodyDecoder;
use gateway_io::Chunk;
use h2::{Reason as Code, RecvStream};

use super::connection::H2Connection;
use super::sink::{H2Sink, Sender};
use super::source::H2Source;
use crate::l4::account::TunnelAccount;
use crate::l4::raw::{RawSink, RawSource};
use crate::l4::tunnel::{self, Traffic};
use crate::upstream::{Lease, Leased};

/// A request whose stream and backend have changed protocols.
pub(super) struct Tunnel {
    pub(super) lease: Lease,
    pub(super) account: TunnelAccount,
    pub(super) body: RecvStream,
    pub(super) sender: RefCell<Sender>,
    /// Came behind the response.
    pub(super) from_backend: Option<Chunk>,
}

/// Passes bytes both ways until the tunnel's end; ends the stream and closes the backend's connection.
pub(super) async fn serve(conn: Rc<H2Connection>, tunnel: Box<Tunnel>) {
    let Tunnel { mut lease, account, mut body, sender, from_backend } = *tunnel;
    // A stream of a shared connection is no end of a tunnel.
    let Leased::Exclusive(backend) = &mut lease.connection else { return };
    let traffic = Traffic::new();
    let ended = {
        let is_empty = body.is_end_stream();
        let mut trailers = BodyDecoder::default();
        let client =
            (&mut H2Source::new(&mut body, &mut trailers, u64::MAX, is_empty), &mut H2Sink::new(&sender));
        let backend =
            (&mut RawSource::new(&mut backend.recv, from_backend), &mut RawSink::new(&mut backend.send));
        tunnel::run(&conn.info.context, &conn.info.control, client, backend, &traffic).await
    };
    drop(lease);
    account.finish(&conn.info, &traffic, ended);
    if ended.is_err() {
        // A reset connection is a stream reset like that (RFC 8441 section 5). A client that has all of the backend is asked
        // to send no more (RFC 9113 section 8.1).
        sender.borrow_mut().reset(if traffic.is_delivered() { Code::NO_ERROR } else { Code::CANCEL });
    }
}
