//! One client connection over HTTP/2 to a backend of HTTP/2: each stream goes on as one of a few shared connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::server::{self, SendResponse};
use h2::{RecvStream, SendStream};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use monoio::net::TcpStream;

use crate::io::polled;

/// Room for content that a backend sends ahead on a connection: none of its streams waits for another.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Connections to the backend, which all clients share.
pub(crate) struct Upstreams {
    connections: Vec<Upstream>,
    /// Prefix of the path that is taken away.
    strip: String,
}

struct Upstream {
    requests: SendRequest<Bytes>,
    /// Held once more by each stream that is under way.
    streams: Rc<()>,
}

impl Upstreams {
    /// Opens so many connections, which stay.
    pub(crate) async fn open(address: SocketAddr, count: usize, strip: String) -> io::Result<Self> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut builder = client::Builder::new();
            builder.enable_push(false).initial_connection_window_size(CONNECTION_WINDOW);
            let (requests, connection) = builder.handshake(polled(stream)).await.map_err(io::Error::other)?;
            monoio::spawn(async move {
                // Streams tell how it ends.
                let _ = connection.await;
            });
            connections.push(Upstream { requests, streams: Rc::new(()) });
        }
        Ok(Self { connections, strip })
    }

    /// The connection with the fewest streams under way.
    fn connection(&self) -> io::Result<&Upstream> {
        let least = self.connections.iter().min_by_key(|one| Rc::strong_count(&one.streams));
        least.ok_or_else(|| io::Error::other("--backend-http2 0"))
    }
}

/// Serves a client until it leaves.
pub(crate) async fn relay(client: TcpStream, upstreams: &Rc<Upstreams>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut connection = server::handshake(polled(client)).await.map_err(io::Error::other)?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(io::Error::other)?;
        let upstreams = Rc::clone(upstreams);
        monoio::spawn(async move {
            let _ = stream(request, respond, &upstreams).await;
        });
    }
    Ok(())
}

/// One request and its response, whose bodies go both ways at once.
async fn stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    upstreams: &Upstreams,
) -> io::Result<()> {
    let upstream = upstreams.connection()?;
    let _under_way = Rc::clone(&upstream.streams);
    let (mut head, body) = request.into_parts();
    head.uri = stripped(head.uri, &upstreams.strip)?;
    let ends = body.is_end_stream();
    let mut requests = upstream.requests.clone().ready().await.map_err(io::Error::other)?;
    let (response, to_backend) =
        requests.send_request(Request::from_parts(head, ()), ends).map_err(io::Error::other)?;
    let upload = async {
        match ends {
            true => Ok(()),
            false => forward(body, to_backend).await,
        }
    };
    let download = async {
        let (head, body) = response.await?.into_parts();
        let ends = body.is_end_stream();
        let to_client = respond.send_response(Response::from_parts(head, ()), ends)?;
        match ends {
            true => Ok(()),
            false => forward(body, to_client).await,
        }
    };
    monoio::try_join!(upload, download).map_err(io::Error::other)?;
    Ok(())
}

/// Passes a body on with its trailers; each piece waits for the window there, and is paid back here once it has gone.
async fn forward(mut from: RecvStream, mut to: SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(data) = from.data().await {
        let mut data = data?;
        let (length, last) = (data.len(), from.is_end_stream());
        while !data.is_empty() {
            to.reserve_capacity(data.len());
            while to.capacity() == 0 {
                match poll_fn(|cx| to.poll_capacity(cx)).await {
                    Some(capacity) => drop(capacity?),
                    // The receiver wants no more.
                    None => return Ok(()),
                }
            }
            let piece = data.split_to(to.capacity().min(data.len()));
            to.send_data(piece, last && data.is_empty())?;
        }
        from.flow_control().release_capacity(length)?;
        if last {
            if length == 0 {
                to.send_data(data, true)?;
            }
            return Ok(());
        }
    }
    match from.trailers().await? {
        Some(trailers) => to.send_trailers(trailers),
        None => to.send_data(Bytes::new(), true),
    }
}

/// The target without the prefix.
fn stripped(uri: Uri, strip: &str) -> io::Result<Uri> {
    let mut parts = uri.into_parts();
    if let Some(path) = parts.path_and_query.as_ref().and_then(|path| path.as_str().strip_prefix(strip)) {
        parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(io::Error::other)?);
    }
    Uri::from_parts(parts).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use monoio::net::TcpListener;

    use super::*;

    /// More than the windows of a stream and of a connection let through at once.
    const LENGTH: usize = 200_000;

    #[test]
    fn the_prefix_is_taken_from_the_target() {
        let of = |uri: &'static str| stripped(Uri::from_static(uri), "/app").unwrap().to_string();
        assert_eq!(of("http://a.example/app/grpc?q"), "http://a.example/grpc?q");
        assert_eq!(of("http://a.example/other"), "http://a.example/other");
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Sends each request's body back, with its path and length in trailers.
    async fn echo(listener: TcpListener) {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(polled(socket)).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            monoio::spawn(async move {
                let path = request.uri().path().parse().unwrap();
                let (body, trailers) = received(request.into_body()).await;
                let mut trailers = trailers.unwrap_or_default();
                trailers.insert("path", path);
                trailers.insert("length", body.len().into());
                let mut response = respond.send_response(Response::new(()), false).unwrap();
                response.send_data(body.into(), false).unwrap();
                response.send_trailers(trailers).unwrap();
            });
        }
    }

    async fn received(mut body: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
        let mut all = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            all.extend_from_slice(&data);
        }
        (all, body.trailers().await.unwrap())
    }

    #[test]
    fn bodies_and_trailers_go_both_ways() {
        let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build().unwrap();
        runtime.block_on(async {
            let (backend, address) = listener();
            monoio::spawn(echo(backend));
            let upstreams = Rc::new(Upstreams::open(address, 1, "/app".to_owned()).await.unwrap());
            let (gate, address) = listener();
            monoio::spawn(async move {
                let (client, _) = gate.accept().await.unwrap();
                let _ = relay(client, &upstreams).await;
            });
            let stream = TcpStream::connect(address).await.unwrap();
            let (mut requests, connection) = client::handshake(polled(stream)).await.unwrap();
            monoio::spawn(connection);
            let content: Vec<u8> = (0..LENGTH).map(|n| n as u8).collect();
            for body in [&content[..], b"short", b""] {
                let request = Request::post("http://a.example/app/call").body(()).unwrap();
                let (response, mut sending) = requests.send_request(request, false).unwrap();
                sending.send_data(Bytes::copy_from_slice(body), false).unwrap();
                sending
                    .send_trailers(HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]))
                    .unwrap();
                let (echoed, trailers) = received(response.await.unwrap().into_body()).await;
                assert!(echoed == body, "{} bytes came back", echoed.len());
                let trailers = trailers.unwrap();
                assert_eq!(
                    (&trailers["path"], &trailers["etag"]),
                    (&"/call".parse().unwrap(), &"x".parse().unwrap())
                );
                assert_eq!(trailers["length"], body.len().to_string());
            }
        });
    }
}
