//! Sluice.
//!
//! It is replaced by a second one on the same state directory: it takes the sockets over, and the first one drains and ends.

mod broken;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use gateway_testkit::http;
use nix::sys::signal::Signal;

pub(crate) use self::broken::Broken;
use super::{Proxy, Setup, program, resources, write};
use crate::process::{Process, until};

/// Where `sluice run` serves probes and scrapers; free in a network namespace of our own.
pub(crate) const HEALTH: &str = "127.0.0.1:15021";
pub(crate) const METRICS: &str = "127.0.0.1:19001";

/// `--steering`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Steering {
    Ebpf,
    Reuseport,
}

/// `--io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Io {
    Uring,
    Epoll,
}

impl Steering {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Reuseport => "reuseport",
        }
    }
}

impl Io {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

/// The processes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pods {
    /// `sluice run`, started as root.
    One,
    /// That, and in turn with it `sluice node` as a user without rights beside its own `sluice helper` and `sluice
    /// controller`, as in the pod of `deploy/kubernetes/together.yaml`.
    InTurn,
}

/// The user of nodes and controllers, and the one that root becomes.
const USER: u32 = 65_532;

impl Pods {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "",
            Self::InTurn => " run/node",
        }
    }

    /// True if the pod that is started as the `nth`, from 1, has its roles apart.
    fn are_apart(self, nth: u32) -> bool {
        self == Self::InTurn && nth.is_multiple_of(2)
    }
}

/// The directory of resources that [`run`] names.
pub(crate) fn config_dir(dir: &Path) -> PathBuf {
    dir.join("config")
}

/// Makes the directory of resources, with these in it.
pub(crate) fn write_config(dir: &Path, resources: &str) -> Result<()> {
    let config = config_dir(dir);
    fs::create_dir_all(&config)?;
    write(&config.join("all.yaml"), resources)
}

/// Completes a call of the program to `sluice run` with its resources, state and BPF file system in
/// these directories.
pub(crate) fn run(mut program: Command, dir: &Path, bpffs: &Path) -> Command {
    program.arg("run").arg(config_dir(dir)).arg("--state-dir").arg(dir.join("state"));
    program.arg("--bpffs").arg(bpffs);
    program
}

/// Waits until a `sluice run` with [`HEALTH`] as its health address says that it is ready.
pub(crate) fn wait_until_ready(process: &mut Process) -> Result<()> {
    let health: SocketAddr = HEALTH.parse()?;
    until("sluice is ready", || {
        process.ensure_running()?;
        let ready =
            http::get(health, "localhost", "/healthz/ready").is_ok_and(|response| response.status == 200);
        Ok(ready.then_some(()))
    })
}

/// Writes these resources and gives the call of a gateway that is measured, with its defaults but for what
/// its peers are told.
pub(crate) fn measured(setup: &Setup, sluice: &Path, resources: &str) -> Result<Command> {
    let dir = &setup.dir;
    write_config(dir, resources)?;
    let log = match setup.role.traffic().access_log {
        // It makes its log as a user without rights.
        true => {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o777))?;
            dir.join("access.log")
        }
        false => "off".into(),
    };
    let mut command = run(program(sluice, setup.cpu), dir, &setup.bpffs);
    command.args(["--steering", "ebpf", "--io", "uring", "--log", "warn"]).arg("--access-log").arg(log);
    command.args(["--workers", &setup.role.workers().to_string()]);
    if let Some(cpu) = setup.cpu {
        command.args(["--cpus", &cpu.to_string()]);
    }
    command.args(["--client-idle-timeout", "1h", "--upstream-idle-timeout", "1h"]);
    command.args(["--max-connections", "16000"]);
    Ok(command)
}

/// A gateway that can be replaced.
pub(crate) struct Sluice {
    setup: Setup,
    program: PathBuf,
    /// Another version, which the first process and every other one after it is of.
    before: Option<PathBuf>,
    steering: Steering,
    io: Io,
    pods: Pods,
    live: Option<Pod>,
    draining: Vec<Pod>,
    started: u32,
}

/// The process that serves, and those beside it that end after it.
struct Pod {
    serving: Process,
    beside: Vec<Process>,
}

impl Pod {
    /// Waits until the one that serves has ended, then ends the others.
    fn wait_for_success(&mut self) -> Result<()> {
        self.serving.wait_for_success()?;
        self.end_others()
    }

    fn end_others(&mut self) -> Result<()> {
        self.beside.iter().try_for_each(|process| process.signal(Signal::SIGTERM))?;
        self.beside.iter_mut().try_for_each(Process::wait_for_success)
    }
}

impl Sluice {
    pub(crate) fn new(setup: Setup, program: PathBuf, (steering, io, pods): (Steering, Io, Pods)) -> Self {
        let (live, draining) = (None, Vec::new());
        Self { setup, program, before: None, steering, io, pods, live, draining, started: 0 }
    }

    /// Alternates between this version and its program: that one first.
    pub(crate) fn starting_with(self, before: Option<PathBuf>) -> Self {
        Self { before, ..self }
    }

    /// The program of the process that is started as the `nth`, from 1.
    fn program(&self, nth: u32) -> &Path {
        match &self.before {
            Some(before) if nth % 2 == 1 => before,
            _ => &self.program,
        }
    }

    fn launch(&mut self) -> Result<Pod> {
        self.launch_with(None, |command| {
            command.env("SLUICE_FAULT", broken::SHORT_LIMIT);
        })
    }

    /// Starts the next pod, of another program if one is given, after `finish` has completed the call of the one that serves.
    fn launch_with(&mut self, other: Option<&Path>, finish: impl FnOnce(&mut Command)) -> Result<Pod> {
        self.started += 1;
        let Setup { dir, bpffs, cpu, role, .. } = &self.setup;
        let nth = self.started;
        let sluice = program(other.unwrap_or(self.program(nth)), *cpu);
        let (mut command, beside) = match self.pods.are_apart(nth) {
            false => (run(sluice, dir, bpffs), Vec::new()),
            true => self.node(sluice)?,
        };
        command.args(["--steering", self.steering.name(), "--io", self.io.name()]);
        command.args(["--workers", &role.workers().to_string()]);
        command.args(["--health-address", HEALTH, "--metrics-address", METRICS]);
        // Longer than any transfer of the clients: what is cut here is cut by mistake.
        command.args(["--access-log", "off", "--drain-min", "0s", "--drain-max", "60s"]);
        finish(&mut command);
        Ok(Pod { serving: Process::spawn(&format!("sluice-{nth}"), dir, &mut command)?, beside })
    }

    /// Completes a call of the program to `sluice node`, with the helper and the controller that it needs, which listen.
    fn node(&self, mut program_of_node: Command) -> Result<(Command, Vec<Process>)> {
        let Setup { dir, bpffs, cpu, .. } = &self.setup;
        let nth = self.started;
        let state = dir.join("state");
        let call = || program(self.program(nth), *cpu);
        let socket = dir.join(format!("helper-{nth}.sock"));
        let mut helper = call();
        helper.arg("helper").arg("--socket").arg(&socket).args(["--node-uid", &USER.to_string()]);
        helper.arg("--state-dir").arg(&state).arg("--bpffs").arg(bpffs);
        let helper = (format!("helper-{nth}"), helper, socket.clone());
        let own = dir.join(format!("controller-{nth}"));
        let nodes = own.join("nodes.sock");
        let mut controller = call();
        controller.arg("controller").arg(config_dir(dir)).arg("--state-dir").arg(&own);
        controller.args(["--health-address", "off", "--metrics-address", "off"]).uid(USER).gid(USER);
        let controller = (format!("controller-{nth}"), controller, nodes.clone());
        let mut beside = Vec::new();
        for (name, mut command, socket) in [helper, controller] {
            let mut process = Process::spawn(&name, dir, &mut command)?;
            until(&format!("{name} listens"), || {
                process.ensure_running()?;
                Ok(socket.exists().then_some(()))
            })?;
            beside.push(process);
        }
        program_of_node.arg("node").arg("--controller").arg(nodes).arg("--helper").arg(socket);
        program_of_node.arg("--state-dir").arg(state).uid(USER).gid(USER);
        Ok((program_of_node, beside))
    }
}

impl Proxy for Sluice {
    fn start(&mut self) -> Result<()> {
        let Setup { dir, listen, backend, .. } = &self.setup;
        write_config(dir, &resources::pass_streams_too(*listen, *backend)?)?;
        let mut pod = self.launch()?;
        wait_until_ready(&mut pod.serving)?;
        self.live = Some(pod);
        Ok(())
    }

    fn upgrade(&mut self) -> Result<()> {
        let old = self.live.take().context("sluice has not been started")?;
        let mut new = self.launch()?;
        wait_until_took_over(&mut new.serving, old.serving.pid())?;
        wait_until_ready(&mut new.serving)?;
        self.draining.push(old);
        self.live = Some(new);
        Ok(())
    }

    fn try_broken(&mut self, how: Broken, program: &Path) -> Result<()> {
        Self::try_broken(self, how, program)
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(live) = self.live.take() {
            live.serving.signal(Signal::SIGTERM)?;
            self.draining.push(live);
        }
        self.draining.iter_mut().try_for_each(Pod::wait_for_success)
    }
}

/// The old one responds at the health socket, too, until it has handed over: only this metric is the
/// new one's alone.
fn wait_until_took_over(process: &mut Process, from: u32) -> Result<()> {
    let metrics: SocketAddr = METRICS.parse()?;
    let label = format!("from_pid=\"{from}\"");
    until("sluice has taken over", || {
        process.ensure_running()?;
        let page =
            http::get(metrics, "localhost", "/metrics").map(|response| response.text()).unwrap_or_default();
        let took_over = page.lines().any(|l| l.starts_with("sluice_takeover_info{") && l.contains(&label));
        Ok(took_over.then_some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Role;

    #[test]
    fn versions_take_turns_and_the_other_one_begins() {
        let setup = Setup {
            dir: "/d".into(),
            listen: "127.0.0.1:1".parse().unwrap(),
            backend: "127.0.0.1:2".parse().unwrap(),
            bpffs: "/b".into(),
            cpu: None,
            role: Role::Replaced,
            peers: crate::peers::programs::Programs::default(),
        };
        let how = (Steering::Ebpf, Io::Uring, Pods::One);
        let new = || Sluice::new(setup.clone(), "this".into(), how);
        let programs = |sluice: &Sluice| [1, 2, 3].map(|nth| sluice.program(nth).to_owned());
        let to_and_fro = new().starting_with(Some("before".into()));
        assert_eq!(programs(&to_and_fro), ["before", "this", "before"].map(PathBuf::from));
        assert_eq!(programs(&new().starting_with(None)), ["this"; 3].map(PathBuf::from));
        assert_eq!([1, 2, 3].map(|nth| Pods::InTurn.are_apart(nth)), [false, true, false]);
        assert_eq!([1, 2, 3].map(|nth| Pods::One.are_apart(nth)), [false; 3]);
    }
}
