//! Asking the backend what it has seen.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::id::Tag;
use crate::report::Witness;

const PATIENCE: Duration = Duration::from_secs(30);

/// Straight from the backend, not through the proxy.
pub(super) async fn ask(backend: SocketAddr, tag: Tag) -> io::Result<Witness> {
    let asked = async {
        let mut stream = TcpStream::connect(backend).await?;
        let request = format!("GET /witness/{tag} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(PATIENCE, asked).await??;
    let text = String::from_utf8_lossy(&answer);
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => {
            serde_json::from_str(body).map_err(io::Error::from)
        }
        _ => Err(io::Error::other(format!("the backend at {backend} says no witness: {text}"))),
    }
}
