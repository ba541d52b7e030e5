//! Caddy.
//!
//! Its process is not replaced while it serves: `caddy reload` has it load a configuration, start its servers anew on
//! the listening sockets, and shut the old ones down.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::http;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::programs::Program;
use super::resources::HOST;
use super::{Proxy, Setup, Traffic, write};
use crate::process::{Process, until};

/// A proxy whose configuration can be replaced.
pub(crate) struct Caddy {
    setup: Setup,
    process: Option<Process>,
    /// The number of its configuration.
    generation: u32,
}

/// Writes the configuration of a proxy that is measured and gives the call that starts it.
pub(crate) fn proxy(setup: &Setup) -> Result<Command> {
    let config = measured(setup, setup.role.traffic());
    write(&file(setup), &serde_json::to_string_pretty(&config)?)?;
    Ok(run(setup))
}

fn file(setup: &Setup) -> PathBuf {
    setup.dir.join("caddy.json")
}

fn call(setup: &Setup, verb: &str) -> Command {
    let mut command = setup.peers.call(Program::Caddy, setup.cpu);
    command.arg(verb).arg("--config").arg(file(setup));
    // Where it would keep state of its own.
    command.env("XDG_DATA_HOME", &setup.dir).env("XDG_CONFIG_HOME", &setup.dir);
    command
}

fn run(setup: &Setup) -> Command {
    let mut command = call(setup, "run");
    // As many threads that run Go as others have workers.
    command.env("GOMAXPROCS", setup.role.workers().to_string());
    command
}

/// A prefix is taken away, and what X-Forwarded-For, -Proto and -Host leave out is set; nobody reloads it.
fn measured(setup: &Setup, traffic: Traffic) -> Value {
    let strip = json!({"handler": "rewrite", "strip_path_prefix": "/app"});
    let mut forward = forward(setup, traffic);
    forward["headers"] = json!({"request": {"set": {
        "X-Forwarded-Port": [setup.listen.port().to_string()],
        "X-Request-Id": ["{http.request.uuid}"],
    }}});
    let route = json!({"match": [{"path": ["/app/*"]}], "handle": [strip, forward]});
    let mut all = config(setup, traffic, route);
    all["admin"] = json!({"disabled": true});
    all
}

/// Everything is passed on as it comes, and responses tell the number of the configuration.
fn replaced(setup: &Setup, generation: u32) -> Value {
    let tell = json!({"handler": "headers", "response": {"set": {GENERATION: [generation.to_string()]}}});
    let mut forward = forward(setup, setup.role.traffic());
    forward["flush_interval"] = json!(-1);
    let mut all = config(setup, setup.role.traffic(), json!({"handle": [tell, forward]}));
    all["admin"] = json!({"listen": ADMIN, "config": {"persist": false}});
    all
}

/// Where a configuration is handed over.
const ADMIN: &str = "127.0.0.1:2019";
/// Field of responses with the number of the configuration.
const GENERATION: &str = "X-Generation";

fn forward(setup: &Setup, traffic: Traffic) -> Value {
    let versions = if traffic.backend_http2 { json!(["h2c"]) } else { json!(["1.1"]) };
    json!({
        "handler": "reverse_proxy",
        "transport": {
            "protocol": "http",
            "versions": versions,
            "compression": false,
            "keep_alive": {"max_idle_conns": 512, "max_idle_conns_per_host": 512, "idle_timeout": "1h"},
        },
        "upstreams": [{"dial": setup.backend.to_string()}],
    })
}

/// It sets X-Forwarded-For, -Proto and -Host by itself, and writes no access log.
fn config(setup: &Setup, traffic: Traffic, route: Value) -> Value {
    let protocols = if traffic.tls { json!(["h1", "h2"]) } else { json!(["h1", "h2c"]) };
    let mut server = json!({
        "listen": [setup.listen.to_string()],
        "protocols": protocols,
        "automatic_https": {"disable": true},
        "idle_timeout": "1h",
        "routes": [route],
    });
    let mut apps = json!({});
    if traffic.tls {
        server["tls_connection_policies"] = json!([{"protocol_min": "tls1.3", "default_sni": HOST}]);
        let pair = json!({"certificate": setup.certificate(), "key": setup.key()});
        apps["tls"] = json!({"certificates": {"load_files": [pair]}});
    }
    apps["http"] = json!({"servers": {"in": server}});
    json!({
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": apps,
    })
}

impl Caddy {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, process: None, generation: 0 }
    }

    /// Writes the next configuration.
    fn write(&mut self) -> Result<()> {
        self.generation += 1;
        let config = replaced(&self.setup, self.generation);
        write(&file(&self.setup), &serde_json::to_string_pretty(&config)?)
    }

    /// Waits until the configuration serves that was written last.
    fn wait(&mut self) -> Result<()> {
        let (to, number) = (self.setup.listen, self.generation.to_string());
        let process = self.process.as_mut().context("caddy has not been started")?;
        until("caddy serves with its new configuration", || {
            process.ensure_running()?;
            let response = http::get(to, HOST, PATH);
            Ok(response.is_ok_and(|response| response.header(GENERATION) == Some(&number)).then_some(()))
        })
    }
}

/// A path that the backend serves.
const PATH: &str = "/download/1";

impl Proxy for Caddy {
    fn start(&mut self) -> Result<()> {
        self.write()?;
        self.process = Some(Process::spawn("caddy", &self.setup.dir, &mut run(&self.setup))?);
        self.wait()
    }

    fn upgrade(&mut self) -> Result<()> {
        self.write()?;
        let output = call(&self.setup, "reload").args(["--address", ADMIN]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "caddy reload failed ({}): {said}", output.status);
        self.wait()
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(Signal::SIGTERM)?;
        process.wait_for_success()
    }
}
