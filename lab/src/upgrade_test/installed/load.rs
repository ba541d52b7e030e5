//! Clients outside of the cluster, which send while an event happens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use sluice_bench::load::Mode;
use sluice_bench::report::Report;
use sluice_cluster::deploy::release::Release;
use sluice_cluster::enter;

use super::super::clients::{self, Share};
use crate::load_client::{self, LoadClient};
use crate::process::until;

/// Clients and where they send to.
pub(super) struct Load {
    bench: PathBuf,
    /// The flag of nsenter for their network.
    network: String,
    to: Vec<SocketAddr>,
    shares: Vec<Share>,
    /// Numbers given to clients so far, which tell their requests apart.
    tags: usize,
}

/// Schedules are stopped long before they end.
const SCHEDULE: f64 = 24.0 * 3600.0;
/// Upgrades that such a schedule would have, so that transfers take the four seconds of theirs.
const UPGRADES: u32 = 10_000;

impl Load {
    /// Clients of these modes with `rate` short requests per second together, on every node alike.
    pub(super) fn new(bench: &Path, release: &Release, modes: &[Mode], rate: f64) -> Result<Self> {
        let nodes = release.nodes()?;
        let to: Vec<SocketAddr> =
            nodes.iter().map(|node| format!("{}:80", node.v4).parse()).collect::<Result<_, _>>()?;
        let rate = rate / to.len() as f64;
        let shares = clients::plan(modes, (rate * SCHEDULE) as u64, rate, UPGRADES);
        let network = enter::client_network(release.cluster())?;
        Ok(Self { bench: bench.to_owned(), network, to, shares, tags: 0 })
    }

    /// Waits until every node serves every kind of request.
    pub(super) fn served(&self) -> Result<()> {
        for to in &self.to {
            for share in &self.shares {
                let mode = share.mode().name();
                until(&format!("{to} serves {mode}"), || {
                    let mut client = self.call(&self.bench);
                    client.args(["load", "--requests", "8", "--timeout", "5", "--mode", mode, "--to"]);
                    Ok(client.arg(to.to_string()).output()?.status.success().then_some(()))
                })?;
            }
        }
        Ok(())
    }

    /// Sends before, during and after `body`, and gives what each client saw, with the time that it took.
    pub(super) fn during(
        &mut self,
        dir: &Path,
        body: impl FnOnce() -> Result<()>,
    ) -> Result<(Duration, Vec<Report>)> {
        let mut clients = Vec::new();
        for to in &self.to {
            for share in &self.shares {
                self.tags += 1;
                // The witness is asked through the gateway, once all is over: its own network is not known here.
                let flags = share.flags(*to, *to, self.tags);
                let name = format!("{:03}-{}", self.tags, share.mode().name());
                clients.push(LoadClient::start_until_stopped(
                    self.call(&self.bench),
                    dir,
                    &name,
                    share.mode(),
                    &flags,
                )?);
            }
        }
        load_client::during(clients, body)
    }

    /// A program in the clients' network, with the files of the machine.
    fn call(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(&self.network).arg("--").arg(program);
        command
    }
}
