//! A client over HTTP/2 in clear text: the `h2` crate's, on a runtime of its own.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::net::TcpStream;

/// A response, read to its end.
#[derive(Debug)]
pub struct Whole {
    /// The status.
    pub status: StatusCode,
    /// Fields of the head.
    pub headers: HeaderMap,
    /// The content.
    pub body: Vec<u8>,
    /// Fields behind the content.
    pub trailers: Option<HeaderMap>,
}

impl Whole {
    /// The content as text.
    ///
    /// # Panics
    /// It is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The value of a field of the head.
    ///
    /// # Panics
    /// It is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// Runs `test` with a connection to a server.
///
/// # Panics
/// There is none.
pub fn connected<T, F: Future<Output = T>>(to: SocketAddr, test: impl FnOnce(SendRequest<Bytes>) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let stream = TcpStream::connect(to).await.expect("a connection");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let driving = tokio::spawn(connection);
        let result = test(client).await;
        driving.abort();
        result
    })
}

/// Sends a request without a body and reads its response.
///
/// # Errors
/// The stream or the connection breaks.
pub async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>) -> Result<Whole, h2::Error> {
    let mut ready = client.clone().ready().await?;
    let (response, _) = ready.send_request(request, true)?;
    whole(response.await?).await
}

/// Sends a request with a body in pieces, and trailers.
///
/// # Errors
/// As [`ask`].
pub async fn send(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: &[&'static [u8]],
    trailers: Option<HeaderMap>,
) -> Result<Whole, h2::Error> {
    let mut ready = client.clone().ready().await?;
    let (response, mut stream) = ready.send_request(request, false)?;
    for (at, piece) in body.iter().enumerate() {
        let last = at + 1 == body.len() && trailers.is_none();
        let mut rest = Bytes::from_static(piece);
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { break };
            let part = rest.split_to(room?.min(rest.len()));
            stream.send_data(part, last && rest.is_empty())?;
        }
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers)?;
    }
    whole(response.await?).await
}

/// Reads a response to its end.
///
/// # Errors
/// As [`ask`].
pub async fn whole(response: Response<RecvStream>) -> Result<Whole, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let body = read(&mut stream, usize::MAX).await?;
    let trailers = stream.trailers().await?;
    Ok(Whole { status: head.status, headers: head.headers, body, trailers })
}

/// Reads at least so many bytes, or up to the end.
///
/// # Errors
/// The stream or the connection breaks.
pub async fn read(stream: &mut RecvStream, count: usize) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let Some(data) = stream.data().await else { break };
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
