//! Many idle connections, held by a process of their own: descriptors are counted per process.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::response_length::response_length;

/// Connections that are opened at once; fewer than any accept queue holds.
const BATCH: usize = 100;

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
