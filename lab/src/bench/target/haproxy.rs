//! HAProxy as its manual has it for a reverse proxy: HTTP reuse on, one thread.

use anyhow::Result;

use super::{Setup, path, write};

pub(super) fn call(setup: &Setup) -> Result<Vec<String>> {
    let Setup { dir, listen, backend, .. } = setup;
    let config = dir.join("haproxy.cfg");
    // Standard output is a file here, as an access log is.
    let (log_target, format) = match setup.log {
        true => ("    log stdout format raw local0\n", "    log global\n    option httplog\n"),
        false => ("", ""),
    };
    let text = format!(
        "global
    maxconn 16000
    no strict-limits
    nbthread 1
{log_target}defaults
    mode http
{format}    timeout connect 5s
    timeout client 1h
    timeout server 60s
    timeout http-keep-alive 1h
    http-reuse always
frontend in
    bind {listen} backlog 4096
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-Id %[uuid()]
    http-request replace-path /app/(.*) /\\1
    default_backend out
backend out
    server one {backend} pool-max-conn -1 pool-purge-delay 1h
"
    );
    write(&config, &text)?;
    Ok(["haproxy", "-db", "-f", &path(&config)].map(str::to_owned).to_vec())
}
