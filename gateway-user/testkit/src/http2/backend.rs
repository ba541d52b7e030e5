//! A backend over HTTP/2 with prior knowledge: the `h2` crate's server, on a thread of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

/// A request at a backend, and the way of its response.
pub struct Exchange {
    /// The head, and the body to come.
    pub request: Request<RecvStream>,
    /// The stream.
    pub response: SendResponse<Bytes>,
    /// Which connection of the backend it came on, from 0.
    pub connection: usize,
}

/// A listening backend; dropping it ends its connections and waits for its thread.
pub struct H2Backend {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl H2Backend {
    /// Runs `serve` for each request.
    pub fn start<F: Future<Output = ()> + 'static>(serve: impl Fn(Exchange) -> F + Send + 'static) -> Self {
        Self::with(Builder::new(), usize::MAX, serve)
    }

    /// With these settings, and connections that are ended in order after so many requests.
    pub fn with<F: Future<Output = ()> + 'static>(
        settings: Builder,
        requests: usize,
        serve: impl Fn(Exchange) -> F + Send + 'static,
    ) -> Self {
        Self::raw(move || {
            let serve = Rc::new(serve);
            move |stream, number| run(stream, number, settings.clone(), requests, Rc::clone(&serve))
        })
    }

    /// Runs `serve` for each connection; `make` makes it on the backend's thread.
    pub fn raw<S, F>(make: impl FnOnce() -> S + Send + 'static) -> Self
    where
        S: Fn(TcpStream, usize) -> F + 'static,
        F: Future<Output = ()> + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = oneshot::channel();
        let counted = Arc::clone(&accepted);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let local = LocalSet::new();
            let accepting = async move {
                let serve = make();
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    spawn_local(serve(stream, counted.fetch_add(1, Ordering::SeqCst)));
                }
            };
            local.block_on(&runtime, async move {
                tokio::select! { () = accepting => {}, _ = stopped => {} }
            });
        });
        Self { address, accepted, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for H2Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn run<F: Future<Output = ()> + 'static>(
    stream: TcpStream,
    connection: usize,
    settings: Builder,
    requests: usize,
    serve: Rc<impl Fn(Exchange) -> F + 'static>,
) {
    let Ok(mut streams) = settings.handshake::<_, Bytes>(stream).await else { return };
    let mut count = 0;
    while let Some(Ok((request, response))) = streams.accept().await {
        count += 1;
        if count == requests {
            streams.graceful_shutdown();
        }
        spawn_local(serve(Exchange { request, response, connection }));
    }
}

impl Exchange {
    /// Reads the body and its trailers; `None` if it breaks.
    pub async fn body(&mut self) -> Option<(Vec<u8>, Option<HeaderMap>)> {
        let stream = self.request.body_mut();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.ok()?;
            stream.flow_control().release_capacity(data.len()).ok()?;
            body.extend_from_slice(&data);
        }
        Some((body, stream.trailers().await.ok()?))
    }

    /// Responds with a body.
    pub async fn ok(mut self, body: impl Into<Bytes>) {
        let Ok(stream) = self.response.send_response(Response::new(()), false) else { return };
        let _ = send(stream, body.into(), None).await;
    }
}

/// Sends a body as fast as the window lets it, and trailers.
pub async fn send(
    mut stream: SendStream<Bytes>,
    mut body: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(room) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return Ok(()) };
        stream.send_data(body.split_to(room?.min(body.len())), false)?;
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    }
}
