//! Servers with one fault each.

pub(crate) mod spec;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use sluice_bench::id::RequestId;
use sluice_bench::pattern::Pattern;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) use self::spec::{BYTES, spec};

/// The reaction of a faulty server to a request.
pub(crate) enum Reaction {
    /// Sends this and goes on.
    Send(Vec<u8>),
    /// Sends this and closes in order.
    SendAndClose(Vec<u8>),
    /// Sends this and resets.
    SendAndReset(Vec<u8>),
    /// Never responds, and keeps the connection.
    Stall,
}

/// A whole and correct response, with more header lines.
pub(crate) fn correct_response(id: RequestId, more: &str) -> Vec<u8> {
    let mut body = vec![0; BYTES as usize];
    Pattern::new(id.bits()).fill(&mut body);
    response(id, more, BYTES, &body)
}

/// A response that says that it has `length` bytes, and has these.
pub(crate) fn response(id: RequestId, more: &str, length: u64, body: &[u8]) -> Vec<u8> {
    let mut response =
        format!("HTTP/1.1 200 OK\r\nX-Bench-Id: {id}\r\nContent-Length: {length}\r\n{more}\r\n").into_bytes();
    response.extend_from_slice(body);
    response
}

/// Serves on a port of its own; `react` is asked for each request, which is read without its body.
pub(crate) async fn faulty_server(
    react: impl Fn(RequestId) -> Reaction + Send + Sync + 'static,
) -> SocketAddr {
    faulty_server_async(move |id| std::future::ready(react(id))).await
}

/// As [`faulty_server`], with time to think.
pub(crate) async fn faulty_server_async<F>(
    react: impl Fn(RequestId) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = Reaction> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let react = Arc::new(react);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let react = Arc::clone(&react);
            tokio::spawn(async move {
                let mut unread = Vec::new();
                while let Some(id) = next_request(&mut stream, &mut unread).await {
                    match react(id).await {
                        Reaction::Send(bytes) => stream.write_all(&bytes).await.unwrap(),
                        Reaction::SendAndClose(bytes) => return stream.write_all(&bytes).await.unwrap(),
                        Reaction::SendAndReset(bytes) => {
                            stream.write_all(&bytes).await.unwrap();
                            return stream.set_zero_linger().unwrap();
                        }
                        Reaction::Stall => std::future::pending().await,
                    }
                }
            });
        }
    });
    address
}

/// The id in the next request's head.
pub(crate) async fn next_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<RequestId> {
    loop {
        let text = String::from_utf8_lossy(unread).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            unread.drain(..end + 4);
            let (_, id) = text[..end].split_once("X-Bench-Id: ").unwrap();
            return Some(id[..16].parse().unwrap());
        }
        match stream.read_buf(unread).await {
            Ok(n) if n > 0 => {}
            _ => return None,
        }
    }
}
