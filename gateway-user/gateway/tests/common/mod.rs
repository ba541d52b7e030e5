//! The whole gateway in a network namespace of its own: the binary, its backend, and a directory to edit.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

pub mod helper;
pub mod load;
pub mod pair;
pub mod pins;
pub mod place;
pub mod roles;
pub mod steady;

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, wait};

/// The binary under test.
pub const SLUICE: &str = env!("CARGO_BIN_EXE_sluice");
/// Address of the scenario's listener.
pub const HTTP: &str = "127.0.0.1:80";
/// The scenario's backend.
pub const BACKEND: &str = "127.0.0.1:8000";
const HEALTH: &str = "127.0.0.1:15021";
/// Where the gateway's numbers are.
pub const METRICS: &str = "127.0.0.1:19001";

/// The example that is served, as it lies in the repository.
pub fn example() -> PathBuf {
    std::path::absolute("../../examples/shared-gateway").unwrap()
}

thread_local! {
    /// The state directory of the gateway that this thread has started last: a test has a thread of its own.
    static STATE: Cell<Option<PathBuf>> = const { Cell::new(None) };
}

/// Where the gateway that this thread starts next is asked for its status.
pub fn remember_state(dir: &Path) {
    STATE.set(Some(dir.to_owned()));
}

fn remembered_state() -> Option<PathBuf> {
    let state = STATE.take();
    STATE.set(state.clone());
    state
}

/// A running gateway over a copy of the example, with the bundled backend.
pub struct Running {
    /// The directory that it serves.
    pub config: Scratch,
    /// The gateway's process.
    pub gateway: Guarded,
    /// The backend's process.
    pub backend: Guarded,
}

/// Runs `body` in a fresh namespace with the example being served.
pub fn with_gateway(label: &str, body: impl FnOnce(&Inside, &mut Running) + Send + 'static) {
    with_gateway_flags(label, &[], body);
}

/// The same with flags.
pub fn with_gateway_flags(
    label: &str,
    flags: &'static [&'static str],
    body: impl FnOnce(&Inside, &mut Running) + Send + 'static,
) {
    netns::run(label, move |inside| {
        let mut running = Running::start(inside, flags);
        body(inside, &mut running);
    });
}

impl Running {
    /// Starts backend and gateway on a copy of the example and waits until both serve.
    pub fn start(inside: &Inside, flags: &[&str]) -> Self {
        Self::start_with(inside, flags, &[])
    }

    /// The same with variables in the gateway's environment.
    pub fn start_with(inside: &Inside, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&example()).unwrap();
        let backend = start_backend();
        let mut gateway = spawn_gateway_with(inside, config.path(), flags, environment);
        wait_until_ready(&mut gateway);
        Self { config, gateway, backend }
    }

    /// Replaces `from` by `to` in one file of the directory, as an editor would.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        self.config.write(file, &text.replace(from, to)).unwrap();
    }

    /// The gateway's output so far.
    pub fn log(&self) -> String {
        self.gateway.output()
    }

    /// Waits until a request for `target` gets `status`; requests go on connections of their own.
    #[track_caller]
    pub fn wait_for_status(&self, target: &str, status: u16) -> http::Response {
        wait::until(&format!("{status} for {target}; the gateway says:\n{}", self.log()), || {
            get(target).ok().filter(|response| response.status == status)
        })
    }
}

/// Starts `sluice echo` on the scenario's backend address.
pub fn start_backend() -> Guarded {
    let backend = Guarded::spawn(Command::new(SLUICE).args(["echo", "--listen", BACKEND])).unwrap();
    let address: SocketAddr = BACKEND.parse().unwrap();
    wait::until("the backend", || TcpStream::connect(address).ok());
    backend
}

/// Starts `sluice run` and waits until it is ready.
pub fn start_gateway(inside: &Inside, config: &Path, flags: &[&str]) -> Guarded {
    let mut gateway = spawn_gateway(inside, config, flags);
    wait_until_ready(&mut gateway);
    gateway
}

/// Waits until `/healthz/ready` says so.
pub fn wait_until_ready(gateway: &mut Guarded) {
    let health: SocketAddr = HEALTH.parse().unwrap();
    wait::until("readiness", || {
        let ended = gateway.try_wait().unwrap();
        assert!(ended.is_none(), "the gateway ended ({ended:?}):\n{}", gateway.output());
        http::get(health, "localhost", "/healthz/ready").ok().filter(|response| response.status == 200)
    });
}

/// Starts `sluice run`, on the pair of the environment where `flags` name no other, and does not wait.
pub fn spawn_gateway(inside: &Inside, config: &Path, flags: &[&str]) -> Guarded {
    spawn_gateway_with(inside, config, flags, &[])
}

/// The same with variables in its environment.
pub fn spawn_gateway_with(
    inside: &Inside,
    config: &Path,
    flags: &[&str],
    environment: &[(&str, &str)],
) -> Guarded {
    Guarded::spawn(&mut gateway_command(inside, config, flags, environment)).unwrap()
}

/// The command behind that.
pub fn gateway_command(
    inside: &Inside,
    config: &Path,
    flags: &[&str],
    environment: &[(&str, &str)],
) -> Command {
    let mut command = Command::new(SLUICE);
    command.envs(environment.iter().copied());
    command.arg("run").arg(config).arg("--bpffs").arg(inside.bpffs());
    let state = flags.iter().position(|flag| *flag == "--state-dir").and_then(|at| flags.get(at + 1));
    let state = state.map_or_else(|| inside.scratch().join("state"), PathBuf::from);
    if !flags.contains(&"--state-dir") {
        command.arg("--state-dir").arg(&state);
    }
    remember_state(&state);
    command.args(pair::flags(flags)).args(flags);
    command
}

/// One `GET` through the gateway.
pub fn get(target: &str) -> std::io::Result<http::Response> {
    http::get(HTTP.parse().unwrap(), "127.0.0.1", target)
}

/// `/metrics` as text.
pub fn metrics() -> String {
    http::get(METRICS.parse().unwrap(), "localhost", "/metrics").unwrap().text()
}

/// The sum of every series of a metric whose labels contain all of `labels`.
pub fn metric(name: &str, labels: &[&str]) -> f64 {
    metric_of(&metrics(), name, labels)
}

/// The same of a page that was read before.
pub fn metric_of(text: &str, name: &str, labels: &[&str]) -> f64 {
    let series = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Runs `sluice` with `args` to its end; `status` asks the gateway that this thread has started last.
pub fn sluice(args: &[&str]) -> Output {
    let mut command = Command::new(SLUICE);
    if let (Some(state), ["status", ..]) = (remembered_state(), args) {
        command.env("SLUICE_STATE_DIR", state);
    }
    command.args(args).output().unwrap()
}

/// A connection to the admin socket of the gateway that this thread has started last.
pub fn admin_client() -> http::Client<UnixStream> {
    let state = remembered_state().expect("a gateway was started");
    let stream = UnixStream::connect(state.join("admin.sock")).unwrap();
    stream.set_read_timeout(Some(wait::WAIT_TIMEOUT)).unwrap();
    http::Client::over(stream)
}

/// One `GET` of the admin server.
pub fn admin(path: &str) -> http::Response {
    admin_client().get("localhost", path).unwrap()
}

/// Standard output and error of a finished command, together.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
