//! nginx as a server of small files, which is the backend of measurements.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::nginx::{http, instance};
use super::{BackendTls, Pass, Setup};

/// A file in a directory of files that are served: a message of gRPC of five bytes.
pub(crate) const GRPC_MESSAGE: &str = "grpc-message";

/// A server of files: small ones from memory, large ones from the page cache; it takes uploads, too. With HTTP/2, over that
/// too, which takes nginx 1.25.1. Its TLS is what [`Traffic`] says. Gives the call that starts it.
pub(crate) fn file_server(setup: &Setup, cpu: usize) -> Result<Command> {
    let Setup { dir, backend: listen, role, peers, .. } = setup;
    let traffic = role.traffic();
    let root = dir.join("files");
    fs::create_dir_all(&root)?;
    for (name, bytes) in [("100", 100), ("10k", 10 << 10), ("1m", 1 << 20)] {
        fs::write(root.join(name), "x".repeat(bytes))?;
    }
    // A POST for a file is refused, and the refusal is another file: a message, with the trailers of a call that succeeded.
    fs::write(dir.join(GRPC_MESSAGE), b"\0\0\0\0\x05\x0a\x03abc")?;
    let http2 = match traffic.backend_http2 {
        true => format!(
            "        http2 on;
        location = /grpc {{ alias {message}; error_page 405 =200 /message; }}
        location = /message {{ internal; alias {message}; default_type application/grpc; add_trailer grpc-status 0; }}
",
            message = dir.join(GRPC_MESSAGE).display()
        ),
        false => String::new(),
    };
    let is_secured = traffic.pass == Some(Pass::Sni) || traffic.backend_tls.is_some();
    let (ssl, tls) = match is_secured {
        true => (" ssl", server_tls(setup, traffic.backend_tls.unwrap_or(BackendTls::Kept))),
        false => ("", String::new()),
    };
    let keep = match traffic.backend_tls {
        Some(BackendTls::Resumed | BackendTls::Full) => "0",
        Some(BackendTls::Kept) | None => "1h",
    };
    let server = format!(
        "    keepalive_timeout {keep};
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    client_max_body_size 2m;
    client_body_buffer_size 2m;
    upstream uploaded {{ server {UPLOADED}; keepalive 64; }}
    server {{ listen {UPLOADED}; return 200 ok; }}
    server {{
        listen {listen}{ssl} backlog=4096;
{http2}{tls}        root {root};
        location ~ ^/([0-9]/)?100$ {{ return 200 \"{small}\"; }}
        location = /upload {{
            proxy_pass http://uploaded;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Content-Length \"\";
            proxy_pass_request_body off;
        }}
    }}
",
        root = root.display(),
        small = "x".repeat(100),
    );
    instance(peers, dir, "backend", 1, ("", &http(dir, "backend", "off", &server)), Some(cpu))
}

/// Where [`file_server`] has its response to an upload from, once it has all of it.
const UPLOADED: &str = "127.0.0.1:9003";

/// TLS of [`file_server`]. A handshake that is not of the kind that is measured has a response that no load takes for success.
fn server_tls(setup: &Setup, connections: BackendTls) -> String {
    let (cache, tickets, wrong) = match connections {
        BackendTls::Kept => ("shared:tls:10m", "on", ""),
        BackendTls::Resumed => {
            ("shared:tls:10m", "on", "        if ($ssl_session_reused = \".\") { return 409; }\n")
        }
        BackendTls::Full => ("off", "off", "        if ($ssl_session_reused = \"r\") { return 409; }\n"),
    };
    format!(
        "        ssl_certificate {};
        ssl_certificate_key {};
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve X25519;
        ssl_session_cache {cache};
        ssl_session_tickets {tickets};
{wrong}",
        setup.certificate().display(),
        setup.key().display()
    )
}
