//! Asking the backend what it has seen.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::id::Tag;
use crate::report::Arrivals;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Straight from the backend, not through the proxy.
pub(super) async fn fetch(backend: SocketAddr, tag: Tag) -> io::Result<Arrivals> {
    let exchange = async {
        let mut stream = TcpStream::connect(backend).await?;
        let request = format!("GET /witness/{tag} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut response).await?;
        Ok::<_, io::Error>(response)
    };
    let response = timeout(RESPONSE_TIMEOUT, exchange).await??;
    let text = String::from_utf8_lossy(&response);
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => {
            serde_json::from_str(body).map_err(io::Error::from)
        }
        _ => Err(io::Error::other(format!("the backend at {backend} says no witness: {text}"))),
    }
}
