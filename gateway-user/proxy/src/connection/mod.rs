//! Client connections: one task each, which a panic ends alone.

pub(crate) mod info;
#[cfg(test)]
mod panic_tests;
pub(crate) mod proxy_protocol;
pub(crate) mod slot;

use std::net::SocketAddr;
use std::rc::Rc;

use gateway_io::{Accepted, Stream, spawn};
use gateway_ir::Opening;

use crate::Reason;
use crate::exchange::route;
use crate::guarded::guarded;
use crate::h1::reply;
use crate::h1::server::ServerConnection;
use crate::l4;
use crate::worker::Worker;

/// Most connections at once that are told why they are refused; more are closed without a word, so that a flood of
/// them has a bound too.
const MAX_REFUSING: usize = 64;

/// Starts serving an accepted connection.
pub(crate) fn open(worker: &Rc<Worker>, accepted: Accepted) {
    let Accepted { stream, peer, local } = accepted;
    worker.context.metrics.borrow_mut().counters.accepted += 1;
    if worker.context.config.internal_port == Some(local.port()) {
        // Nobody is meant to dial the steering sockets themselves: no listener would be known.
        worker.context.metrics.borrow_mut().counters.internal_port_closed += 1;
        return;
    }
    let Some(slot) = worker.enter() else {
        worker.context.metrics.borrow_mut().counters.overloaded += 1;
        return refuse(worker, stream, peer, local, Reason::OverloadConnections);
    };
    // Who announces clients is none.
    if !worker.context.config.announces(peer.ip()) && slot.belongs_to(peer.ip()).is_err() {
        worker.context.metrics.borrow_mut().counters.client_refused += 1;
        slot.control.admit();
        return refuse(worker, stream, peer, local, Reason::OverloadClient);
    }
    let conn = ServerConnection::new(slot, stream, peer, local);
    let context = Rc::clone(&worker.context);
    match route::opening(&context, local) {
        Some(Opening::Bytes) => spawn(guarded(context, peer, || l4::server::serve(conn))),
        _ => spawn(guarded(context, peer, || conn.run())),
    }
}

/// Tells a client why it is not served, and reads nothing of it.
fn refuse(worker: &Rc<Worker>, stream: Stream, peer: SocketAddr, local: SocketAddr, reason: Reason) {
    // To say why to a client that speaks TLS would take a handshake, and others might not understand.
    if !route::takes_response(&worker.context, local) {
        return drop(stream.reset());
    }
    if let Some(place) = worker.enter_refused(MAX_REFUSING) {
        let refusing = move || reply::refuse(place, stream, peer, local, reason);
        spawn(guarded(Rc::clone(&worker.context), peer, refusing));
    }
}
