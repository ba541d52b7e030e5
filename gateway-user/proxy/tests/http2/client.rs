//! A client over HTTP/2: the `h2` crate's, on a runtime of its own.

use std::future::Future;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, StatusCode};

use crate::support::Gateway;

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Runs `test` with a connection to the gateway.
pub(crate) fn connected<T, F: Future<Output = T>>(
    gateway: &Gateway,
    test: impl FnOnce(SendRequest<Bytes>) -> F,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let address = gateway.address;
    runtime.block_on(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let driving = tokio::spawn(connection);
        let result = test(client).await;
        driving.abort();
        result
    })
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::builder().uri(format!("http://a.example{path}")).body(()).unwrap()
}

/// Sends a request and reads its response.
pub(crate) async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>) -> Result<Whole, h2::Error> {
    let mut ready = client.clone().ready().await?;
    let (response, _) = ready.send_request(request, true)?;
    whole(response.await?).await
}

/// Sends a request with a body in pieces, and trailers.
pub(crate) async fn send(
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
            let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap()?;
            let part = rest.split_to(room.min(rest.len()));
            stream.send_data(part, last && rest.is_empty())?;
        }
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers)?;
    }
    whole(response.await?).await
}

/// Reads a response to its end.
pub(crate) async fn whole(response: Response<h2::RecvStream>) -> Result<Whole, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Whole { status: head.status, headers: head.headers, body, trailers })
}
