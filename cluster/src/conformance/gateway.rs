//! The gateway under test: a process of the node, inside the cluster's namespaces.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account;
use super::{install, separation};
use crate::handle::Cluster;
use crate::kubectl::{NAMESPACE, NODE_NAMESPACE};
use crate::metrics::Page;
use crate::network::{GATEWAYS_V4, GATEWAYS_V6, LINK, NODE, pool_addresses};
use crate::proc;
use crate::process::{Process, until};
use crate::steering::SteeringCounters;
use crate::{BPFFS, enter};

/// An address of the pool for a Gateway that asks for it, and one that no node could have (RFC 5737).
pub(super) const USABLE: &str = "10.20.0.200";
pub(super) const UNUSABLE: &str = "192.0.2.1";

/// Among the cluster's own files, as a node has it.
const STATE: &str = "/run/sluice";
const CONTROLLER_STATE: &str = "/run/sluice-controller";
/// Controllers of a network: one that leads, and one that is ready to.
const CONTROLLERS: u16 = 2;
const STREAM_PORT: u16 = 15_010;

/// The processes that the gateway is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Roles {
    /// `sluice run`.
    #[default]
    Together,
    /// `sluice controller`, which has the account, and `sluice node`, which has none.
    Apart,
    /// Two controllers with the account of `deploy/kubernetes/apart.yaml`, and a node that follows the one that leads over TLS.
    Network,
}

/// A running gateway; killed when dropped.
pub struct Gateway<'a> {
    cluster: &'a Cluster,
    process: Process,
    pid: u32,
    /// The controllers, with their process ids, where the roles are apart.
    controllers: Vec<(Process, u32)>,
}

/// Resources that the gateway has used.
pub struct Cost {
    /// Resident memory in KiB now.
    pub rss_kib: u64,
    /// The most resident memory in KiB so far.
    pub peak_rss_kib: u64,
    /// CPU time so far, user and system.
    pub cpu: Duration,
}

impl<'a> Gateway<'a> {
    /// Starts it with the account of `deploy/`, and with `more` flags where it writes statuses, and waits until it is ready.
    ///
    /// # Errors
    /// It ends by itself, or is not ready in time; the message has its flags.
    pub fn start(
        sluice: &Path,
        cluster: &'a Cluster,
        dir: &Path,
        roles: Roles,
        more: &[&str],
    ) -> Result<Self> {
        let spawn = |name: &str, role: &str, flags: &[String]| {
            let mut command = enter::whole(cluster, &sluice.display().to_string())?;
            Process::spawn(name, dir, command.arg(role).args(flags))
        };
        let account = |path: &str| format!("--kubeconfig={path}");
        let more = || more.iter().map(|flag| (*flag).to_owned());
        let mut controllers = Vec::new();
        let (role, source) = match roles {
            Roles::Together => {
                ("run", [account(account::kubeconfig(cluster)?)].into_iter().chain(more()).collect())
            }
            Roles::Apart => {
                let mut flags = controller_flags(account(account::kubeconfig(cluster)?), 0);
                flags.extend(more());
                let controller = spawn("sluice-controller", "controller", &flags)?;
                controllers.push(controller);
                ("node", vec![format!("--controller={CONTROLLER_STATE}-0/nodes.sock")])
            }
            Roles::Network => {
                install::install_apart(cluster)?;
                let account = account(account::controller_kubeconfig(cluster)?);
                for number in 0..CONTROLLERS {
                    let mut flags = controller_flags(account.clone(), number);
                    flags.extend(more());
                    flags.push(format!("--stream-address=127.0.0.1:{}", STREAM_PORT + number));
                    flags.push("--node-addresses=127.0.0.1".to_owned());
                    flags.push(format!("--node-namespace={NODE_NAMESPACE}"));
                    controllers.push(spawn(&format!("sluice-controller-{number}"), "controller", &flags)?);
                }
                ("node", network_source(cluster)?)
            }
        };
        let controllers: Vec<(Process, u32)> = controllers
            .into_iter()
            .map(|one| {
                let pid = one.pid();
                (one, pid)
            })
            .collect();
        let flags = flags(source);
        let process = spawn("sluice", role, &flags)?;
        let pid = process.pid();
        let mut gateway = Self { cluster, process, pid, controllers };
        gateway.wait_until_ready().with_context(|| format!("sluice {role} {}", flags.join(" ")))?;
        gateway.pid = proc::first_child(pid).context("nsenter has no child")?;
        for (controller, pid) in &mut gateway.controllers {
            *pid = proc::first_child(controller.pid()).context("nsenter has no child")?;
        }
        if !gateway.controllers.is_empty() {
            separation::judge(gateway.pid)?;
        }
        Ok(gateway)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let cluster = self.cluster;
        until("sluice is ready", || {
            self.process.ensure_running()?;
            Ok(get(cluster, "http://127.0.0.1:15021/healthz/ready").ok())
        })
        .map(drop)
    }

    /// An error if it has ended.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        self.process.ensure_running()
    }

    /// Its counters of connections.
    pub(super) fn counters(&self) -> Result<SteeringCounters> {
        let page = get(self.cluster, "http://127.0.0.1:19001/metrics")?;
        Ok(SteeringCounters::read(&Page::from(page)))
    }

    /// Resources that it has used so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn cost(&self) -> Result<Cost> {
        Ok(Cost {
            rss_kib: proc::rss_kib(self.pid)?,
            peak_rss_kib: proc::peak_kib(self.pid)?,
            cpu: proc::cpu(self.pid)?,
        })
    }

    /// Resident memory of the controller in KiB, where it is another process.
    ///
    /// # Errors
    /// It has ended.
    pub fn controller_rss_kib(&self) -> Result<Option<u64>> {
        self.controllers.first().map(|(_, pid)| proc::rss_kib(*pid)).transpose()
    }

    /// Ends it as a supervisor would; it must end well and leave none of its addresses behind.
    ///
    /// # Errors
    /// Its exit code is not 0, or an address of it is left.
    pub fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM).context("ending sluice")?;
        self.process.wait_for_success()?;
        for (mut controller, pid) in self.controllers {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).context("ending the controller")?;
            controller.wait_for_success()?;
        }
        let left = pool_addresses(|| enter::network(self.cluster, "ip"), LINK)?;
        ensure!(left.is_empty(), "sluice has ended and left addresses on {LINK}: {}", left.join(", "));
        Ok(())
    }
}

/// The way to controllers of a network for a node that comes to the one that does not lead, unless it does.
fn network_source(cluster: &Cluster) -> Result<Vec<String>> {
    let (token, authorities) = account::of_node(cluster, NODE)?;
    Ok(vec![
        format!("--controller=127.0.0.1:{}", STREAM_PORT + CONTROLLERS - 1),
        format!("--controller-ca={authorities}"),
        format!("--controller-token={token}"),
    ])
}

/// Those of a controller, which serves on no node; `number` tells several apart.
fn controller_flags(account: String, number: u16) -> Vec<String> {
    let mut flags = vec![account, format!("--namespace={NAMESPACE}")];
    flags.push(format!("--address-pool={GATEWAYS_V4},{GATEWAYS_V6}"));
    flags.push(format!("--state-dir={CONTROLLER_STATE}-{number}"));
    flags.push("--address-mode=pool".to_owned());
    flags.push(format!("--health-address=127.0.0.1:{}", 15_022 + number));
    flags.push(format!("--metrics-address=127.0.0.1:{}", 19_002 + number));
    flags
}

fn flags(mut flags: Vec<String>) -> Vec<String> {
    flags.extend([
        format!("--namespace={NAMESPACE}"),
        format!("--node-name={NODE}"),
        format!("--address-pool={GATEWAYS_V4},{GATEWAYS_V6}"),
        format!("--address-interface={LINK}"),
        format!("--state-dir={STATE}"),
        format!("--bpffs={BPFFS}"),
    ]);
    // There is no load balancer that would have to notice a drain first; and load clients tell our responses
    // from a backend's by their reason.
    let fixed = [
        "--steering=ebpf",
        "--address-mode=pool",
        "--access-log=off",
        "--drain-min=0s",
        "--drain-max=5s",
        "--reason-header=always",
    ];
    flags.extend(fixed.map(str::to_owned));
    flags
}

/// Fetches a page from inside the cluster's network; anything but success is an error.
fn get(cluster: &Cluster, url: &str) -> Result<String> {
    let output = enter::network(cluster, "curl")?
        .args(["--silent", "--show-error", "--fail", "--max-time", "5", url])
        .output()
        .context("starting curl")?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => bail!("{url}: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}
