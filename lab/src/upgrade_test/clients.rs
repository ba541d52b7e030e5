//! The verifying clients: one process for each way of using connections.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use sluice_bench::load::Mode;

use crate::load_client::LoadClient;
use crate::peers::Setup;

/// One client's share of the load.
#[derive(Clone, Debug)]
pub(super) struct Share {
    mode: Mode,
    requests: u64,
    rate: f64,
    connections: u64,
    /// On each connection.
    streams: u64,
    bytes: u64,
    over: Duration,
}

/// Transfers that are under way at any time.
const TRANSFERS: f64 = 4.0;
const TRANSFER_BYTES: u64 = 1024 * 1024;
const LONGEST_TRANSFER: Duration = Duration::from_secs(4);
const SHORT_BYTES: u64 = 128;
/// Conversations that are there at any time, of each kind, and messages on each per second.
const CONVERSATIONS: u64 = 8;
const MESSAGES_PER_SECOND: f64 = 4.0;
/// Streams on one connection over HTTP/2, of conversations and of requests.
const CALLS: u64 = 4;
const STREAMS: u64 = 16;

/// Divides short requests evenly, and adds transfers and conversations for the same time. A transfer takes longer than the
/// time between two upgrades if that is possible in four seconds.
pub(super) fn plan(modes: &[Mode], requests: u64, rate: f64, upgrades: u32) -> Vec<Share> {
    let short = modes.iter().filter(|mode| mode.is_short()).count().max(1);
    let length = Duration::from_secs_f64(requests as f64 / rate);
    let between = length / (upgrades + 1);
    let over = between.mul_f64(1.5).min(LONGEST_TRANSFER).min(length / 2);
    modes
        .iter()
        .map(|mode| share(*mode, (requests.div_ceil(short as u64), rate / short as f64), over))
        .collect()
}

/// The share of one client; `short` is the number of requests and their rate, if it makes short ones.
fn share(mode: Mode, short: (u64, f64), over: Duration) -> Share {
    let (requests, rate) = short;
    let length = Duration::from_secs_f64(requests as f64 / rate);
    let (connections, streams) = match mode {
        Mode::Http2 => (64 / STREAMS, STREAMS),
        Mode::Grpc => (CONVERSATIONS / CALLS, CALLS),
        Mode::Websocket => (CONVERSATIONS, 1),
        mode if mode.is_transfer() => (4 * TRANSFERS as u64, 1),
        _ => (64, 1),
    };
    let share =
        Share { mode, requests, rate, connections, streams, bytes: SHORT_BYTES, over: Duration::ZERO };
    if mode.is_conversation() {
        let rate = CONVERSATIONS as f64 * MESSAGES_PER_SECOND;
        return Share { requests: (length.as_secs_f64() * rate).ceil() as u64, rate, ..share };
    }
    if !mode.is_transfer() {
        return share;
    }
    let rate = TRANSFERS / over.as_secs_f64();
    let requests = (length.saturating_sub(over).as_secs_f64() * rate).ceil().max(1.0) as u64;
    Share { requests, rate, bytes: TRANSFER_BYTES, over, ..share }
}

impl Share {
    /// How long it sends.
    pub(super) fn length(&self) -> Duration {
        Duration::from_secs_f64(self.requests as f64 / self.rate)
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Flags of the client that sends it `to` a proxy, and asks the backend there at the end.
    pub(super) fn flags(
        &self,
        to: SocketAddr,
        backend: SocketAddr,
        tag: usize,
    ) -> [(&'static str, String); 10] {
        [
            ("--to", to.to_string()),
            ("--backend", backend.to_string()),
            ("--mode", self.mode.name().to_owned()),
            ("--requests", self.requests.to_string()),
            ("--rate", self.rate.to_string()),
            ("--connections", self.connections.to_string()),
            ("--streams", self.streams.to_string()),
            ("--bytes", self.bytes.to_string()),
            ("--over-ms", self.over.as_millis().to_string()),
            ("--tag", format!("{tag:06x}")),
        ]
    }

    pub(super) fn start(&self, bench: &Path, setup: &Setup, tag: usize) -> Result<LoadClient> {
        let flags = self.flags(setup.listen, setup.backend, tag);
        LoadClient::start(Command::new(bench), &setup.dir, self.mode.name(), self.mode, &flags)
    }
}
