//! A controller's side of a connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::SCHEMA;
use crate::codec::{self, MAX_UP, ReadError, Reader};
use crate::frame::{Ack, Alive, Down, DownFrame, Goodbye, Hello, Probe, Probed, Up, UpFrame, Welcome};
use crate::item::Desired;
use crate::scope::Scope;
use crate::table::{Batch, Position, Table};

/// Limit for the first frame.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest first frame: digests of all buckets and a token, from somebody who is not known yet.
const MAX_HELLO: usize = 64 << 10;
/// Longest time that a node waits for somebody to lead before it is sent away. Below [`SILENCE_TIMEOUT`].
const LEADER_TIMEOUT: Duration = Duration::from_secs(4);
/// Interval of signs of life, both ways.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// A side that is silent for so long is gone. Addresses of a node that lost its power wait for this (decision 274).
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(8);
/// A node that takes nothing for so long is let go: it begins anew when it can.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Frames are written together up to so many bytes: an edit is one system call for each node, and a first connection some
/// hundred.
const TOGETHER: usize = 64 << 10;

/// A table that connections read while it changes.
#[derive(Debug)]
pub struct SharedTable {
    table: Mutex<Table>,
    versions: watch::Sender<u64>,
}

/// A controller's say among several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leading {
    /// It leads, since so many changes of the holder.
    Here {
        /// That number.
        term: u64,
    },
    /// It led, and cannot tell if it still does: nodes that follow it stay, and no other is served.
    Unknown,
    /// Another one leads, or none does yet.
    Elsewhere {
        /// Its name or address; empty if nobody knows.
        leader: String,
    },
}

impl Leading {
    /// The state in which no leader is known.
    pub fn nobody() -> Self {
        Self::Elsewhere { leader: String::new() }
    }
}

/// The receiver of nodes' words.
pub trait Nodes {
    /// A node wants to follow. Gives the name under which it is known from here on.
    ///
    /// # Errors
    /// It must not, for a reason that it is told.
    fn joins(&self, hello: &Hello) -> impl Future<Output = Result<String, String>>;

    /// It has done what it can with a version.
    fn acknowledges(&self, node: &str, ack: Ack);

    /// It is there.
    fn hears(&self, node: &str);

    /// It serves no more: nobody is to wait for it.
    fn withdraws(&self, node: &str);

    /// Its connection has ended.
    fn leaves(&self, node: &str);

    /// Questions for it, as they come.
    fn questions(&self, node: &str) -> mpsc::Receiver<Probe>;

    /// It answers one.
    fn probed(&self, node: &str, probed: &Probed);
}

/// The end of a connection.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A frame of it cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written to.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It says or does nothing for too long.
    #[error("silent for {}s", SILENCE_TIMEOUT.as_secs())]
    Silent,
    /// It takes nothing.
    #[error("nothing was taken for {}s", WRITE_TIMEOUT.as_secs())]
    Stalled,
    /// It was told to go.
    #[error("{0}")]
    Refused(String),
}

impl SharedTable {
    /// An empty table of a controller process with this number.
    pub fn new(epoch: u64) -> Self {
        Self { table: Mutex::new(Table::new(epoch)), versions: watch::channel(0).0 }
    }

    /// Takes over what is to be served, and has all nodes told. Gives the version that says so.
    pub fn update(&self, desired: Desired) -> u64 {
        let mut table = self.lock();
        table.update(desired);
        let version = table.version();
        drop(table);
        self.versions.send_if_modified(|known| std::mem::replace(known, version) != version);
        version
    }

    /// The frames for a node that has version `at` of its part, which was `scope`; that is its scope of now afterwards.
    fn next(&self, node: &str, at: Option<u64>, position: &Position, scope: &mut Scope) -> Option<Batch> {
        let table = self.lock();
        let before = std::mem::replace(scope, table.scope(node));
        match at {
            None => Some(table.join(position, scope)),
            Some(at) => table.since(at, &before, scope),
        }
    }

    // A panic while it was held, which only a fault of ours can cause, leaves a table that is told by buckets.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one node until either side ends.
///
/// # Errors
/// The reason for the end; an end by the node in between frames is none.
pub async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    table: &SharedTable,
    leading: watch::Receiver<Leading>,
    nodes: &impl Nodes,
    version: &str,
) -> Result<(), ServeError> {
    let mut leading = leading;
    let (reader, writer) = tokio::io::split(stream);
    let mut reader = Reader::new(Box::pin(reader), MAX_HELLO);
    let mut writer = Writer(Box::pin(writer));
    let hello = match timeout(HELLO_TIMEOUT, reader.next::<Up>()).await {
        Err(_) => return Err(ServeError::Silent),
        Ok(frame) => match frame? {
            None => return Ok(()),
            Some(Up { frame: Some(UpFrame::Hello(hello)) }) => hello,
            Some(_) => return Err(ServeError::Refused("the first frame is no hello".to_owned())),
        },
    };
    if hello.schema != SCHEMA {
        return writer.goodbye(other_schema(&hello), String::new()).await;
    }
    // Who does not lead judges nobody: that may cost a request to the API server.
    if let Err(leader) = leads(&mut leading).await {
        return writer.elsewhere(leader).await;
    }
    let node = match nodes.joins(&hello).await {
        Ok(node) => node,
        Err(reason) => return writer.goodbye(reason, String::new()).await,
    };
    reader.allow(MAX_UP);
    let mut connection = Connection { reader, writer, table, leading, nodes, node: &node };
    let ended = connection.run(hello, version).await;
    nodes.leaves(&node);
    ended
}

fn other_schema(hello: &Hello) -> String {
    format!(
        "this controller speaks schema {SCHEMA}, the node's {} (version {}) schema {}: the node serves what it has until both \
         are of one version",
        hello.node, hello.version, hello.schema
    )
}

/// Returns once this controller leads: if nobody does, it may be the next one, and a node that waits here is told at once.
///
/// # Errors
/// The leader, if another one leads, or nobody does after a while.
async fn leads(leading: &mut watch::Receiver<Leading>) -> Result<(), String> {
    let unsettled = [Leading::nobody(), Leading::Unknown];
    let settled = leading.wait_for(|leading| !unsettled.contains(leading));
    let known = match timeout(LEADER_TIMEOUT, settled).await {
        Ok(Ok(known)) => known.clone(),
        Ok(Err(_)) | Err(_) => Leading::nobody(),
    };
    match known {
        Leading::Here { .. } => Ok(()),
        Leading::Unknown => Err(String::new()),
        Leading::Elsewhere { leader } => Err(leader),
    }
}

struct Connection<'a, R, W, N> {
    reader: Reader<R>,
    writer: Writer<W>,
    table: &'a SharedTable,
    leading: watch::Receiver<Leading>,
    nodes: &'a N,
    node: &'a str,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin, N: Nodes> Connection<'_, R, W, N> {
    async fn run(&mut self, hello: Hello, version: &str) -> Result<(), ServeError> {
        let leading = self.leading.borrow_and_update().clone();
        let term = match leading {
            Leading::Here { term } => term,
            Leading::Unknown => return self.writer.elsewhere(String::new()).await,
            Leading::Elsewhere { leader } => return self.writer.elsewhere(leader).await,
        };
        let mut versions = self.table.versions.subscribe();
        let epoch = self.table.lock().epoch();
        let welcome = Welcome { schema: SCHEMA, version: version.to_owned(), epoch, term };
        self.writer.frame(DownFrame::Welcome(welcome)).await?;
        let position = Position { epoch: hello.epoch, version: hello.at, buckets: hello.buckets };
        let mut questions = self.nodes.questions(self.node);
        let (mut at, mut scope) = (None, Scope::default());
        let (mut alive, mut heard) = (interval(ALIVE_INTERVAL), Instant::now());
        loop {
            // Nothing before the first lists are in.
            if *versions.borrow_and_update() > at.unwrap_or(0) {
                let batch = self.table.next(self.node, at, &position, &mut scope);
                let Some(batch) = batch else {
                    return self.writer.goodbye("too far behind; begin anew".to_owned(), String::new()).await;
                };
                at = Some(self.writer.batch(batch).await?);
                // Meanwhile nothing was read.
                heard = Instant::now();
                continue;
            }
            tokio::select! {
                frame = self.reader.next::<Up>() => {
                    heard = Instant::now();
                    match frame?.map(|up| up.frame) {
                        None => return Ok(()),
                        Some(Some(UpFrame::Ack(ack))) => self.nodes.acknowledges(self.node, ack),
                        Some(Some(UpFrame::Alive(_)) | None) => self.nodes.hears(self.node),
                        Some(Some(UpFrame::Probed(probed))) => self.nodes.probed(self.node, &probed),
                        Some(Some(UpFrame::Leaving(_))) => {
                            self.nodes.withdraws(self.node);
                            return Ok(());
                        }
                        Some(Some(UpFrame::Hello(_))) => {
                            return Err(ServeError::Refused("a second hello".to_owned()));
                        }
                    }
                }
                Ok(()) = versions.changed() => {}
                Ok(()) = self.leading.changed() => {
                    let leading = self.leading.borrow_and_update().clone();
                    if let Leading::Elsewhere { leader } = leading {
                        return self.writer.elsewhere(leader).await;
                    }
                }
                Some(probe) = questions.recv() => self.writer.frame(DownFrame::Probe(probe)).await?,
                () = sleep_until(heard + SILENCE_TIMEOUT) => return Err(ServeError::Silent),
                _ = alive.tick() => self.writer.frame(DownFrame::Alive(Alive {})).await?,
            }
        }
    }
}

struct Writer<W>(W);

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn frame(&mut self, frame: DownFrame) -> Result<(), ServeError> {
        self.bytes(&codec::encode(&Down::from(frame))).await?;
        self.flush().await
    }

    /// Writes all of it, small frames together; gives the version that the node has then.
    async fn batch(&mut self, batch: Batch) -> Result<u64, ServeError> {
        let mut together = BytesMut::new();
        for frame in batch.frames {
            if together.len() + frame.len() > TOGETHER && !together.is_empty() {
                self.bytes(&together).await?;
                together.clear();
            }
            if frame.len() > TOGETHER {
                self.bytes(&frame).await?;
            } else {
                together.extend_from_slice(&frame);
            }
        }
        self.bytes(&together).await?;
        self.flush().await?;
        Ok(batch.version)
    }

    async fn bytes(&mut self, bytes: &[u8]) -> Result<(), ServeError> {
        timeout(WRITE_TIMEOUT, self.0.write_all(bytes))
            .await
            .map_err(|_| ServeError::Stalled)?
            .map_err(Into::into)
    }

    async fn flush(&mut self) -> Result<(), ServeError> {
        timeout(WRITE_TIMEOUT, self.0.flush()).await.map_err(|_| ServeError::Stalled)?.map_err(Into::into)
    }

    async fn elsewhere(&mut self, leader: String) -> Result<(), ServeError> {
        let reason = match leader.as_str() {
            "" => "no controller leads yet".to_owned(),
            leader => format!("{leader} leads"),
        };
        self.goodbye(reason, leader).await
    }

    async fn goodbye(&mut self, reason: String, leader: String) -> Result<(), ServeError> {
        self.frame(DownFrame::Goodbye(Goodbye { reason: reason.clone(), leader })).await?;
        // What the other side has not read would be lost with an abrupt end.
        let _ = timeout(WRITE_TIMEOUT, self.0.shutdown()).await;
        Err(ServeError::Refused(reason))
    }
}
