//! Envoy.
//!
//! It is replaced by its hot restart: a new process with the next `--restart-epoch` receives the listening sockets, and
//! has the old one drain and end.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};
use gateway_testkit::http;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::programs::Program;
use super::{Proxy, Setup, Traffic, write};
use crate::process::{Process, until};

/// A proxy that can be replaced.
pub(crate) struct Envoy {
    setup: Setup,
    live: Option<Process>,
    draining: Vec<Process>,
    /// Processes that were started so far: the number of the next one.
    epoch: u32,
}

/// Writes the configuration of a proxy that is measured and gives the call that starts it.
pub(crate) fn proxy(setup: &Setup) -> Result<Command> {
    let mut command = call(setup, &measured(setup, setup.role.traffic()))?;
    command.arg("--disable-hot-restart");
    Ok(command)
}

fn call(setup: &Setup, config: &Value) -> Result<Command> {
    let file = setup.dir.join("envoy.json");
    write(&file, &serde_json::to_string_pretty(config)?)?;
    let mut command = setup.peers.call(Program::Envoy, setup.cpu);
    command.arg("--config-path").arg(file);
    command.args(["--concurrency", &setup.role.workers().to_string(), "--log-level", "warn"]);
    Ok(command)
}

/// A prefix is taken away, and what X-Forwarded-For, -Proto and X-Request-Id leave out is set.
fn measured(setup: &Setup, traffic: Traffic) -> Value {
    let add = |name: &str, value: &str| json!({"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    let host = json!({
        "request_headers_to_add": [
            add("X-Forwarded-Host", "%REQ(:authority)%"),
            add("X-Forwarded-Port", "%DOWNSTREAM_LOCAL_PORT%"),
        ],
        "routes": [{"match": {"prefix": "/app/"}, "route": {"cluster": "out", "prefix_rewrite": "/", "timeout": "0s"}}],
    });
    config(setup, traffic, host)
}

/// Everything is passed on, and a process says at [`ADMIN`] which it is.
fn replaced(setup: &Setup) -> Result<Value> {
    let host = json!({"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "out", "timeout": "0s"}}]});
    let mut all = config(setup, setup.role.traffic(), host);
    all["admin"] = json!({"address": address(ADMIN.parse()?)});
    Ok(all)
}

fn address(of: SocketAddr) -> Value {
    json!({"socket_address": {"address": of.ip().to_string(), "port_value": of.port()}})
}

/// It sets X-Forwarded-For, -Proto and X-Request-Id by itself; limits that nobody reaches, and no access log. `host` has the
/// routes of every host.
fn config(setup: &Setup, traffic: Traffic, mut host: Value) -> Value {
    host["name"] = json!("all");
    host["domains"] = json!(["*"]);
    let filters = json!([{
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{TYPES}.filters.http.router.v3.Router"), "suppress_envoy_headers": true},
    }]);
    let mut manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in",
        "codec_type": "AUTO",
        "use_remote_address": true,
        "common_http_protocol_options": {"idle_timeout": HOUR},
        "http_filters": filters,
        "route_config": {"virtual_hosts": [host]},
    });
    if traffic.websocket {
        manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
    }
    let mut chain = json!({"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]});
    if traffic.tls {
        let pair = json!({
            "certificate_chain": {"filename": setup.certificate()},
            "private_key": {"filename": setup.key()},
        });
        chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "tls_certificates": [pair],
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            },
        }});
    }
    let protocol = if traffic.backend_http2 { "http2_protocol_options" } else { "http_protocol_options" };
    let options = json!({
        "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {protocol: {}},
        "common_http_protocol_options": {"idle_timeout": HOUR},
    });
    let most = 1_000_000;
    let thresholds = json!([{"max_connections": most, "max_pending_requests": most, "max_requests": most}]);
    let endpoint = json!({"endpoint": {"address": address(setup.backend)}});
    json!({"static_resources": {
        "listeners": [{"name": "in", "address": address(setup.listen), "tcp_backlog_size": 4096, "filter_chains": [chain]}],
        "clusters": [{
            "name": "out",
            "type": "STATIC",
            "circuit_breakers": {"thresholds": thresholds},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
            "load_assignment": {"cluster_name": "out", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }],
    }})
}

/// Where the types of extensions have their names.
const TYPES: &str = "type.googleapis.com/envoy.extensions";
const HOUR: &str = "3600s";

/// Where a process that serves says its number.
const ADMIN: &str = "127.0.0.1:9901";
/// Has a process tell the others by which number they find each other, and the memory that they share.
const BASE_ID: &str = "envoy.base-id";
/// Seconds in which responses tell clients to leave, and after which the old process ends: connections without a request stay
/// until then, so it is longer than a client waits between two, and than the transfer that follows. The next hot restart
/// ends it before.
const TIMES: [&str; 4] = ["--drain-time-s", "2", "--parent-shutdown-time-s", "25"];

impl Envoy {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, live: None, draining: Vec::new(), epoch: 0 }
    }

    /// The number under which the processes of this proxy find each other, once the first has chosen it.
    fn base_id(&self) -> Result<String> {
        let file = self.setup.dir.join(BASE_ID);
        let id = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(id.trim().to_owned())
    }

    /// Starts a process and waits until it is the one that serves.
    fn launch(&mut self) -> Result<Process> {
        let epoch = self.epoch;
        let mut command = call(&self.setup, &replaced(&self.setup)?)?;
        command.args(TIMES).args(["--restart-epoch", &epoch.to_string()]);
        match epoch {
            0 => command.arg("--use-dynamic-base-id").arg("--base-id-path").arg(self.setup.dir.join(BASE_ID)),
            _ => command.args(["--base-id", &self.base_id()?]),
        };
        let mut process = Process::spawn(&format!("envoy-{epoch}"), &self.setup.dir, &mut command)?;
        self.epoch += 1;
        let admin = ADMIN.parse()?;
        until("the new envoy serves", || {
            process.ensure_running()?;
            let info = http::get(admin, "localhost", "/server_info");
            Ok(info.is_ok_and(|info| serves(&info.body, epoch)).then_some(()))
        })?;
        Ok(process)
    }
}

/// True if the process of that number says that it serves.
fn serves(info: &[u8], epoch: u32) -> bool {
    let info: Value = serde_json::from_slice(info).unwrap_or_default();
    // A number of zero may be left out.
    let number = info["command_line_options"]["restart_epoch"].as_u64().unwrap_or_default();
    info["state"] == "LIVE" && number == u64::from(epoch)
}

impl Proxy for Envoy {
    fn start(&mut self) -> Result<()> {
        self.live = Some(self.launch()?);
        Ok(())
    }

    fn upgrade(&mut self) -> Result<()> {
        let old = self.live.take().context("envoy has not been started")?;
        self.draining.push(old);
        self.live = Some(self.launch()?);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        // The new process ends the old one.
        self.draining.iter_mut().try_for_each(Process::wait_for_success)?;
        let Some(mut live) = self.live.take() else { return Ok(()) };
        live.signal(Signal::SIGTERM)?;
        live.wait_for_success()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.live = None;
        self.draining.clear();
        // Envoy leaves its memory behind, which is outside every namespace; it is there only if a process has started.
        if let Ok(id) = self.base_id() {
            let _ = fs::remove_file(format!("/dev/shm/envoy_shared_memory_{id}0"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_serves_is_known() {
        let of = |number: u32| json!({"state": "LIVE", "command_line_options": {"restart_epoch": number}});
        let serves = |info: &Value, epoch| serves(info.to_string().as_bytes(), epoch);
        assert!(serves(&of(0), 0) && serves(&of(3), 3));
        assert!(!serves(&of(2), 3), "the old one");
        assert!(!serves(&json!({"state": "INITIALIZING"}), 0));
        assert!(serves(&json!({"state": "LIVE"}), 0));
        assert!(!super::serves(b"starting", 0));
    }
}
