//! Envoy.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::programs::Program;
use super::{Setup, Traffic, write};

/// Writes the configuration of a proxy that is measured and gives the call that starts it.
pub(crate) fn proxy(setup: &Setup) -> Result<Command> {
    let file = setup.dir.join("envoy.json");
    write(&file, &serde_json::to_string_pretty(&config(setup, setup.role.traffic()))?)?;
    let mut command = setup.peers.call(Program::Envoy, setup.cpu);
    command.arg("--config-path").arg(file);
    command.args(["--concurrency", &setup.role.workers().to_string()]);
    command.args(["--disable-hot-restart", "--log-level", "warn"]);
    Ok(command)
}

/// It sets X-Forwarded-For, -Proto and X-Request-Id by itself; limits that nobody reaches, and no access log.
fn config(setup: &Setup, traffic: Traffic) -> Value {
    let address =
        |of: SocketAddr| json!({"socket_address": {"address": of.ip().to_string(), "port_value": of.port()}});
    let add = |name: &str, value: &str| json!({"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
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
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "request_headers_to_add": [
                add("X-Forwarded-Host", "%REQ(:authority)%"),
                add("X-Forwarded-Port", "%DOWNSTREAM_LOCAL_PORT%"),
            ],
            "routes": [{"match": {"prefix": "/app/"}, "route": {"cluster": "out", "prefix_rewrite": "/", "timeout": "0s"}}],
        }]},
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
