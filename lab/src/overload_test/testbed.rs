//! A gateway with two tenants and their backends, in a namespace of its own.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway_testkit::http::Client;
use gateway_testkit::netns::Inside;
use gateway_testkit::tls::SelfSigned;
use nix::sys::stat::Mode;
use socket2::{Domain, Socket, Type};

use super::case::{Abusers, Case, Environment, To};
use super::metrics_reader::MetricsReader;
use crate::peers::sluice::{self, HEALTH, METRICS};
use crate::process::{Process, until};
use crate::testbed::{BACKEND_ADDRESS, LISTEN_ADDRESS, start_backend};

/// The neighbour's hostname and backend there.
pub(super) const NEIGHBOUR_HOST: &str = "neighbour.example";
pub(super) const NEIGHBOUR_BACKEND: &str = BACKEND_ADDRESS;
/// The other tenant's hostname and backends there.
pub(super) const OTHER_HOST: &str = "other.example";
const OTHER_BACKEND: &str = "127.0.0.1:9001";
const UNRESPONSIVE_BACKEND: &str = "127.0.0.1:9002";

/// The listener of [`Environment::Secure`].
const SECURE_ADDRESS: &str = "127.0.0.1:8443";
const SECURE: &str = include_str!("secure.yaml");
/// The policy of [`Environment::SecureBackend`]; the certificate that it trusts comes at its end.
const SECURE_BACKEND: &str = include_str!("secure_backend.yaml");
const RESOURCES: &str = include_str!("resources.yaml");

/// For a probe or a page; far above what either takes.
const OPERATOR_TIMEOUT: Duration = Duration::from_secs(10);
/// Worker threads: as many as the smallest machine has CPUs.
pub(super) const WORKERS: u32 = 2;
/// Above the ports of everything that listens here, with room for 15,000 connections and those that
/// have just ended.
const CLIENT_PORTS: &str = "20000 65535";
/// Least, usual and largest size of a socket's buffer in [`Environment::SmallBuffers`].
const SMALL_BUFFERS: &str = "4096 16384 32768";
/// Length of a target that is made long; below the limit of a request line.
const LONG_TARGET_LENGTH: usize = 6000;

/// Everything that runs but clients.
pub(super) struct Testbed {
    pub(super) gateway: Process,
    pub(super) metrics: MetricsReader,
    bench: PathBuf,
    dir: PathBuf,
    backends: Vec<Process>,
    /// The access log's pipe, so that opening it waits for nobody; nothing is read from it.
    _log: Option<File>,
}

impl Testbed {
    pub(super) fn start(case: &Case, program: &Path, bench: &Path, inside: &Inside) -> Result<Self> {
        let dir = inside.scratch().path();
        sysctl("ip_local_port_range", CLIENT_PORTS)?;
        if case.environment == Environment::SmallBuffers {
            sysctl("tcp_rmem", SMALL_BUFFERS)?;
            sysctl("tcp_wmem", SMALL_BUFFERS)?;
        }
        let tls = match case.environment {
            Environment::Secure | Environment::SecureBackend => Some(SelfSigned::rsa(&[OTHER_HOST])),
            _ => None,
        };
        let other = match &tls {
            Some(tls) if case.environment == Environment::SecureBackend => write_identity(dir, tls)?,
            _ => Vec::new(),
        };
        let other: Vec<&str> = other.iter().map(String::as_str).collect();
        let backends = vec![
            start_backend(bench, dir, "neighbour", NEIGHBOUR_BACKEND, &[])?,
            start_backend(bench, dir, "other", OTHER_BACKEND, &other)?,
            start_backend(bench, dir, "deaf", UNRESPONSIVE_BACKEND, &["--deaf"])?,
        ];
        let (path, log) = (dir.join("access.log"), case.environment == Environment::StalledLog);
        let log = log.then(|| pipe(&path)).transpose()?;
        sluice::write_config(dir, RESOURCES)?;
        if let Some(tls) = &tls {
            let resources = match case.environment {
                Environment::SecureBackend => [SECURE_BACKEND, &indented(&tls.certificate)].concat(),
                _ => [SECURE, &tls.secret("other", "certificate")].concat(),
            };
            fs::write(sluice::config_dir(dir).join("secure.yaml"), resources)?;
        }
        let mut command = sluice::run(limited(program, case.open_files), dir, inside.bpffs());
        command.args(["--workers", &WORKERS.to_string()]);
        command.args(["--health-address", HEALTH, "--metrics-address", METRICS, "--drain-min", "0s"]);
        command.arg("--access-log").arg(&path).args(case.flags);
        let mut gateway = Process::spawn("sluice", dir, &mut command)?;
        sluice::wait_until_ready(&mut gateway)?;
        let metrics = MetricsReader::connect(METRICS)?;
        let (bench, dir) = (bench.to_owned(), dir.to_owned());
        Ok(Self { gateway, metrics, bench, dir, backends, _log: log })
    }

    /// Starts the other tenant's clients.
    pub(super) fn start_abusers(&self, number: usize, abusers: &Abusers) -> Result<Process> {
        let mut target = abusers.target.to_owned();
        if abusers.long {
            target += "?";
            target += &"x".repeat(LONG_TARGET_LENGTH);
        }
        let to = match abusers.to {
            To::Listener => LISTEN_ADDRESS,
            To::Secure => SECURE_ADDRESS,
            To::Health => HEALTH,
            To::Metrics => METRICS,
        };
        let mut command = self.abusers_command(abusers, OTHER_HOST, abusers.every_ms);
        command.args(["--to", to, "--target", &target]);
        Process::spawn(&format!("crowd-{number}"), &self.dir, &mut command)
    }

    /// Starts clients of `host` that ask at random moments, each every so often at the mean, with this field.
    pub(super) fn start_asking(
        &self,
        abusers: &Abusers,
        host: &str,
        every_ms: u32,
        field: &str,
    ) -> Result<Process> {
        let mut command = self.abusers_command(abusers, host, every_ms);
        command.args(["--to", LISTEN_ADDRESS, "--target", abusers.target, "--random", "--header", field]);
        let mut clients = Process::spawn(&format!("crowd-{host}"), &self.dir, &mut command)?;
        until("the abusers are connected", || {
            clients.ensure_running()?;
            Ok(clients.output().contains("there").then_some(()))
        })?;
        Ok(clients)
    }

    fn abusers_command(&self, abusers: &Abusers, host: &str, every_ms: u32) -> Command {
        let mut command = Command::new(&self.bench);
        command.args(["crowd", "--host", host, "--manner", abusers.behavior.name()]);
        command.arg("--connections").arg(abusers.connections.to_string());
        command.arg("--every-ms").arg(every_ms.to_string());
        command
    }

    /// Puts a file into the gateway's directory, whole.
    pub(super) fn write(&self, name: &str, resources: &str) -> Result<()> {
        let beside = self.dir.join(name);
        fs::write(&beside, resources)?;
        fs::rename(&beside, sluice::config_dir(&self.dir).join(name)).with_context(|| name.to_owned())
    }

    /// Takes it away again.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(sluice::config_dir(&self.dir).join(name)).with_context(|| name.to_owned())
    }

    /// The milliseconds that one probe of readiness takes, on a connection of its own.
    pub(super) fn probe(&self) -> Result<f64> {
        let began = Instant::now();
        let response = operator(HEALTH.parse()?)?.get("localhost", "/healthz/ready").context("a probe")?;
        anyhow::ensure!(response.status == 200, "readiness gave {}", response.status);
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    /// The gateway, the backends and these.
    pub(super) fn pids(&self, clients: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let own = self.backends.iter().chain([&self.gateway]).map(Process::pid);
        own.chain(clients).collect()
    }

    /// Where processes of this testbed write.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn bench(&self) -> &Path {
        &self.bench
    }
}

/// A connection from an address that the abusers do not come from, as probes and scrapers of a cluster do.
pub(super) fn operator(to: SocketAddr) -> io::Result<Client> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())?;
    socket.connect_timeout(&to.into(), OPERATOR_TIMEOUT)?;
    socket.set_read_timeout(Some(OPERATOR_TIMEOUT))?;
    socket.set_write_timeout(Some(OPERATOR_TIMEOUT))?;
    Ok(Client::from(TcpStream::from(socket)))
}

/// Writes certificate and key, and gives the flags of a backend that uses them.
fn write_identity(dir: &Path, tls: &SelfSigned) -> Result<Vec<String>> {
    let [certificate, key] = [dir.join("backend.crt"), dir.join("backend.key")];
    fs::write(&certificate, &tls.certificate)?;
    fs::write(&key, &tls.key)?;
    Ok(vec![format!("--certificate={}", certificate.display()), format!("--key={}", key.display())])
}

/// The lines of a block in YAML.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Sets a value of this network namespace.
fn sysctl(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/{name}");
    fs::write(&path, value).with_context(|| path)
}

/// A named pipe, open for both sides.
fn pipe(path: &Path) -> Result<File> {
    nix::unistd::mkfifo(path, Mode::S_IRWXU)?;
    // The gateway gives root up.
    fs::set_permissions(path, PermissionsExt::from_mode(0o666))?;
    Ok(File::options().read(true).write(true).open(path)?)
}

/// The program with so many open files at most, soft and hard: it raises the soft limit itself.
fn limited(program: &Path, open_files: Option<u32>) -> Command {
    match open_files {
        None => Command::new(program),
        Some(most) => {
            let mut command = Command::new("prlimit");
            command.arg(format!("--nofile={most}:{most}")).arg("--").arg(program);
            command
        }
    }
}
