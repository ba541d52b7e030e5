//! A client's stream and its backend as the two ends of a tunnel (RFC 8441).

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use gateway_http::h1::BodyDecoder;
use gateway_io::Chunk;
use h2::{Reason as Code, RecvStream};

use super::connection::H2Connection;
use super::sink::{H2Sink, Sender};
use super::source::H2Source;
use crate::Reason;
use crate::backend::tunnel_ends;
use crate::l4::account::TunnelAccount;
use crate::l4::traffic::Traffic;
use crate::l4::tunnel;
use crate::upstream::Lease;

/// A request whose stream and backend have changed protocols.
pub(super) struct Tunnel {
    pub(super) lease: Lease,
    pub(super) account: TunnelAccount,
    pub(super) body: RecvStream,
    pub(super) sender: RefCell<Sender>,
    /// Came behind the response.
    pub(super) from_backend: Option<Chunk>,
}

/// Passes bytes both ways until the tunnel's end; ends the stream, and the backend's connection or its stream there.
pub(super) async fn serve(conn: Rc<H2Connection>, tunnel: Box<Tunnel>) {
    let Tunnel { mut lease, account, mut body, sender, from_backend } = *tunnel;
    // One whose request has not changed protocols is no end of a tunnel.
    let Some((mut source, mut sink)) = tunnel_ends(&mut lease, from_backend) else { return };
    let traffic = Traffic::new(account.settings());
    let ended = {
        let is_empty = body.is_end_stream();
        let mut trailers = BodyDecoder::default();
        let client =
            (&mut H2Source::new(&mut body, &mut trailers, u64::MAX, is_empty), &mut H2Sink::new(&sender));
        let backend = (&mut source, &mut sink);
        let mut running =
            pin!(tunnel::run(&conn.info.context, &conn.info.control, client, backend, &traffic));
        poll_fn(|cx| match running.as_mut().poll(cx) {
            // Nothing is read any more of a client that has finished sending: it is not seen to go by that.
            Poll::Pending if traffic.is_taken() => {
                sender.borrow_mut().poll_gone(cx).map(|()| Err(Reason::ClientClosed))
            }
            ended => ended,
        })
        .await
    };
    drop((source, sink));
    drop(lease);
    account.finish(&conn.info, &traffic, ended);
    if ended.is_err() {
        // A reset connection is a stream reset like that (RFC 8441 section 5). A client that has all of the backend is asked
        // to send no more (RFC 9113 section 8.1).
        sender.borrow_mut().reset(if traffic.is_delivered() { Code::NO_ERROR } else { Code::CANCEL });
    }
}
