//! Sluice, replaced by a second `sluice run` on the same state directory: it takes the sockets over, and the first one
//! drains and ends.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use gateway_testkit::http;
use nix::sys::signal::Signal;

use super::proxy::{Proxy, Setup, WORKERS};
use crate::process::{Process, until};

/// `--steering`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Steering {
    Ebpf,
    Reuseport,
}

/// `--io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Io {
    Uring,
    Epoll,
}

pub(super) struct Sluice {
    setup: Setup,
    program: PathBuf,
    steering: Steering,
    io: Io,
    live: Option<Process>,
    draining: Vec<Process>,
    started: u32,
}

/// Free in a namespace of our own.
const HEALTH: &str = "127.0.0.1:15021";
const METRICS: &str = "127.0.0.1:19001";

impl Steering {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Reuseport => "reuseport",
        }
    }
}

impl Io {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

impl Sluice {
    pub(super) fn new(setup: Setup, program: PathBuf, steering: Steering, io: Io) -> Self {
        Self { setup, program, steering, io, live: None, draining: Vec::new(), started: 0 }
    }

    fn launch(&mut self) -> Result<Process> {
        self.started += 1;
        let dir = &self.setup.dir;
        let mut command = Command::new(&self.program);
        command.arg("run").arg(dir.join("config")).arg("--state-dir").arg(dir.join("state"));
        command.arg("--bpffs").arg(&self.setup.bpffs);
        command.args(["--steering", self.steering.name(), "--io", self.io.name()]);
        command.args(["--workers", &WORKERS.to_string()]);
        command.args(["--health-address", HEALTH, "--metrics-address", METRICS]);
        // Longer than any transfer of the clients: what is cut here is cut by mistake.
        command.args(["--access-log", "off", "--drain-min", "0s", "--drain-max", "60s"]);
        Process::spawn(&format!("sluice-{}", self.started), dir, &mut command)
    }
}

impl Proxy for Sluice {
    fn start(&mut self) -> Result<()> {
        let config = self.setup.dir.join("config");
        fs::create_dir_all(&config)?;
        fs::write(config.join("all.yaml"), resources(self.setup.listen, self.setup.backend))?;
        let mut process = self.launch()?;
        until_ready(&mut process)?;
        self.live = Some(process);
        Ok(())
    }

    fn upgrade(&mut self) -> Result<()> {
        let old = self.live.take().context("sluice has not been started")?;
        let mut new = self.launch()?;
        until_took_over(&mut new, old.pid())?;
        until_ready(&mut new)?;
        self.draining.push(old);
        self.live = Some(new);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(live) = self.live.take() {
            live.signal(Signal::SIGTERM)?;
            self.draining.push(live);
        }
        self.draining.iter_mut().try_for_each(Process::wait_for_success)
    }
}

/// The old one answers at the health socket, too, until it has handed over: only this metric is the new one's alone.
fn until_took_over(process: &mut Process, from: u32) -> Result<()> {
    let metrics: SocketAddr = METRICS.parse()?;
    let label = format!("from_pid=\"{from}\"");
    until("sluice has taken over", || {
        process.ensure_running()?;
        let said =
            http::get(metrics, "localhost", "/metrics").map(|response| response.text()).unwrap_or_default();
        let took_over = said.lines().any(|l| l.starts_with("sluice_takeover_info{") && l.contains(&label));
        Ok(took_over.then_some(()))
    })
}

fn until_ready(process: &mut Process) -> Result<()> {
    let health: SocketAddr = HEALTH.parse()?;
    until("sluice is ready", || {
        process.ensure_running()?;
        let ready =
            http::get(health, "localhost", "/healthz/ready").is_ok_and(|response| response.status == 200);
        Ok(ready.then_some(()))
    })
}

/// One listener, one route for everything, one endpoint.
fn resources(listen: SocketAddr, backend: SocketAddr) -> String {
    let (port, address, backend_port) = (listen.port(), backend.ip(), backend.port());
    format!(
        "apiVersion: v1
kind: Namespace
metadata:
  name: bench
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: sluice
spec:
  controllerName: sluice.dev/gateway
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: bench
  namespace: bench
spec:
  gatewayClassName: sluice
  listeners:
    - name: http
      protocol: HTTP
      port: {port}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: all
  namespace: bench
spec:
  parentRefs:
    - name: bench
  rules:
    - backendRefs:
        - name: backend
          port: {backend_port}
---
apiVersion: v1
kind: Service
metadata:
  name: backend
  namespace: bench
spec:
  ports:
    - name: http
      port: {backend_port}
      targetPort: {backend_port}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: backend-1
  namespace: bench
  labels:
    kubernetes.io/service-name: backend
addressType: IPv4
ports:
  - name: http
    port: {backend_port}
    protocol: TCP
endpoints:
  - addresses:
      - {address}
    conditions:
      ready: true
"
    )
}
