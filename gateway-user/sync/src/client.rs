//! A node's side of a connection.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::SCHEMA;
use crate::codec::{self, MAX_DOWN, ReadError, Reader};
use crate::frame::{Ack, Alive, Down, DownFrame, Hello, Leaving, Probe, Probed, Up, UpFrame};
use crate::replica::{Replica, ReplicaError};
use crate::server::{ALIVE_INTERVAL, SILENCE_TIMEOUT};

/// Time since the newest leader was heard for which one of a lower term is not followed: four times what a Lease lasts.
const STALE_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for a write: acknowledgements are short.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers that wait to be written.
const ANSWERS: usize = 8;

/// The end of a connection.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A frame cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Frames do not fit together; all is forgotten.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The connection fails.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The controller says nothing.
    #[error("the controller has been silent for {}s", SILENCE_TIMEOUT.as_secs())]
    Silent,
    /// The controller ended the connection.
    #[error("the controller ended the connection")]
    Ended,
    /// The controller said why it ended the connection.
    #[error("{reason}")]
    Goodbye {
        /// Its words.
        reason: String,
        /// The leader, if it is another one.
        leader: String,
    },
    /// It speaks another schema.
    #[error(
        "the controller ({version}) speaks schema {schema}, this node {SCHEMA}: what was there before is served until both \
         are of one version"
    )]
    Schema {
        /// The controller's.
        schema: u32,
        /// Version of its program.
        version: String,
    },
    /// It led once, and another one has led since.
    #[error("a controller that led before the present one (term {term}, known is {known}) is not followed")]
    Stale {
        /// Its term.
        term: u64,
        /// The newest term that was seen.
        known: u64,
    },
}

/// The newest term of a leader that this node has seen.
///
/// A leader that was replaced may not know it yet: it is not followed. It knows after the time that its Lease lasts, so a
/// lower term that comes later is no old leader's, but one of a Lease that was made anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    newest: u64,
    heard: Option<Instant>,
}

impl Terms {
    fn admit(&mut self, term: u64) -> Result<(), FollowError> {
        let may_be_old = self.heard.is_some_and(|heard| heard.elapsed() < STALE_TIMEOUT);
        if term < self.newest && may_be_old {
            return Err(FollowError::Stale { term, known: self.newest });
        }
        self.newest = term;
        self.hears();
        Ok(())
    }

    fn hears(&mut self) {
        self.heard = Some(Instant::now());
    }

    /// The newest term; 0 before the first leader.
    pub fn newest(&self) -> u64 {
        self.newest
    }
}

/// This node to its controllers.
#[derive(Clone)]
pub struct Identity {
    /// Its name.
    pub node: String,
    /// Version of its program.
    pub version: String,
    /// Token that proves the name; empty where the kernel tells who this is.
    pub token: String,
    /// Socket addresses at which it answers probes of other nodes.
    pub probe_at: Vec<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("node", &self.node)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The receiver of what arrives.
pub trait Follower {
    /// A controller is there.
    fn welcomed(&mut self, version: &str);

    /// Anything came: the controller is there, and what it had is here.
    fn hears(&mut self);

    /// The state in `replica` is a whole.
    fn committed(&mut self, replica: &Replica);

    /// The controller asks whether another node is reached; what is put into `answers` is said. By default it gets no
    /// answer.
    fn asked(&mut self, probe: Probe, answers: &mpsc::Sender<Probed>) {
        let _ = (probe, answers);
    }
}

/// Follows a controller over a connection until it ends. `terms` outlives it. Whatever comes
/// into `acks` is said, the newest only; `None` says that this node serves no more.
///
/// # Errors
/// The reason for the end, always.
pub async fn follow<S: AsyncRead + AsyncWrite>(
    stream: S,
    identity: &Identity,
    replica: &mut Replica,
    terms: &mut Terms,
    acks: &mut watch::Receiver<Option<Ack>>,
    follower: &mut impl Follower,
) -> FollowError {
    let ended = run(stream, identity, replica, terms, acks, follower).await;
    let Err(error) = ended;
    if matches!(error, FollowError::Replica(_)) {
        replica.forget();
    }
    error
}

async fn run<S: AsyncRead + AsyncWrite>(
    stream: S,
    identity: &Identity,
    replica: &mut Replica,
    terms: &mut Terms,
    acks: &mut watch::Receiver<Option<Ack>>,
    follower: &mut impl Follower,
) -> Result<std::convert::Infallible, FollowError> {
    let (reader, writer) = tokio::io::split(stream);
    let mut reader = Reader::new(Box::pin(reader), MAX_DOWN);
    let mut writer = Box::pin(writer);
    write(&mut writer, UpFrame::Hello(hello(identity, replica))).await?;
    let (mut alive, mut heard, mut welcomed) = (interval(ALIVE_INTERVAL), Instant::now(), false);
    acks.mark_unchanged();
    let (answers, mut answered) = mpsc::channel(ANSWERS);
    loop {
        tokio::select! {
            bytes = reader.next_bytes() => {
                heard = Instant::now();
                follower.hears();
                if welcomed {
                    terms.hears();
                }
                let bytes = bytes?.ok_or(FollowError::Ended)?;
                let down: Down = prost::Message::decode(bytes.clone()).map_err(ReadError::from)?;
                match down.frame {
                    Some(DownFrame::Welcome(welcome)) => {
                        if welcome.schema != SCHEMA {
                            let (schema, version) = (welcome.schema, welcome.version);
                            return Err(FollowError::Schema { schema, version });
                        }
                        terms.admit(welcome.term)?;
                        welcomed = true;
                        replica.begin(welcome.epoch);
                        follower.welcomed(&welcome.version);
                    }
                    Some(DownFrame::Goodbye(goodbye)) => {
                        return Err(FollowError::Goodbye { reason: goodbye.reason, leader: goodbye.leader });
                    }
                    Some(DownFrame::Probe(probe)) => follower.asked(probe, &answers),
                    Some(DownFrame::Alive(_)) | None => {}
                    Some(frame) => {
                        if replica.take(frame, &bytes)?.is_some() {
                            follower.committed(replica);
                        }
                    }
                }
            }
            Ok(()) = acks.changed() => {
                let ack = acks.borrow_and_update().clone();
                write(&mut writer, ack.map_or(UpFrame::Leaving(Leaving {}), UpFrame::Ack)).await?;
            }
            Some(probed) = answered.recv() => write(&mut writer, UpFrame::Probed(probed)).await?,
            () = sleep_until(heard + SILENCE_TIMEOUT) => return Err(FollowError::Silent),
            _ = alive.tick() => write(&mut writer, UpFrame::Alive(Alive {})).await?,
        }
    }
}

fn hello(identity: &Identity, replica: &Replica) -> Hello {
    let position = replica.position();
    Hello {
        schema: SCHEMA,
        version: identity.version.clone(),
        node: identity.node.clone(),
        knows: replica.capabilities().names().to_vec(),
        epoch: position.epoch,
        at: position.version,
        buckets: position.buckets,
        token: identity.token.clone(),
        probe_at: identity.probe_at.clone(),
    }
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, frame: UpFrame) -> Result<(), FollowError> {
    let bytes = codec::encode(&Up::from(frame));
    let writing = async {
        writer.write_all(&bytes).await?;
        writer.flush().await
    };
    timeout(WRITE_TIMEOUT, writing).await.map_err(|_| FollowError::Silent)?.map_err(Into::into)
}
