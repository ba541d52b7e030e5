//! The memory that connections and streams hold while nothing happens on them: growth of the process, in bytes each.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gateway_testkit::http2::attacks::INITIAL_WINDOW;
use gateway_testkit::http2::frames::{END_HEADERS, END_STREAM, HEADERS, frame, indexed, literal};
use gateway_testkit::http2::{Peer, Server};
use gateway_testkit::tls::{Versions, client, offering};

use crate::bars::{Bar, Bars, Memory};
use crate::clients::{HOST, HTTP, HTTPS, Testbed};
use crate::{proc, process};

/// Idle connections, each after so many requests.
const CONNECTIONS: usize = 5_000;
const REQUESTS: usize = 10;
/// Connections that ask at the same time.
const AT_ONCE: usize = 50;
/// Streams of one kind, as many on each connection as the gateway allows.
const STREAMS: usize = 5_000;
const STREAMS_OF_ONE: usize = 100;
/// A response of which most is to come.
const LARGE: &str = "/large?100000";

/// How long memory has to settle: what a connection keeps for a second is gone then, and so are free pages.
const SETTLING: Duration = Duration::from_secs(6);
/// Fewer KiB within that time are no sign that more will follow.
const STILL_KIB: i64 = 64;
/// Within this time after the end of all the process is as small as before, but for some MiB: tables that have grown,
/// and what is left of pages that others use too.
const RETURN_TIME: Duration = Duration::from_secs(60);

/// A kind of connection or stream.
struct Kind {
    name: &'static str,
    count: usize,
    /// Bytes of each at most.
    most: fn(&Memory) -> Bar,
    hold: fn(&Testbed, SocketAddr) -> Box<dyn Holding>,
    port: u16,
}

const STALLED: Kind = Kind {
    name: "stalled response",
    count: STREAMS,
    most: |bars| bars.stalled_response_bytes,
    hold: stalled,
    port: HTTP,
};

const KINDS: &[Kind] = &[
    Kind {
        name: "idle, clear text",
        count: CONNECTIONS,
        most: |bars| bars.idle_clear_text_bytes,
        hold: idle_clear,
        port: HTTP,
    },
    Kind {
        name: "idle, TLS",
        count: CONNECTIONS,
        most: |bars| bars.idle_tls_bytes,
        hold: idle_secured,
        port: HTTPS,
    },
    STALLED,
    Kind { name: "stalled response of 100 kB", hold: stalled_large, ..STALLED },
    Kind { name: "the same, 100 bytes taken", hold: begun_large, ..STALLED },
    Kind { name: "the same, no window of the connection", hold: crowded_large, ..STALLED },
];

/// Connections that are held.
trait Holding {
    /// Those that the gateway has ended.
    fn ended(&mut self) -> usize;
}

impl Holding for Vec<Peer> {
    fn ended(&mut self) -> usize {
        self.iter_mut().for_each(|peer| peer.look(Duration::from_millis(1)));
        self.iter().filter(|peer| peer.closed || peer.goaway.is_some() || peer.resets > 0).count()
    }
}

/// The memory that one kind held.
pub(super) struct Held {
    pub(super) name: &'static str,
    pub(super) count: usize,
    /// Of each.
    pub(super) bytes: i64,
    pub(super) most: i64,
    /// Growth of the process that was left at the end.
    pub(super) left: i64,
    most_left: i64,
    pub(super) returned: Duration,
}

/// Holds each kind in turn.
///
/// # Errors
/// The process's numbers cannot be read, or it has ended.
pub(super) fn measure(testbed: &mut Testbed) -> Result<Vec<Held>> {
    // Tables, pools and threads that the first requests make are no connection's, and tables grow with the number of
    // connections.
    drop(used(CONNECTIONS, &address(HTTP).into()));
    drop(used(100, &secured(testbed, address(HTTPS))));
    settle(testbed.pid())?;
    let bars = Bars::read()?.memory;
    KINDS
        .iter()
        .map(|kind| {
            process::check_interrupt()?;
            hold(testbed, kind, &bars)
        })
        .collect()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn hold(testbed: &mut Testbed, kind: &Kind, bars: &Memory) -> Result<Held> {
    let (most, most_left) = (whole((kind.most)(bars))?, whole(bars.left_mib)? << 20);
    let pid = testbed.pid();
    let before = least(pid, SETTLING)?;
    let mut held = (kind.hold)(testbed, address(kind.port));
    let there = least(pid, SETTLING)?;
    testbed.ensure_running()?;
    let ended = held.ended();
    ensure!(ended == 0, "{}: {ended} connections are not there any more", kind.name);
    drop(held);
    let began = Instant::now();
    let mut left = i64::MAX;
    while left > most_left && began.elapsed() < RETURN_TIME {
        process::check_interrupt()?;
        sleep(Duration::from_millis(500));
        left = 1024 * (rss_kib(pid)? - before);
    }
    let bytes = 1024 * (there - before) / i64::try_from(kind.count)?;
    ensure!(bytes > 0, "{}: the process did not grow", kind.name);
    Ok(Held { name: kind.name, count: kind.count, bytes, most, left, most_left, returned: began.elapsed() })
}

fn whole(bar: Bar) -> Result<i64> {
    Ok(i64::try_from(bar.count())?)
}

fn rss_kib(pid: u32) -> Result<i64> {
    Ok(i64::try_from(proc::rss_kib(pid)?)?)
}

/// Waits until the process gives no more pages back.
fn settle(pid: u32) -> Result<()> {
    let (began, mut last) = (Instant::now(), i64::MAX);
    loop {
        let now = least(pid, SETTLING)?;
        if now + STILL_KIB >= last || began.elapsed() > RETURN_TIME {
            return Ok(());
        }
        last = now;
    }
}

/// The least of several looks.
fn least(pid: u32, within: Duration) -> Result<i64> {
    let (began, mut least) = (Instant::now(), i64::MAX);
    while began.elapsed() < within {
        least = least.min(rss_kib(pid)?);
        sleep(Duration::from_millis(200));
    }
    Ok(least)
}

impl Held {
    /// The fault, if there is one.
    pub(super) fn failure(&self) -> Option<String> {
        if self.bytes > self.most {
            return Some(format!("{}: {} bytes each, more than {}", self.name, self.bytes, self.most));
        }
        let left = self.left > self.most_left;
        left.then(|| format!("{}: {} bytes are left after {RETURN_TIME:?}", self.name, self.left))
    }
}

fn idle_clear(_: &Testbed, to: SocketAddr) -> Box<dyn Holding> {
    Box::new(used(CONNECTIONS, &to.into()))
}

fn idle_secured(testbed: &Testbed, to: SocketAddr) -> Box<dyn Holding> {
    Box::new(used(CONNECTIONS, &secured(testbed, to)))
}

fn secured(testbed: &Testbed, to: SocketAddr) -> Server {
    let client = offering(&client(&[testbed.certificate()], Versions::New), &[b"h2"]);
    Server::from(to).over_tls(HOST, &client)
}

/// Connections, each after its requests, one after the other.
fn used(count: usize, server: &Server) -> Vec<Peer> {
    let mut all: Vec<_> = Vec::with_capacity(count);
    while all.len() < count {
        let mut some: Vec<_> =
            (0..AT_ONCE.min(count - all.len())).map(|_| Peer::connect(server.clone())).collect();
        for n in 1..=REQUESTS {
            some.iter_mut().for_each(|peer| ask(peer, n, "/text"));
            some.iter_mut().for_each(|peer| peer.until_ended(n));
        }
        all.append(&mut some);
    }
    all
}

fn stalled(_: &Testbed, to: SocketAddr) -> Box<dyn Holding> {
    untaken(to, &[(INITIAL_WINDOW, 0)], "/text")
}

fn stalled_large(_: &Testbed, to: SocketAddr) -> Box<dyn Holding> {
    untaken(to, &[(INITIAL_WINDOW, 0)], LARGE)
}

fn begun_large(_: &Testbed, to: SocketAddr) -> Box<dyn Holding> {
    untaken(to, &[(INITIAL_WINDOW, 100)], LARGE)
}

/// The connection's window is that of one stream.
fn crowded_large(_: &Testbed, to: SocketAddr) -> Box<dyn Holding> {
    untaken(to, &[], LARGE)
}

/// Responses for most of whose content there never is a window.
fn untaken(to: SocketAddr, settings: &[(u16, u32)], path: &str) -> Box<dyn Holding> {
    let open = |_| {
        let mut peer = Peer::with(to, settings);
        (1..=STREAMS_OF_ONE).for_each(|n| ask(&mut peer, n, path));
        peer.until_responses(STREAMS_OF_ONE);
        peer
    };
    Box::new((0..STREAMS / STREAMS_OF_ONE).map(open).collect::<Vec<_>>())
}

/// Asks on the `n`th stream, with the fields of a common client.
fn ask(peer: &mut Peer, n: usize, path: &str) {
    let entries = [(":authority", HOST), ("user-agent", "curl/8.14.1"), ("accept", "*/*")];
    let fields = match n {
        1 => entries.map(|(name, value)| indexed(name.as_bytes(), value.as_bytes())).concat(),
        // The entries of the table that these have become (RFC 7541 section 2.3.3).
        _ => b"\xc0\xbf\xbe".to_vec(),
    };
    let head = [b"\x82\x86", literal(b":path", path.as_bytes()).as_slice(), &fields].concat();
    let stream = u32::try_from(2 * n - 1).unwrap_or(u32::MAX);
    peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &head), 1);
}
