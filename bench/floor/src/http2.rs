//! One client connection over HTTP/2: each stream a request on a backend connection of HTTP/1.1 out of the pool.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use monoio::io::AsyncWriteRentExt as _;
use monoio::net::TcpStream;

use crate::head;
use crate::io::polled;
use crate::relay::{BUFFER_SIZE, Backend, receive};

/// Serves a client until it leaves.
pub(crate) async fn relay(client: TcpStream, backend: &Rc<Backend>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut connection = server::handshake(polled(client)).await.map_err(io::Error::other)?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(io::Error::other)?;
        let backend = Rc::clone(backend);
        monoio::spawn(async move {
            let _ = stream(&request, respond, &backend).await;
        });
    }
    Ok(())
}

/// One request without a body, and its response with one of a known length.
async fn stream(
    request: &Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    backend: &Backend,
) -> io::Result<()> {
    let mut upstream = backend.connection().await?;
    let (sent, _) = upstream.write_all(request_text(request, &backend.strip)).await;
    sent?;
    let mut buffer = Vec::with_capacity(BUFFER_SIZE);
    let head = loop {
        if let Some(head) = head::response_head(&buffer)? {
            break head;
        }
        let read;
        (read, buffer) = receive(&mut upstream, buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let response = response(&buffer)?;
    let mut body = respond.send_response(response, head.body == 0).map_err(io::Error::other)?;
    buffer.drain(..head.length);
    let mut left = head.body;
    while left > 0 {
        if buffer.is_empty() {
            let read;
            (read, buffer) = receive(&mut upstream, buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        left = left.saturating_sub(buffer.len());
        body.send_data(Bytes::copy_from_slice(&buffer), left == 0).map_err(io::Error::other)?;
        buffer.clear();
    }
    if !head.close {
        backend.idle.borrow_mut().push(upstream);
    }
    Ok(())
}

/// The head as HTTP/1.1, its prefix taken away.
fn request_text<B>(request: &Request<B>, strip: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = path.strip_prefix(strip).unwrap_or(path);
    let host = request.uri().authority().map_or("", |authority| authority.as_str());
    for part in [request.method().as_str(), " ", path, " HTTP/1.1\r\nhost: ", host, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The response's head at the start of `bytes`, which is whole.
fn response(bytes: &[u8]) -> io::Result<Response<()>> {
    let mut response = Response::new(());
    head::with_response(bytes, |status, fields| {
        *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
        for (name, value) in fields {
            // It speaks of the connection.
            if name.eq_ignore_ascii_case("connection") {
                continue;
            }
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
            response.headers_mut().append(name, HeaderValue::from_bytes(value).map_err(io::Error::other)?);
        }
        Ok(())
    })?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_converted_both_ways() {
        let request = Request::get("http://a.example/app/100?q").header("x-a", "1").body(()).unwrap();
        let text = String::from_utf8(request_text(&request, "/app")).unwrap();
        assert_eq!(text, "GET /100?q HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\n\r\n");
        let bytes = b"HTTP/1.1 404 No\r\ncontent-length: 2\r\nConnection: close\r\n\r\nno";
        let response = response(bytes).unwrap();
        assert_eq!((response.status().as_u16(), response.headers().len()), (404, 1));
        assert_eq!(response.headers()["content-length"], "2");
    }
}
