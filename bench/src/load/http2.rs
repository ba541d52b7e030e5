//! Requests over HTTP/2 with prior knowledge, many at a time on each connection.

use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use http::{Request, StatusCode};
use tokio::sync::Mutex;
use tokio::task::spawn_local;

use super::LoadSpec;
use super::client_task::Client;
use super::exchange::transport_error_kind;
use super::http1::connect;
use super::queue::Job;
use super::stats::{RequestError, RunStats};
use crate::pattern::Pattern;
use crate::report::FailureKind;

/// A connection that several places share. One that takes no more streams is replaced by the next that is wanted: those
/// that it has go on until they end (RFC 9113 section 6.8).
pub(super) struct SharedConnection {
    spec: Rc<LoadSpec>,
    stats: Rc<RunStats>,
    sender: Mutex<Option<SendRequest<Bytes>>>,
}

impl SharedConnection {
    pub(super) fn new(spec: Rc<LoadSpec>, stats: Rc<RunStats>) -> Self {
        Self { spec, stats, sender: Mutex::new(None) }
    }

    /// A connection that takes a stream now.
    ///
    /// # Errors
    /// A new one was needed, and cannot be made.
    pub(super) async fn ready(&self) -> Result<SendRequest<Bytes>, RequestError> {
        let mut kept = self.sender.lock().await;
        if let Some(sender) = kept.take() {
            match sender.ready().await {
                Ok(sender) => return Ok(kept.insert(sender).clone()),
                Err(error) if error.is_go_away() => self.stats.connection(|c| c.announced_closes += 1),
                // Its streams tell how it ended; without any it was idle.
                Err(_) => self.stats.connection(|c| c.idle_closes += 1),
            }
        }
        let stream = connect(self.spec.to, &self.stats).await?;
        let (sender, connection) =
            handshake(stream).await.map_err(|error| stream_error(&error, "in the preface"))?;
        // The way it ends is told to each of its streams.
        spawn_local(connection);
        Ok(kept.insert(sender).clone())
    }
}

/// One stream at a time on a shared connection.
pub(super) struct Http2 {
    spec: Rc<LoadSpec>,
    connection: Rc<SharedConnection>,
}

impl Http2 {
    pub(super) fn new((spec, connection): (Rc<LoadSpec>, Rc<SharedConnection>)) -> Self {
        Self { spec, connection }
    }
}

impl Client for Http2 {
    /// A connection without streams that ends is noticed by the next that wants one.
    async fn ended(&mut self) {
        pending().await
    }

    async fn serve(&mut self, job: Job) -> Result<(), RequestError> {
        let LoadSpec { host, bytes, .. } = &*self.spec;
        let id = job.id;
        let request = Request::get(format!("http://{host}/download/{bytes}?id={id}"))
            .header("x-bench-id", id.to_string())
            .body(())
            .map_err(|error| RequestError::new(FailureKind::Local, error.to_string()))?;
        let mut sender = self.connection.ready().await?;
        let (response, _) = sender
            .send_request(request, true)
            .map_err(|error| stream_error(&error, "while the request was sent"))?;
        let response = response.await.map_err(|error| stream_error(&error, "before the response"))?;
        if response.status() != StatusCode::OK {
            return Err(RequestError::wrong(format!("status {}", response.status())));
        }
        let echoed = response.headers().get("x-bench-id").and_then(|value| value.to_str().ok());
        if echoed != Some(&id.to_string()) {
            return Err(RequestError::wrong(format!("the response of {echoed:?}")));
        }
        let (mut body, mut pattern, mut length) = (response.into_body(), Pattern::new(id.bits()), 0);
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| stream_error(&error, "in the response"))?;
            // A stream that is over takes no more.
            let _ = body.flow_control().release_capacity(data.len());
            length += data.len() as u64;
            pattern.expect(&data).map_err(|at| RequestError::wrong(format!("another byte at {at}")))?;
        }
        match length == *bytes {
            true => Ok(()),
            false => Err(RequestError::wrong(format!("{length} of {bytes} bytes"))),
        }
    }

    async fn finish(self) {}
}

/// A failure of a stream, or of its connection.
pub(super) fn stream_error(error: &h2::Error, when: &str) -> RequestError {
    let kind = match error.get_io() {
        // So `h2` names the end of a connection, in order or within a frame.
        Some(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) => {
            FailureKind::ClosedEarly
        }
        Some(error) => transport_error_kind(error),
        None if error.is_reset() => FailureKind::Reset,
        None => FailureKind::ClosedEarly,
    };
    RequestError::new(kind, format!("{error} {when}"))
}
