//! Caddy.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::programs::Program;
use super::resources::HOST;
use super::{Setup, Traffic, write};

/// Writes the configuration of a proxy that is measured and gives the call that starts it.
pub(crate) fn proxy(setup: &Setup) -> Result<Command> {
    let file = setup.dir.join("caddy.json");
    write(&file, &serde_json::to_string_pretty(&config(setup, setup.role.traffic()))?)?;
    let mut command = setup.peers.call(Program::Caddy, setup.cpu);
    command.arg("run").arg("--config").arg(file);
    // As many threads that run Go as others have workers; where it would keep state of its own.
    command.env("GOMAXPROCS", setup.role.workers().to_string());
    command.env("XDG_DATA_HOME", &setup.dir).env("XDG_CONFIG_HOME", &setup.dir);
    Ok(command)
}

/// It sets X-Forwarded-For, -Proto and -Host by itself, and writes no access log.
fn config(setup: &Setup, traffic: Traffic) -> Value {
    let protocols = if traffic.tls { json!(["h1", "h2"]) } else { json!(["h1", "h2c"]) };
    let versions = if traffic.backend_http2 { json!(["h2c"]) } else { json!(["1.1"]) };
    let forward = json!({
        "handler": "reverse_proxy",
        "headers": {"request": {"set": {
            "X-Forwarded-Port": [setup.listen.port().to_string()],
            "X-Request-Id": ["{http.request.uuid}"],
        }}},
        "transport": {
            "protocol": "http",
            "versions": versions,
            "compression": false,
            "keep_alive": {"max_idle_conns": 512, "max_idle_conns_per_host": 512, "idle_timeout": "1h"},
        },
        "upstreams": [{"dial": setup.backend.to_string()}],
    });
    let mut server = json!({
        "listen": [setup.listen.to_string()],
        "protocols": protocols,
        "automatic_https": {"disable": true},
        "idle_timeout": "1h",
        "routes": [{
            "match": [{"path": ["/app/*"]}],
            "handle": [{"handler": "rewrite", "strip_path_prefix": "/app"}, forward],
        }],
    });
    let mut apps = json!({});
    if traffic.tls {
        server["tls_connection_policies"] = json!([{"protocol_min": "tls1.3", "default_sni": HOST}]);
        let pair = json!({"certificate": setup.certificate(), "key": setup.key()});
        apps["tls"] = json!({"certificates": {"load_files": [pair]}});
    }
    apps["http"] = json!({"servers": {"in": server}});
    json!({
        "admin": {"disabled": true},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": apps,
    })
}
