//! The gateway and its backend, started and stopped together.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gateway_testkit::http;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Directory of the children's output.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    /// Our own terminal.
    Terminal,
    /// A file in the state directory each.
    Files,
}

/// A running gateway with its backend; both end when this is dropped.
pub(crate) struct Stack {
    sluice: PathBuf,
    state: PathBuf,
    backend: Child,
    gateway: Child,
}

/// Far above what a start or a drain takes, so that a slow machine is not taken for a failure.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
const BACKEND: &str = "127.0.0.1:8000";
const HEALTH: &str = "127.0.0.1:15021";

impl Stack {
    /// Starts both and waits until the gateway says that it is ready.
    pub(crate) fn start(
        sluice: &Path,
        config: &Path,
        state: &Path,
        bpffs: Option<&Path>,
        output: Output,
    ) -> Result<Self> {
        let backend: SocketAddr = BACKEND.parse()?;
        if TcpStream::connect(backend).is_ok() {
            bail!("{BACKEND} is taken, and the example's backend listens there: stop what serves it");
        }
        let mut command = Command::new(sluice);
        command.args(["echo", "--listen", BACKEND]);
        let backend_child = spawn(&mut command, state, "backend", output)?;
        let mut command = Command::new(sluice);
        command.arg("run").arg(config).arg("--state-dir").arg(state);
        // There is no load balancer that would have to notice first. The example lies where it was checked
        // out, which may be closed to every user but this one.
        command.args(["--drain-min", "0s", "--user", "keep"]);
        if let Some(bpffs) = bpffs {
            command.arg("--bpffs").arg(bpffs);
        }
        let gateway = match spawn(&mut command, state, "gateway", output) {
            Ok(child) => child,
            Err(e) => {
                stop_child(backend_child)?;
                return Err(e);
            }
        };
        let mut stack =
            Self { sluice: sluice.to_owned(), state: state.to_owned(), backend: backend_child, gateway };
        stack.wait_until("the backend accepts", || TcpStream::connect(backend).is_ok())?;
        let health: SocketAddr = HEALTH.parse()?;
        stack.wait_until("the gateway is ready", || {
            http::get(health, "localhost", "/healthz/ready").is_ok_and(|response| response.status == 200)
        })?;
        Ok(stack)
    }

    fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + WAIT_TIMEOUT;
        while !ready() {
            if let Some(ended) = self.ended()? {
                bail!("{ended} before {what}");
            }
            if Instant::now() > end {
                bail!("gave up waiting until {what}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The part that ended by itself, if one did.
    pub(crate) fn ended(&mut self) -> Result<Option<String>> {
        for (name, child) in [("the backend", &mut self.backend), ("the gateway", &mut self.gateway)] {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(format!("{name} ended by itself ({status})")));
            }
        }
        Ok(None)
    }

    /// The document that `sluice status -o json` prints.
    pub(crate) fn status(&self) -> Result<Value> {
        let mut command = Command::new(&self.sluice);
        let output = command.args(["status", "-o", "json", "--state-dir"]).arg(&self.state).output()?;
        if !output.status.success() {
            bail!("sluice status failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("sluice status printed no JSON")
    }

    /// `http://127.0.0.1`, with a port unless the listener's own port 80 is served.
    pub(crate) fn base_url(&self) -> Result<String> {
        let status = self.status()?;
        let moved =
            status["listeners"].as_array().and_then(|all| all.iter().find_map(|l| l["servedOn"].as_u64()));
        Ok(match moved {
            None => "http://127.0.0.1".to_owned(),
            Some(port) => format!("http://127.0.0.1:{port}"),
        })
    }

    /// Ends the gateway, then the backend, as a supervisor would.
    pub(crate) fn stop(mut self) -> Result<()> {
        for (name, child) in [("gateway", &mut self.gateway), ("backend", &mut self.backend)] {
            let status = terminate(child)?;
            if name == "gateway" && !status.success() {
                bail!("the gateway did not end well on SIGTERM: {status}");
            }
        }
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for child in [&mut self.gateway, &mut self.backend] {
            if matches!(child.try_wait(), Ok(None)) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn spawn(command: &mut Command, state: &Path, name: &str, output: Output) -> Result<Child> {
    // A group of its own: Ctrl-C on the terminal reaches us alone, and we end the parts in order.
    command.process_group(0).stdin(Stdio::null());
    if matches!(output, Output::Files) {
        let file = std::fs::File::create(state.join(format!("{name}.log")))?;
        command.stdout(file.try_clone()?).stderr(file);
    }
    command.spawn().with_context(|| format!("starting the {name}: {}", command.get_program().display()))
}

fn stop_child(mut child: Child) -> Result<()> {
    terminate(&mut child).map(drop)
}

fn terminate(child: &mut Child) -> Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
    let end = Instant::now() + WAIT_TIMEOUT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > end {
            child.kill()?;
            return Ok(child.wait()?);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
