//! The backend: responses that follow from the request's id, and a memory of ids.
//!
//! - `GET /download/N?id=ID[&over=MS][&chunked=1]`: N bytes of ID's pattern, spread over MS milliseconds.
//! - `POST /upload?id=ID`: length and checksum of the body.
//! - `GET /witness/TAG`: what has been seen of a client, as JSON.
//!
//! The field `X-Bench-Id` comes back as it was sent. A request without an id is served and not remembered,
//! so that another load can run beside.

mod arrival_log;
mod body;
mod request_target;
mod secured;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::pattern::Checksum;
use arrival_log::ArrivalLog;
use body::PatternBody;
use request_target::RequestTarget;
pub use secured::serve_secured;

type Body = Either<PatternBody, Full<Bytes>>;

const BENCH_ID: HeaderName = HeaderName::from_static("x-bench-id");

/// Serves until dropped. Keeps idle connections for ever, so that a proxy never meets one that
/// we are closing.
///
/// # Errors
/// The listener does not accept any more for a reason that will not pass.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let backend = Rc::new(Backend::default());
    let serve = |stream| {
        let backend = Rc::clone(&backend);
        tokio::task::spawn_local(async move {
            // The end of a connection is the client's finding, not ours.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), backend.service()).await;
        });
    };
    LocalSet::new().run_until(accept(listener, serve)).await
}

/// The memory that all connections share.
#[derive(Default)]
struct Backend {
    arrivals: Rc<RefCell<ArrivalLog>>,
}

impl Backend {
    /// Responds to the requests of a connection.
    fn service(
        &self,
    ) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + use<> {
        let arrivals = Rc::clone(&self.arrivals);
        service_fn(move |request| {
            let arrivals = Rc::clone(&arrivals);
            async move { Ok::<_, Infallible>(respond(request, &arrivals).await) }
        })
    }
}

async fn accept(listener: TcpListener, serve: impl Fn(TcpStream)) -> io::Result<()> {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let _ = stream.set_nodelay(true);
        serve(stream);
    }
}

/// The connection is gone before we took it, or descriptors are short for the moment.
fn is_passing(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    error.kind() == io::ErrorKind::ConnectionAborted || error.raw_os_error() == Some(EMFILE)
}

async fn respond(request: Request<Incoming>, arrival_log: &RefCell<ArrivalLog>) -> Response<Body> {
    let echoed = request.headers().get(BENCH_ID).cloned();
    let mut response = match RequestTarget::parse(request.method(), request.uri()) {
        Some(RequestTarget::Download { length, id, over, chunked }) => {
            if let Some(id) = id {
                arrival_log.borrow_mut().record(id);
            }
            let seed = id.map_or(0, |id| id.bits());
            Response::new(Either::Left(PatternBody::new(seed, length, over, chunked)))
        }
        Some(RequestTarget::Upload { id }) => {
            if let Some(id) = id {
                arrival_log.borrow_mut().record(id);
            }
            match measure(request.into_body()).await {
                Ok((length, sum)) => text(StatusCode::OK, format!("{length} {:016x}\n", sum.value())),
                // The request broke off; nobody reads this but a proxy.
                Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
            }
        }
        Some(RequestTarget::Arrivals(tag)) => match serde_json::to_string(&arrival_log.borrow().of(tag)) {
            Ok(json) => text(StatusCode::OK, json),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        None => text(StatusCode::NOT_FOUND, "see the documentation of sluice-bench\n".to_owned()),
    };
    if let Some(id) = echoed {
        response.headers_mut().insert(BENCH_ID, id);
    }
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

async fn measure(mut body: Incoming) -> hyper::Result<(u64, Checksum)> {
    let (mut length, mut sum) = (0, Checksum::default());
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            length += data.len() as u64;
            sum.update(data);
        }
    }
    Ok((length, sum))
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response
}
