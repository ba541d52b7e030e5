//! The neighbour's clients: verified requests at an even rate, on kept connections and on new ones.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use sluice_bench::load::Mode;

use super::case::Neighbour;
use super::testbed::{NEIGHBOUR_BACKEND, NEIGHBOUR_HOST};
use crate::load_client::LoadClient;
use crate::testbed::LISTEN_ADDRESS;

/// Requests per second of each client.
const RATE: u32 = 500;
/// Connections of each client where a case does not ask for fewer.
const CONNECTIONS: u32 = 32;
/// Seconds for one request.
const TIMEOUT: &str = "10";

/// Starts the clients that the case lets in, each for so many seconds; `run` tells their requests from those
/// of other runs.
pub(super) fn start(
    neighbour: Neighbour,
    bench: &Path,
    dir: &Path,
    seconds: u32,
    run: u32,
) -> Result<Vec<LoadClient>> {
    let kinds: &[Mode] = match neighbour {
        Neighbour::Any => &[Mode::KeepAlive, Mode::PerConnection],
        Neighbour::Inside(_) => &[Mode::KeepAlive],
    };
    let connections = match neighbour {
        Neighbour::Any => CONNECTIONS,
        Neighbour::Inside(connections) => connections,
    };
    let launch = |(number, &mode): (usize, &Mode)| {
        let flags = [
            ("--to", LISTEN_ADDRESS.to_owned()),
            ("--host", NEIGHBOUR_HOST.to_owned()),
            ("--backend", NEIGHBOUR_BACKEND.to_owned()),
            ("--mode", mode.name().to_owned()),
            ("--requests", (RATE * seconds).to_string()),
            ("--rate", RATE.to_string()),
            ("--connections", connections.to_string()),
            ("--timeout", TIMEOUT.to_owned()),
            ("--tag", format!("{:06x}", run * 16 + u32::try_from(number)?)),
        ];
        LoadClient::start(Command::new(bench), dir, &format!("{}-{run}", mode.name()), mode, &flags)
    };
    kinds.iter().enumerate().map(launch).collect()
}
