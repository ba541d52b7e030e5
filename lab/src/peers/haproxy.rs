//! HAProxy.
//!
//! It is replaced by a new process with `-sf OLD`: the new one binds, then tells the old one to finish.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::programs::Program;
use super::resources::{HOST, SERVER_NAME};
use super::{BackendTls, Pass, Proxy, Setup, Traffic, write};
use crate::process::{Process, until};
use crate::testbed::{GRPC_ADDRESS, WEBSOCKET_ADDRESS};

/// How the new process comes to its listening sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// Binds its own beside the old ones (SO_REUSEPORT).
    Rebind,
    /// Receives the old ones (`-x`), and idle connections are kept until their next response: what its
    /// documentation advises for reloads that clients do not notice.
    PassSockets,
}

/// A proxy that can be replaced.
pub(crate) struct Haproxy {
    setup: Setup,
    reload: Reload,
    live: Option<Process>,
    draining: Vec<Process>,
    started: u32,
}

/// The parts of the configuration in which one use differs from another; each ends with a line's
/// end, or is empty.
#[derive(Default)]
struct Parts {
    global: String,
    defaults: String,
    frontend: String,
    bind: String,
    server: String,
    /// More backends.
    backends: String,
    idle: &'static str,
}

/// Writes the configuration of a proxy that is measured and gives the call that starts it.
pub(crate) fn proxy(setup: &Setup) -> Result<Command> {
    let traffic = setup.role.traffic();
    if traffic.pass.is_some() {
        return stream(setup, Splice::Off);
    }
    if traffic.tls {
        let both = [setup.certificate(), setup.key()].map(fs::read_to_string);
        write(&setup.dir.join(PEM), &both.into_iter().collect::<io::Result<String>>()?)?;
    }
    write_config(setup, &measured(setup, traffic))?;
    Ok(call(setup))
}

/// The way of bytes of connections through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Splice {
    /// By its own buffers.
    Off,
    /// By splice(2) where it takes that for worth it (`option splice-auto`).
    Auto,
}

/// Writes the configuration of one that passes connections on as they are, and gives the call that starts it.
pub(crate) fn stream(setup: &Setup, splice: Splice) -> Result<Command> {
    let Setup { listen, backend, role, .. } = setup;
    let option = if splice == Splice::Auto { "    option splice-auto\n" } else { "" };
    let (by_name, only) = match role.traffic().pass {
        Some(Pass::Sni) => (
            "    tcp-request inspect-delay 5s
    tcp-request content accept if { req.ssl_hello_type 1 }
",
            format!(" if {{ req.ssl_sni -i {SERVER_NAME} }}"),
        ),
        _ => ("", String::new()),
    };
    let text = format!(
        "global
    maxconn 16000
    no strict-limits
    nbthread {}
    tune.bufsize 131072
defaults
    mode tcp
{option}    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend in
    bind {listen} backlog 4096
{by_name}    use_backend out{only}
backend out
    server one {backend}
",
        role.workers()
    );
    write(&setup.dir.join(CONFIG), &text)?;
    Ok(call(setup))
}

fn write_config(setup: &Setup, parts: &Parts) -> Result<()> {
    let text = config(setup.listen, setup.backend, setup.role.workers(), parts);
    write(&setup.dir.join(CONFIG), &text)
}

fn call(setup: &Setup) -> Command {
    let mut command = setup.peers.call(Program::Haproxy, setup.cpu);
    command.args(["-db", "-f"]).arg(setup.dir.join(CONFIG));
    command
}

const CONFIG: &str = "haproxy.cfg";
/// Certificate and key in one file.
const PEM: &str = "haproxy.pem";

/// As its manual has it for a reverse proxy: HTTP reuse on.
fn measured(setup: &Setup, traffic: Traffic) -> Parts {
    // Standard output is a file here, as an access log is.
    let (global, log) = match traffic.access_log {
        true => ("    log stdout format raw local0\n", "    log global\n    option httplog\n"),
        false => ("", ""),
    };
    let proto = if traffic.tls { "https" } else { "http" };
    let frontend = format!(
        "    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto {proto}
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-Id %[uuid()]
    http-request replace-path /app/(.*) /\\1
"
    );
    let tunnel = if traffic.websocket { "    timeout tunnel 1h\n" } else { "" };
    Parts {
        global: global.to_owned(),
        defaults: format!("{log}    http-reuse always\n{tunnel}"),
        frontend,
        bind: match traffic.tls {
            // Clients of HTTP/2 in clear text are known by their preface.
            true => {
                format!(" ssl crt {} alpn h2,http/1.1 ssl-min-ver TLSv1.2", setup.dir.join(PEM).display())
            }
            false => String::new(),
        },
        server: match traffic.backend_http2 {
            true => format!("{KEPT} proto h2"),
            false => format!("{KEPT}{}", server_tls(setup, traffic.backend_tls)),
        },
        backends: String::new(),
        idle: "1h",
    }
}

/// Connections to the backend stay.
const KEPT: &str = " pool-max-conn -1 pool-purge-delay 1h";

/// TLS to the backend.
fn server_tls(setup: &Setup, connections: Option<BackendTls>) -> String {
    let Some(connections) = connections else { return String::new() };
    let reuse = if connections == BackendTls::Full { " no-ssl-reuse" } else { "" };
    format!(
        " ssl verify required ca-file {} sni str({HOST}) verifyhost {HOST} ssl-min-ver TLSv1.3 curves X25519{reuse}",
        setup.certificate().display()
    )
}

/// With a socket at which the process that serves says its number.
fn replaced(socket: &Path, reload: Reload) -> Parts {
    let (expose, defaults) = match reload {
        Reload::Rebind => ("", ""),
        Reload::PassSockets => (" expose-fd listeners", "    option idle-close-on-response\n"),
    };
    Parts {
        global: format!("    stats socket {} mode 600 level admin{expose}\n", socket.display()),
        defaults: format!("{defaults}    timeout tunnel 1h\n"),
        frontend: "    use_backend websocket if { path /websocket }
    use_backend grpc if { path_beg /bench.Echo/ }
"
        .to_owned(),
        backends: format!(
            "backend websocket
    server one {WEBSOCKET_ADDRESS}
backend grpc
    timeout server 1h
    server one {GRPC_ADDRESS} proto h2
"
        ),
        idle: "75s",
        ..Parts::default()
    }
}

fn config(listen: SocketAddr, backend: SocketAddr, workers: usize, parts: &Parts) -> String {
    let Parts { global, defaults, frontend, bind, server, backends, idle } = parts;
    format!(
        "global
    maxconn 16000
    no strict-limits
    nbthread {workers}
{global}defaults
    mode http
{defaults}    timeout connect 5s
    timeout client {idle}
    timeout server 60s
    timeout http-keep-alive {idle}
frontend in
    bind {listen} backlog 4096{bind}
{frontend}    default_backend out
backend out
    server one {backend}{server}
{backends}"
    )
}

impl Haproxy {
    pub(crate) fn new(setup: Setup, reload: Reload) -> Self {
        Self { setup, reload, live: None, draining: Vec::new(), started: 0 }
    }

    fn socket(&self) -> PathBuf {
        self.setup.dir.join("haproxy.sock")
    }

    /// Starts a process and waits until it is the one that serves the control socket.
    fn launch(&mut self, more: &[String]) -> Result<Process> {
        self.started += 1;
        let mut command = call(&self.setup);
        command.args(more);
        let mut process =
            Process::spawn(&format!("haproxy-{}", self.started), &self.setup.dir, &mut command)?;
        let socket = self.socket();
        until("the new haproxy serves", || {
            process.ensure_running()?;
            Ok((serving_pid(&socket) == Some(process.pid())).then_some(()))
        })?;
        Ok(process)
    }
}

impl Proxy for Haproxy {
    fn start(&mut self) -> Result<()> {
        write_config(&self.setup, &replaced(&self.socket(), self.reload))?;
        self.live = Some(self.launch(&[])?);
        Ok(())
    }

    fn upgrade(&mut self) -> Result<()> {
        let old = self.live.take().context("haproxy has not been started")?;
        let mut more = vec!["-sf".to_owned(), old.pid().to_string()];
        if self.reload == Reload::PassSockets {
            more.extend(["-x".to_owned(), self.socket().display().to_string()]);
        }
        self.draining.push(old);
        self.live = Some(self.launch(&more)?);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(live) = self.live.take() {
            live.signal(Signal::SIGUSR1)?;
            self.draining.push(live);
        }
        self.draining.iter_mut().try_for_each(Process::wait_for_success)
    }
}

fn serving_pid(socket: &Path) -> Option<u32> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"show info\n").ok()?;
    let mut info = String::new();
    stream.read_to_string(&mut info).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid: "))?.trim().parse().ok()
}
