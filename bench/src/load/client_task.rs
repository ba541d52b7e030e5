//! One connection at a time, and the requests on it.

use std::io;
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::exchange::{Connection, exchange};
use super::queue::{Job, Queue};
use super::stats::{RequestError, RunStats};
use super::{LoadSpec, Mode};
use crate::report::FailureKind;

/// Takes requests from the queue as long as there are any.
///
/// A request is tried once. That a kept connection may have been closed meanwhile is no excuse: a proxy that
/// means to end one can say so with a response, and clients may not repeat just any request (RFC 9110
/// section 9.2.2).
#[derive(Debug)]
pub(super) struct ClientTask {
    spec: Rc<LoadSpec>,
    queue: Rc<Queue>,
    stats: Rc<RunStats>,
    kept: Option<Connection>,
}

impl ClientTask {
    pub(super) fn new(spec: Rc<LoadSpec>, queue: Rc<Queue>, stats: Rc<RunStats>) -> Self {
        Self { spec, queue, stats, kept: None }
    }

    pub(super) async fn run(mut self) {
        while let Some(job) = self.next().await {
            self.stats.sent();
            let limit = self.spec.timeout + self.spec.over;
            let outcome = match timeout(limit, self.serve(job)).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    Err(RequestError::new(FailureKind::Timeout, format!("no whole response in {limit:?}")))
                }
            };
            if outcome.is_err() {
                self.kept = None;
            }
            self.stats.ended(job, outcome);
        }
    }

    /// The next request; meanwhile a kept connection that the other side ends is given up, as
    /// any client does.
    async fn next(&mut self) -> Option<Job> {
        while let Some(connection) = &self.kept {
            tokio::select! {
                biased;
                () = connection.ended() => {
                    self.kept = None;
                    self.stats.connection(|c| c.idle_closes += 1);
                }
                job = self.queue.take() => return job,
            }
        }
        self.queue.take().await
    }

    async fn serve(&mut self, job: Job) -> Result<(), RequestError> {
        // Out of its place meanwhile: whatever ends this future ends the connection.
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let keep = exchange(&mut connection, &self.spec, job.id).await?;
        match (self.spec.mode, keep) {
            (Mode::PerConnection, _) => {}
            (_, true) => self.kept = Some(connection),
            (_, false) => self.stats.connection(|c| c.announced_closes += 1),
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, RequestError> {
        let stream = match TcpStream::connect(self.spec.to).await {
            Ok(stream) => stream,
            Err(error) => {
                return Err(RequestError::new(connect_error_kind(&error), format!("connect: {error}")));
            }
        };
        let _ = stream.set_nodelay(true);
        self.stats.connection(|c| c.opened += 1);
        Ok(Connection::new(stream))
    }
}

fn connect_error_kind(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => FailureKind::Reset,
        io::ErrorKind::TimedOut => FailureKind::Timeout,
        _ => FailureKind::Local,
    }
}
