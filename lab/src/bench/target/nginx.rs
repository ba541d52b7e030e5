//! nginx as its manual has it for a reverse proxy: kept connections to the backend, one worker.

use anyhow::Result;

use super::{Setup, path, write};

pub(super) fn call(setup: &Setup) -> Result<Vec<String>> {
    let Setup { dir, listen, backend, .. } = setup;
    let config = dir.join("nginx.conf");
    let dir = path(dir);
    let log = if setup.log { format!("{dir}/access.log combined") } else { "off".to_owned() };
    let text = format!(
        "daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
worker_rlimit_nofile 19000;
events {{ worker_connections 16384; }}
http {{
    access_log {log};
    client_body_temp_path {dir}/n1;
    proxy_temp_path {dir}/n2;
    fastcgi_temp_path {dir}/n3;
    scgi_temp_path {dir}/n4;
    uwsgi_temp_path {dir}/n5;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    upstream backend {{ server {backend}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 1h; }}
    server {{
        listen {listen} backlog=4096;
        location /app/ {{
            proxy_pass http://backend/;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Id $request_id;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"
    );
    write(&config, &text)?;
    Ok(["nginx", "-e", &format!("{dir}/nginx.log"), "-c", &path(&config)].map(str::to_owned).to_vec())
}
