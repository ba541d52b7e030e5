//! Requests over HTTP/1.1, one connection at a time.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::client_task::Client;
use super::exchange::{Connection, exchange};
use super::queue::Job;
use super::stats::{RequestError, RunStats};
use super::{LoadSpec, Mode};
use crate::report::FailureKind;

/// One connection after the other.
#[derive(Debug)]
pub(super) struct Http1 {
    spec: Rc<LoadSpec>,
    stats: Rc<RunStats>,
    kept: Option<Connection>,
}

impl Http1 {
    pub(super) fn new(spec: Rc<LoadSpec>, stats: Rc<RunStats>) -> Self {
        Self { spec, stats, kept: None }
    }
}

impl Client for Http1 {
    async fn ended(&mut self) {
        let Some(connection) = &self.kept else { return pending().await };
        connection.ended().await;
        self.kept = None;
        self.stats.connection(|c| c.idle_closes += 1);
    }

    async fn serve(&mut self, job: Job) -> Result<(), RequestError> {
        // Out of its place meanwhile: whatever ends this future ends the connection.
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => Connection::new(connect(self.spec.to, &self.stats).await?),
        };
        let keep = exchange(&mut connection, &self.spec, job.id).await?;
        match (self.spec.mode, keep) {
            (Mode::PerConnection, _) => {}
            (_, true) => self.kept = Some(connection),
            (_, false) => self.stats.connection(|c| c.announced_closes += 1),
        }
        Ok(())
    }

    async fn finish(self) {}
}

/// Opens a connection, and counts it.
///
/// # Errors
/// It cannot be made.
pub(super) async fn connect(to: SocketAddr, stats: &RunStats) -> Result<TcpStream, RequestError> {
    let stream = TcpStream::connect(to)
        .await
        .map_err(|error| RequestError::new(connect_error_kind(&error), format!("connect: {error}")))?;
    let _ = stream.set_nodelay(true);
    stats.connection(|c| c.opened += 1);
    Ok(stream)
}

fn connect_error_kind(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => FailureKind::Reset,
        io::ErrorKind::TimedOut => FailureKind::Timeout,
        _ => FailureKind::Local,
    }
}
