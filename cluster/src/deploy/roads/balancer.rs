//! A machine with HAProxy of today on the switch, which is on no node and is no client.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sluice_tooling::sid::SERVERS;

use super::files::{HAPROXY, file};
use super::statistics::Statistics;
use crate::enter;
use crate::handle::Cluster;
use crate::network::{CARD, SWITCH};
use crate::process::{Process, until};

/// The machine's name and its addresses, which the example's configuration of HAProxy binds.
const NAME: &str = "balancer";
pub(super) const V4: &str = "10.10.0.3";
pub(super) const V6: &str = "fd00:10:10::3";
/// Ports that pass on connections as they are, and requests one by one.
pub(super) const CONNECTIONS: u16 = 80;
pub(super) const REQUESTS: u16 = 8080;

/// Addition to the example's configuration: a socket that counts are read from.
const LAB: &str = "lab.cfg";
const SOCKET: &str = "statistics.sock";

/// HAProxy; it ends with this.
pub(super) struct Balancer {
    process: Process,
    socket: PathBuf,
}

impl Balancer {
    /// Makes the machine, starts HAProxy with the example's configuration and waits until it accepts connections.
    ///
    /// # Errors
    /// Debian sid cannot be had, or HAProxy does not start.
    pub(super) fn start(cluster: &Cluster, dir: &Path) -> Result<Self> {
        let root = SERVERS.root(|_| Ok(())).context("sid for HAProxy")?;
        make_machine(cluster)?;
        let shown = dir.join("balancer");
        fs::create_dir_all(&shown)?;
        fs::copy(file(HAPROXY), shown.join(HAPROXY)).context(HAPROXY)?;
        fs::write(shown.join(LAB), format!("global\n    stats socket /mnt/{SOCKET}\n")).context(LAB)?;
        let mut command = haproxy(cluster, &root, &shown)?;
        let process = Process::spawn("haproxy", dir, &mut command)?;
        let mut balancer = Self { process, socket: shown.join(SOCKET) };
        for port in [CONNECTIONS, REQUESTS] {
            until(&format!("haproxy serves port {port}"), || {
                balancer.process.ensure_running()?;
                let url = format!("http://{V4}:{port}/");
                let mut curl = enter::client(cluster, "curl")?;
                let output = curl.args(["--silent", "--max-time", "2", &url]).output()?;
                Ok(output.status.success().then_some(()))
            })?;
        }
        Ok(balancer)
    }

    /// Its counts, and what it thinks of each node.
    ///
    /// # Errors
    /// It does not say.
    pub(super) fn statistics(&self) -> Result<Statistics> {
        Statistics::of(&self.socket)
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        self.process.ensure_running()
    }
}

/// Its files are shown to it alone, in a mount namespace that ends with it.
fn haproxy(cluster: &Cluster, root: &Path, shown: &Path) -> Result<Command> {
    let mut command = Command::new("nsenter");
    let network = enter::path(cluster, &crate::network::namespace(NAME))?;
    command.arg("--target").arg(cluster.first()?.to_string()).args(["--mount", "--pid"]);
    command.arg(format!("--net={}", network.display())).arg("--");
    command.args(["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec"]);
    let script = format!(
        "mount --bind \"$1\" \"$2/mnt\"; mount --rbind /dev \"$2/dev\"; exec chroot \"$2\" haproxy -db -f /mnt/{LAB} -f /mnt/{HAPROXY}"
    );
    command.arg(script).arg("sh").arg(shown).arg(root);
    Ok(command)
}

fn make_machine(cluster: &Cluster) -> Result<()> {
    ip(
        cluster,
        &format!(
            "netns add {NAME}
link add {NAME} type veth peer name {CARD} netns {NAME}
link set {NAME} master {SWITCH} up
"
        ),
        &[],
    )?;
    let card = format!(
        "link set lo up
link set {CARD} up
addr add {V4}/24 dev {CARD}
addr add {V6}/64 dev {CARD} nodad
"
    );
    ip(cluster, &card, &["-netns", NAME])
}

/// Has ip(8) do these lines in the control plane's network, where the switch is.
///
/// # Errors
/// It refuses one.
pub(super) fn ip(cluster: &Cluster, lines: &str, flags: &[&str]) -> Result<()> {
    let mut command = enter::whole(cluster, "ip")?;
    let mut ip =
        command.args(flags).args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("starting ip")?;
    ip.stdin.take().context("ip has no standard input")?.write_all(lines.as_bytes())?;
    ensure!(ip.wait()?.success(), "ip refuses one of:\n{lines}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::Nodes;

    #[test]
    fn the_examples_configuration_is_for_this_network() {
        let text = fs::read_to_string(file(HAPROXY)).unwrap();
        for node in Nodes::Apart(3).all() {
            assert_eq!(text.matches(&format!("server {} {}:80\n", node.name, node.v4)).count(), 2, "{text}");
        }
        for port in [CONNECTIONS, REQUESTS] {
            assert!(text.contains(&format!("bind {V4}:{port}\n")), "{text}");
            assert!(text.contains(&format!("bind [{V6}]:{port}\n")), "{text}");
        }
    }
}
