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
    bytes: u64,
    over: Duration,
}

/// Transfers that are under way at any time.
const TRANSFERS: f64 = 4.0;
const TRANSFER_BYTES: u64 = 1024 * 1024;
const LONGEST_TRANSFER: Duration = Duration::from_secs(4);
const SHORT_BYTES: u64 = 128;

/// Divides short requests evenly, and adds transfers for the same time. A transfer takes longer than the time
/// between two upgrades if that is possible in four seconds.
pub(super) fn plan(modes: &[Mode], requests: u64, rate: f64, upgrades: u32) -> Vec<Share> {
    let short = modes.iter().filter(|mode| !mode.is_long()).count().max(1);
    let length = Duration::from_secs_f64(requests as f64 / rate);
    let between = length / (upgrades + 1);
    let over = between.mul_f64(1.5).min(LONGEST_TRANSFER).min(length / 2);
    let transfers_per_second = TRANSFERS / over.as_secs_f64();
    let transfers = (length.saturating_sub(over).as_secs_f64() * transfers_per_second).ceil().max(1.0);
    let share = |mode: &Mode| match *mode {
        mode if mode.is_long() => Share {
            mode,
            requests: transfers as u64,
            rate: transfers_per_second,
            connections: 4 * TRANSFERS as u64,
            bytes: TRANSFER_BYTES,
            over,
        },
        mode => Share {
            mode,
            requests: requests.div_ceil(short as u64),
            rate: rate / short as f64,
            connections: 64,
            bytes: SHORT_BYTES,
            over: Duration::ZERO,
        },
    };
    modes.iter().map(share).collect()
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
    ) -> [(&'static str, String); 9] {
        [
            ("--to", to.to_string()),
            ("--backend", backend.to_string()),
            ("--mode", self.mode.name().to_owned()),
            ("--requests", self.requests.to_string()),
            ("--rate", self.rate.to_string()),
            ("--connections", self.connections.to_string()),
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
