//! The runs of these tests.

use std::net::SocketAddr;
use std::time::Duration;

use sluice_bench::id::Tag;
use sluice_bench::load::{LoadSpec, Mode};

/// Length of bodies in these tests.
pub(crate) const BYTES: u64 = 64;

/// Few requests, patient on a busy machine.
pub(crate) fn spec(to: SocketAddr, mode: Mode) -> LoadSpec {
    LoadSpec {
        to,
        host: "bench.example".to_owned(),
        mode,
        rate: 200.0,
        requests: 30,
        connections: 4,
        streams: 2,
        bytes: BYTES,
        over: Duration::ZERO,
        timeout: Duration::from_secs(30),
        time_limit: Duration::from_secs(60),
        tag: Tag::new(7),
        backend: None,
        stop: None,
    }
}
