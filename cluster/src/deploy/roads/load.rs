//! Clients of HAProxy or of a Gateway's own address, none of whose requests may fail.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use sluice_bench::load::Mode;
use sluice_bench::report::Report;

use crate::deploy::backend;
use crate::enter;
use crate::handle::Cluster;
use crate::load_client::{self, LoadClient};
use crate::process::until;

/// Routes of the load on the example's Gateway.
pub(super) const ROUTES: &str = include_str!("routes.yaml");
/// Requests per second of each client, at moments of their own.
const RATE: u32 = 100;
/// Connections of each client that keeps them: each has a request several times in a second.
const CONNECTIONS: u32 = 10;
/// Far more than are made until clients are stopped.
const REQUESTS: u32 = 100 * 3600 * RATE;
const MODES: [Mode; 2] = [Mode::KeepAlive, Mode::PerConnection];

/// Clients in the network `client`.
pub(super) struct Load {
    /// `sluice-bench`.
    bench: PathBuf,
    /// Gets what clients say.
    dir: PathBuf,
    /// The flag of nsenter for their network.
    network: String,
    /// Number of clients so far, which tells their requests apart.
    clients: u32,
}

impl Load {
    /// Starts the backend of these clients, and has the example's Gateway lead to it.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn new(cluster: &Cluster, bench: &Path, dir: &Path) -> Result<Self> {
        backend::start(cluster, bench, dir, ROUTES)?;
        let network = enter::client_network(cluster)?;
        Ok(Self { bench: bench.to_owned(), dir: dir.to_owned(), network, clients: 0 })
    }

    /// Sends to each of `to` on kept connections and on a connection for each request, while `body` makes things happen; gives the
    /// number of requests.
    ///
    /// # Errors
    /// Those of `body`; or a request failed.
    pub(super) fn during(&mut self, to: &[SocketAddr], body: impl FnOnce() -> Result<()>) -> Result<u64> {
        let mut clients = Vec::new();
        for to in to {
            self.served(*to)?;
            for mode in MODES {
                clients.push(self.start(*to, mode)?);
            }
        }
        let (_, reports) = load_client::during(clients, body)?;
        none_failed(&reports)
    }

    fn start(&mut self, to: SocketAddr, mode: Mode) -> Result<LoadClient> {
        self.clients += 1;
        let flags = [
            ("--to", to.to_string()),
            // The witness is asked by the same way: its own network is not known to clients.
            ("--backend", to.to_string()),
            ("--mode", mode.name().to_owned()),
            ("--rate", RATE.to_string()),
            ("--requests", REQUESTS.to_string()),
            ("--connections", CONNECTIONS.to_string()),
            ("--tag", format!("{:06x}", self.clients)),
        ];
        let name = format!("load-{}-{}", self.clients, mode.name());
        LoadClient::start_until_stopped(self.call(&self.bench), &self.dir, &name, mode, &flags)
    }

    /// Waits until the route is served.
    fn served(&self, to: SocketAddr) -> Result<()> {
        let url = format!("http://{to}/download/1");
        until(&format!("{url} is served"), || {
            let mut curl = self.call(Path::new("curl"));
            let output = curl.args(["--silent", "--globoff", "--fail", "--max-time", "5", &url]).output()?;
            Ok(output.status.success().then_some(()))
        })
    }

    /// A program in the clients' network, with the files of the machine.
    fn call(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(&self.network).arg("--").arg(program);
        command
    }
}

/// Port of an address as it is written in a URL, which may have brackets.
pub(super) fn port_of(address: &str, port: u16) -> Result<SocketAddr> {
    let address: IpAddr = address.trim_start_matches("http://").trim_matches(['[', ']']).parse()?;
    Ok(SocketAddr::new(address, port))
}

/// Number of requests of all clients, if none failed.
fn none_failed(reports: &[Report]) -> Result<u64> {
    let mut all = 0;
    for report in reports {
        let Report { mode, sent, failed, missing, samples, .. } = report;
        let lost = report.lost();
        ensure!(
            lost == 0,
            "{mode}: {lost} of {sent} requests lost: {failed:?}, {missing} missing: {samples:?}"
        );
        ensure!(*sent > 0, "{mode}: no request was made");
        all += sent;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ok: u64, refused: u64) -> Report {
        serde_json::from_value(serde_json::json!({
            "mode": "keep-alive", "planned": ok + refused, "sent": ok + refused, "ok": ok, "failed": { "refused": refused },
            "missing": 0, "witness": null, "connections": {}, "latency": { "p50Us": 1, "p99Us": 1, "maxUs": 1 },
            "seconds": 1.0, "samples": [],
        }))
        .unwrap()
    }

    #[test]
    fn one_lost_request_of_any_client_is_an_error() {
        assert_eq!(none_failed(&[report(10, 0), report(20, 0)]).unwrap(), 30);
        let error = none_failed(&[report(10, 0), report(19, 1)]).unwrap_err().to_string();
        assert!(error.starts_with("keep-alive: 1 of 20 requests lost"), "{error}");
        assert!(none_failed(&[report(0, 0)]).is_err(), "a client that made none proves nothing");
    }

    #[test]
    fn addresses_of_urls_have_ports() {
        assert_eq!(port_of("http://10.20.0.0", 80).unwrap().to_string(), "10.20.0.0:80");
        assert_eq!(port_of("[fd00::1]", 8080).unwrap().to_string(), "[fd00::1]:8080");
        assert!(port_of("http://name", 80).is_err());
    }
}
