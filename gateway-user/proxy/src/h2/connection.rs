//! The part of an HTTP/2 connection that its streams share.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use gateway_io::now;

use super::backlog::Backlog;
use super::io::Transport;
use crate::connection::info::ConnInfo;
use crate::connection::slot::ConnectionSlot;

/// A connection.
pub(crate) struct H2Connection {
    pub(super) slot: ConnectionSlot,
    pub(super) info: ConnInfo,
    pub(super) transport: Rc<Transport>,
    pub(super) backlog: Rc<Backlog>,
    streams: Cell<usize>,
    /// When the last stream ended.
    idle_since: Cell<Instant>,
}

/// A stream under way, counted until it is dropped.
pub(super) struct Stream(pub(super) Rc<H2Connection>);

impl H2Connection {
    pub(super) fn new(slot: ConnectionSlot, info: ConnInfo, transport: Rc<Transport>) -> Rc<Self> {
        // A drain may end it as soon as it may end one of HTTP/1.1 between two requests.
        info.control.idle.set(true);
        Rc::new(Self {
            slot,
            info,
            transport,
            backlog: Rc::default(),
            streams: Cell::new(0),
            idle_since: Cell::new(now()),
        })
    }

    /// Counts a stream as under way.
    pub(super) fn begin_stream(self: &Rc<Self>) -> Stream {
        self.streams.set(self.streams.get() + 1);
        self.info.control.idle.set(false);
        Stream(Rc::clone(self))
    }

    /// True if no stream is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// When the last stream ended, if none is under way.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.is_idle().then(|| self.idle_since.get())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let conn = &self.0;
        conn.streams.set(conn.streams.get().saturating_sub(1));
        if conn.is_idle() {
            conn.idle_since.set(now());
            conn.info.control.idle.set(true);
        }
    }
}
