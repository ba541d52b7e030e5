//! A server: its thread, its accept loop, its connections.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::activity::Activity;
use crate::body::ObservedBody;
use crate::connections::{ClientKey, Connections};
use crate::counters::{ClosedReason, ServerCounters};
use crate::headroom;
use crate::hosts::Hosts;
use crate::listener::{Accepted, Listener, RuntimeListener};
use crate::spares::Spares;
use crate::stream::{AtEnd, ObservedStream};

/// Time between two looks at time limits.
const SWEEP: Duration = Duration::from_millis(500);
/// Time for a descriptor to come free, when not even a spare one is left.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);
/// Buffer of a connection for a head, and for a response that its client does not read, in bytes.
const BUFFER: usize = 64 * 1024;
/// Time for responses under way when the server stops.
const STOPPING: Duration = Duration::from_secs(5);
/// Number of descriptors kept for when no other is left.
const SPARES: usize = 8;

/// Bounds of a server's connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at the same time.
    pub connections: usize,
    /// Time from a connection's begin, or from a later head's first byte, to the end of the head.
    pub header: Duration,
    /// Time between two requests.
    pub idle: Duration,
    /// Time in which no byte of a response is taken.
    pub write: Duration,
    /// Time from the end of the head to the end of the response.
    pub response: Duration,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// State that all connections of a server share.
#[derive(Clone)]
struct Shared {
    router: Router,
    hosts: Hosts,
    epoch: Instant,
    spares: Arc<Spares>,
}

impl Server {
    /// Serves on a thread of its own, which is called `sluice-NAME`.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptor for its runtime.
    pub fn start(
        name: &'static str,
        listener: Listener,
        router: Router,
        hosts: Hosts,
        limits: Limits,
        counters: Arc<ServerCounters>,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let listener = {
            let _inside = runtime.enter();
            listener.into_runtime()?
        };
        let shared = Shared { router, hosts, epoch: Instant::now(), spares: Arc::new(Spares::new(SPARES)?) };
        let serving = move || runtime.block_on(serve(name, listener, shared, limits, &counters, stopped));
        let thread = std::thread::Builder::new().name(format!("sluice-{name}")).spawn(serving)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Accepts nothing more; responses under way have 5 s.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        // It ends by itself within seconds; nobody waits for it.
        drop(self.thread.take());
    }
}

async fn serve(
    name: &str,
    listener: RuntimeListener,
    shared: Shared,
    limits: Limits,
    counters: &ServerCounters,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = Connections::default();
    let spares = Arc::clone(&shared.spares);
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let idle = connections.len() == 0 && spares.are_complete();
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    connections.enter(accepted, &shared, limits, counters);
                    // Ended tasks give their descriptors back before the next accept.
                    tokio::task::yield_now().await;
                }
                Err(error) if is_out_of_descriptors(&error) => {
                    // Without a wait: whoever else is short of descriptors must not be quicker.
                    let ready = headroom::with(|| poll_once(listener.accept()));
                    if let Some(Some(Ok(accepted))) = ready {
                        connections.enter(accepted, &shared, limits, counters);
                        tokio::task::yield_now().await;
                    } else if !spares.free_one() {
                        warn!("{name}: no descriptor is left for a connection: {error}");
                        tokio::time::sleep(DESCRIPTOR_PAUSE).await;
                        spares.refill();
                    }
                }
                // Of one connection that its client has given up (accept(2)).
                Err(_) => tokio::task::yield_now().await,
            },
            _ = sweep.tick(), if !idle => {
                connections.sweep(&limits, counters);
                spares.refill();
            }
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    drop(listener);
    connections.end_idle();
    let end = Instant::now() + STOPPING;
    while connections.len() > 0 && Instant::now() < end {
        tokio::time::sleep(SWEEP / 5).await;
        connections.end_idle();
        connections.sweep(&limits, counters);
    }
    info!("{name} is no longer served");
}

/// Polls a future that may be dropped unfinished.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

impl Connections {
    fn enter(&mut self, accepted: Accepted, shared: &Shared, limits: Limits, counters: &ServerCounters) {
        match accepted {
            Accepted::Refused => counters.count(ClosedReason::Client),
            Accepted::Tcp { stream, client, local } => {
                self.spawn(stream, client, local, shared, limits, counters);
            }
            Accepted::Unix { stream, client } => self.spawn(stream, client, None, shared, limits, counters),
        }
    }

    fn spawn<S: IntoDescriptor>(
        &mut self,
        stream: S,
        client: ClientKey,
        local: Option<IpAddr>,
        shared: &Shared,
        limits: Limits,
        counters: &ServerCounters,
    ) {
        if !self.make_room(client, limits.connections, counters) {
            return;
        }
        let activity = Arc::new(Activity::new(shared.epoch));
        let (router, hosts) = (shared.router.clone(), shared.hosts);
        let spares = Arc::clone(&shared.spares);
        let recycle: AtEnd<S> = Box::new(move |stream| {
            // A socket that cannot leave the runtime is closed by that.
            if let Ok(descriptor) = stream.into_descriptor() {
                spares.recycle(descriptor);
            }
        });
        let observed = ObservedStream::new(stream, recycle, Arc::clone(&activity));
        let task = tokio::spawn(connection(observed, local, router, hosts, Arc::clone(&activity)));
        self.add(client, activity, task.abort_handle());
        counters.set_connections(self.len());
    }
}

/// A stream whose descriptor is worth keeping.
trait IntoDescriptor: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn into_descriptor(self) -> io::Result<OwnedFd>;
}

impl IntoDescriptor for TcpStream {
    fn into_descriptor(self) -> io::Result<OwnedFd> {
        self.into_std().map(OwnedFd::from)
    }
}

impl IntoDescriptor for UnixStream {
    fn into_descriptor(self) -> io::Result<OwnedFd> {
        self.into_std().map(OwnedFd::from)
    }
}

/// Serves one connection to its end without time limits: for tests of the request reader.
pub async fn serve_connection<S>(stream: S, router: Router, hosts: Hosts)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new(Instant::now()));
    let observed = ObservedStream::new(stream, Box::new(drop), Arc::clone(&activity));
    connection(observed, None, router, hosts, activity).await;
}

fn connection<S>(
    observed: ObservedStream<S>,
    local: Option<IpAddr>,
    router: Router,
    hosts: Hosts,
    activity: Arc<Activity>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        activity.begin_response();
        let allowed = hosts.allows(request.version(), request.headers(), local);
        let (router, activity) = (router.clone(), Arc::clone(&activity));
        async move {
            let response = if allowed { router.call(request).await? } else { strange_host() };
            Ok::<_, std::convert::Infallible>(response.map(|body| ObservedBody::new(body, activity)))
        }
    });
    async move {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.max_buf_size(BUFFER);
        let connection = pin!(http.serve_connection(TokioIo::new(observed), service));
        // A client that breaks off, or speaks no HTTP, has had its response.
        let _ = connection.await;
    }
}

fn strange_host() -> Response<Body> {
    let why = "the Host of this request is none of this server's: write localhost or the server's address\n";
    (StatusCode::FORBIDDEN, why).into_response()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;

    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|out| code == Some(out.raw_os_error()))
}
