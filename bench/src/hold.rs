//! Many idle connections, held by a process of their own: descriptors are counted per process.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use rustls::{ClientConnection, StreamOwned, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::handshakes::{certificate, client_config, exchange, secured};
use crate::response_length::response_length;

/// Connections that are opened at once; fewer than any accept queue holds.
const BATCH: usize = 100;

/// Idle connections over TLS.
#[derive(Clone, Debug)]
pub struct SecuredSpec {
    /// Address of the proxy.
    pub to: SocketAddr,
    /// The server name and the Host field.
    pub host: String,
    /// Path and query of the request on each connection.
    pub target: String,
    /// Number of connections.
    pub connections: usize,
    /// The server's certificate, or that of its authority, in PEM.
    pub trusted: Vec<u8>,
    /// The version of TLS.
    pub version: &'static SupportedProtocolVersion,
}

/// Opens connections over TLS, one after the other and each with a full handshake, gets a response to one `GET` on each, and
/// gives them, all idle.
///
/// # Errors
/// As [`open`], or a handshake fails or is of another version.
pub fn open_secured(spec: &SecuredSpec) -> Result<Vec<StreamOwned<ClientConnection, std::net::TcpStream>>> {
    let SecuredSpec { to, host, target, trusted, version, .. } = spec;
    let trusted = certificate(trusted)?;
    let config = client_config(trusted, false, version)?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let open_one = || {
        let mut stream = secured(*to, host, &config)?;
        exchange(&mut stream, &request)?;
        ensure!(stream.conn.protocol_version() == Some(version.version), "another version of TLS");
        Ok(stream)
    };
    (1..=spec.connections).map(|n| open_one().with_context(|| format!("connection {n}"))).collect()
}

/// Opens `connections` to `to`, gets a response to one `GET` for `target` on each, and gives them, all idle.
///
/// # Errors
/// One of them is refused, or its response is not 200 with a Content-Length.
pub async fn open(to: SocketAddr, host: &str, target: &str, connections: usize) -> Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(connections);
    while held.len() < connections {
        let step = (0..BATCH.min(connections - held.len())).map(|_| {
            let (host, target) = (host.to_owned(), target.to_owned());
            tokio::spawn(async move { open_one(to, &host, &target).await })
        });
        for opening in step.collect::<Vec<_>>() {
            held.push(opening.await?.with_context(|| format!("connection {}", held.len() + 1))?);
        }
    }
    Ok(held)
}

async fn open_one(to: SocketAddr, host: &str, target: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await.context("connecting")?;
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut response = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut response).await? > 0, "closed instead of a response");
        if let Some((status, length)) = response_length(&response)? {
            ensure!(status == 200, "status {status}");
            if response.len() >= length {
                return Ok(stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_are_answered_and_stay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let opened = async {
            let held = open(to, "a", "/download/100", 250).await.unwrap();
            assert_eq!(held.len(), 250);
            assert!(open(to, "a", "/nothing", 1).await.is_err());
        };
        tokio::select! {
            served = crate::backend::serve(listener) => panic!("{served:?}"),
            () = opened => {}
        }
    }
}
