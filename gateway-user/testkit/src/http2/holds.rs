//! Clients that leave open what they have begun: it costs memory for as long as it may wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::attacks::INITIAL_WINDOW;
use super::frames::{END_HEADERS, END_STREAM, GET, HEADERS, LARGE, RECEIVE, frame, literal};
use super::{Peer, Server};

/// Streams that are left open.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Its name in a table.
    pub name: &'static str,
    /// Connections that it takes.
    pub connections: usize,
    /// Streams that are begun on each.
    pub streams: u32,
    /// Memory that all of it may take, in MiB; `None` for what is only printed.
    pub max_growth_mib: Option<u64>,
    settings: &'static [(u16, u32)],
    make: fn(u32) -> Vec<u8>,
    then: Then,
}

/// The sign that all of it has been begun at the gateway too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Each stream has the head of a response.
    Responses,
    /// A ping is acknowledged.
    Ping,
    /// No sign: no frame may come in between.
    Nothing,
}

/// All kinds.
pub const HOLDS: &[Hold] = &[
    Hold {
        name: "responses that are not taken",
        connections: 50,
        streams: 100,
        max_growth_mib: Some(40),
        settings: &[(INITIAL_WINDOW, 0)],
        make: |s| frame(HEADERS, END_STREAM | END_HEADERS, s, GET),
        then: Then::Responses,
    },
    Hold {
        name: "long responses that are not taken",
        connections: 50,
        streams: 100,
        max_growth_mib: Some(40),
        settings: &[(INITIAL_WINDOW, 0)],
        make: |s| frame(HEADERS, END_STREAM | END_HEADERS, s, LARGE),
        then: Then::Responses,
    },
    Hold {
        name: "long responses of which 100 bytes are taken",
        connections: 50,
        streams: 100,
        max_growth_mib: Some(40),
        settings: &[(INITIAL_WINDOW, 100)],
        make: |s| frame(HEADERS, END_STREAM | END_HEADERS, s, LARGE),
        then: Then::Responses,
    },
    // Of all the streams of a connection 64 KiB.
    Hold {
        name: "long responses for which the connection has no window",
        connections: 50,
        streams: 100,
        max_growth_mib: Some(40),
        settings: &[],
        make: |s| frame(HEADERS, END_STREAM | END_HEADERS, s, LARGE),
        then: Then::Responses,
    },
    Hold {
        name: "requests whose body does not come",
        connections: 50,
        streams: 100,
        // 10 to 12 KiB each: a task, a request's head, and a backend's connection.
        max_growth_mib: Some(64),
        settings: &[],
        make: |s| frame(HEADERS, END_HEADERS, s, RECEIVE),
        then: Then::Ping,
    },
    Hold {
        name: "heads that are not whole",
        connections: 100,
        streams: 1,
        max_growth_mib: Some(10),
        settings: &[],
        make: |s| frame(HEADERS, END_STREAM, s, &[GET, &literal(b"x", &[b'y'; 16_000])].concat()),
        then: Then::Nothing,
    },
];

impl Hold {
    /// The same on fewer connections.
    #[must_use]
    pub fn on(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Begins everything, adds to `sent` with each stream, and gives the connections: dropping them ends it.
    ///
    /// # Panics
    /// The gateway does not take it.
    pub fn begin(&self, to: &Server, sent: &AtomicUsize) -> Vec<Peer> {
        let begin = |_| {
            let mut peer = Peer::with(to.clone(), self.settings);
            for stream in 0..self.streams {
                peer.send(&(self.make)(2 * stream + 1), 1);
                sent.fetch_add(1, Ordering::SeqCst);
            }
            match self.then {
                Then::Responses => peer.until_responses(self.streams as usize),
                Then::Ping => peer.until_read(),
                Then::Nothing => peer.look(Duration::from_millis(1)),
            }
            peer
        };
        (0..self.connections).map(begin).collect()
    }
}
