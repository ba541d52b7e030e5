//! nginx, as a proxy and as a server of small files.
//!
//! It is replaced by `nginx -s reload`: the master keeps the listening sockets and starts new workers; the
//! old ones stop accepting, close idle connections and end with their last request.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::programs::{Program, Programs};
use super::resources::{HOST, SERVER_NAME};
use super::{BackendTls, Pass, Proxy, Role, Setup, Traffic, write};
use crate::proc::children;
use crate::process::{Process, until};
use crate::testbed::{GRPC_ADDRESS, WEBSOCKET_ADDRESS};

/// A proxy that can be replaced.
pub(crate) struct Nginx {
    setup: Setup,
    master: Option<Process>,
}

/// Writes the configuration of a proxy and gives the call that starts it.
pub(crate) fn proxy(setup: &Setup) -> Result<Command> {
    let Setup { dir, listen, backend, cpu, role, peers, .. } = setup;
    let log = match role.traffic().access_log {
        true => format!("{}/access.log combined", dir.display()),
        false => "off".to_owned(),
    };
    let (module, block) = match role {
        Role::Measured(Traffic { pass: Some(pass), .. }) => (STREAM_MODULE, stream(*listen, *backend, *pass)),
        Role::Measured(traffic) => ("", http(dir, "nginx", &log, &measured(setup, *traffic))),
        Role::Replaced => ("", http(dir, "nginx", &log, &replaced(*listen, *backend))),
    };
    instance(peers, dir, "nginx", role.workers(), (module, &block), *cpu)
}

/// Debian has the module in a package of its own.
const STREAM_MODULE: &str = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n";

/// Connections and datagrams as they are, as its manual has it, with buffers that take a whole read of ours.
fn stream(listen: SocketAddr, backend: SocketAddr, pass: Pass) -> String {
    let (options, by_name, to) = match pass {
        Pass::Tcp => ("backlog=4096", String::new(), backend.to_string()),
        Pass::Udp => ("udp", String::new(), backend.to_string()),
        Pass::Sni => {
            let map = format!("map $ssl_preread_server_name $named {{ {SERVER_NAME} backend; }}");
            let text =
                format!("    {map}\n    upstream backend {{ server {backend}; }}\n    ssl_preread on;\n");
            ("backlog=4096", text, "$named".to_owned())
        }
    };
    format!(
        "stream {{
    proxy_buffer_size 128k;
{by_name}    server {{
        listen {listen} {options};
        proxy_pass {to};
    }}
}}
"
    )
}

/// Its way for calls of gRPC, whose trailers the other one drops.
const GRPC: &str = "        location = /app/grpc { rewrite ^ /grpc break; grpc_pass grpc://backend; }
        location = /app/grpc-streaming {
            rewrite ^ /grpc-streaming break;
            client_max_body_size 0;
            grpc_pass grpc://backend;
        }
";

/// As its manual has it for a reverse proxy: kept connections to the backend.
fn measured(setup: &Setup, traffic: Traffic) -> String {
    let Setup { listen, backend, .. } = setup;
    let (ssl, tls) = match traffic.tls {
        true => (
            " ssl",
            format!(
                "        ssl_certificate {};
        ssl_certificate_key {};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;
",
                setup.certificate().display(),
                setup.key().display()
            ),
        ),
        false => ("", String::new()),
    };
    let http2 = if traffic.http2 { "        http2 on;\n" } else { "" };
    let (version, grpc) = match traffic.backend_http2 {
        true => ("2", GRPC),
        false => ("1.1", ""),
    };
    let (scheme, backend_tls) = match traffic.backend_tls {
        Some(connections) => ("https", proxy_tls(setup, connections)),
        None => ("http", String::new()),
    };
    let connection = match traffic.websocket {
        true => {
            "            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
"
        }
        false => "            proxy_set_header Connection \"\";\n",
    };
    format!(
        "    keepalive_timeout 1h;
    upstream backend {{ server {backend}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 1h; }}
    server {{
        listen {listen}{ssl} backlog=4096;
{http2}{tls}{grpc}        location /app/ {{
            proxy_pass {scheme}://backend/;
            proxy_http_version {version};
{backend_tls}{connection}            client_max_body_size 0;
            client_body_buffer_size 128k;
            proxy_request_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Id $request_id;
            proxy_max_temp_file_size 0;
        }}
    }}
"
    )
}

/// TLS to the backend.
fn proxy_tls(setup: &Setup, connections: BackendTls) -> String {
    let reuse = if connections == BackendTls::Full { "off" } else { "on" };
    format!(
        "            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {};
            proxy_ssl_server_name on;
            proxy_ssl_name {HOST};
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_conf_command Groups X25519;
            proxy_ssl_session_reuse {reuse};
",
        setup.certificate().display()
    )
}

/// The same with bodies passed on as they come.
fn replaced(listen: SocketAddr, backend: SocketAddr) -> String {
    format!(
        "    client_max_body_size 0;
    upstream backend {{ server {backend}; keepalive 64; }}
    server {{
        listen {listen} backlog=4096;
        http2 on;
        location = /websocket {{
            proxy_pass http://{WEBSOCKET_ADDRESS};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
        }}
        location /bench.Echo/ {{
            grpc_pass grpc://{GRPC_ADDRESS};
            grpc_read_timeout 1h;
            grpc_send_timeout 1h;
            client_body_timeout 1h;
        }}
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
"
    )
}

/// The part of a configuration for HTTP.
pub(super) fn http(dir: &Path, name: &str, access_log: &str, text: &str) -> String {
    format!(
        "http {{
    access_log {access_log};
    client_body_temp_path {dir}/{name}-body;
    proxy_temp_path {dir}/{name}-proxy;
    fastcgi_temp_path {dir}/{name}-fastcgi;
    scgi_temp_path {dir}/{name}-scgi;
    uwsgi_temp_path {dir}/{name}-uwsgi;
    keepalive_requests 1000000000;
{text}}}
",
        dir = dir.display(),
    )
}

/// Writes a configuration with a name of its own, of a line that loads a module and a block, and gives the call that starts
/// it.
pub(super) fn instance(
    peers: &Programs,
    dir: &Path,
    name: &str,
    workers: usize,
    (module, block): (&str, &str),
    cpu: Option<usize>,
) -> Result<Command> {
    let text = format!(
        "{module}daemon off;
user root;
worker_processes {workers};
pid {dir}/{name}.pid;
error_log {dir}/{name}.log warn;
worker_rlimit_nofile 19000;
events {{ worker_connections 16384; }}
{block}",
        dir = dir.display(),
    );
    write(&config(dir, name), &text)?;
    Ok(call(peers, dir, name, cpu))
}

fn config(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.conf"))
}

fn call(peers: &Programs, dir: &Path, name: &str, cpu: Option<usize>) -> Command {
    let mut command = peers.call(Program::Nginx, cpu);
    command.arg("-e").arg(dir.join(format!("{name}.log"))).arg("-c").arg(config(dir, name));
    command
}

impl Nginx {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, master: None }
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.master.as_mut().context("nginx has not been started")
    }
}

impl Proxy for Nginx {
    fn start(&mut self) -> Result<()> {
        let mut command = proxy(&self.setup)?;
        let master = self.master.insert(Process::spawn("nginx", &self.setup.dir, &mut command)?);
        let workers = self.setup.role.workers();
        until("nginx has its workers", || {
            master.ensure_running()?;
            Ok((children(master.pid())?.len() >= workers).then_some(()))
        })
    }

    fn upgrade(&mut self) -> Result<()> {
        let mut reload = call(&self.setup.peers, &self.setup.dir, "nginx", self.setup.cpu);
        let workers = self.setup.role.workers();
        let master = self.running()?;
        let old = children(master.pid())?;
        let status = reload.args(["-s", "reload"]).status()?;
        ensure!(status.success(), "nginx -s reload failed ({status})");
        until("nginx has new workers", || {
            master.ensure_running()?;
            Ok((children(master.pid())?.difference(&old).count() >= workers).then_some(()))
        })
    }

    fn stop(&mut self) -> Result<()> {
        let master = self.running()?;
        master.signal(Signal::SIGQUIT)?;
        master.wait_for_success()
    }
}
