//! The side that starts: asks for the sockets, makes its configuration live, and says so.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gateway_control::view::View;
use gateway_steer::Inherited;
use tokio::sync::watch;
use tracing::warn;

use super::channel::Channel;
use super::is_planted;
use super::message::{FromGiver, FromTaker, Item, Offer, PROTOCOL, Steering};
use crate::cmd::version::VERSIONS;

/// For each message with sockets; the first one waits until the giver has collected them.
const RECEIVING: Duration = Duration::from_secs(60);
/// For our first configuration to be live.
const LIVE: Duration = Duration::from_secs(120);
/// For the giver to let go.
const RELEASE: Duration = Duration::from_secs(60);

/// A connection to the process that is being taken over from.
#[derive(Debug)]
pub(crate) struct Taker {
    channel: Channel,
    offer: Offer,
    begun: Instant,
}

/// What came along.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) lock: Option<File>,
    pub(crate) takeover: Option<OwnedFd>,
    pub(crate) admin: Vec<TcpListener>,
    pub(crate) steering: Inherited,
}

/// How asking ended.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It hands over.
    Offered(Taker, Received),
    /// Nobody listens, or it went away while it spoke: whether the directory is free may be tried again.
    Nobody,
    /// It does not; says why.
    Refused(String),
}

/// Whom a process took over from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TookOver {
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// From asking to being the only one.
    pub(crate) took: Duration,
}

/// Asks whoever listens at `path` to hand over.
pub(crate) fn ask(path: &Path) -> Asked {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};

    let begun = Instant::now();
    let asked = Channel::connect(path).and_then(|channel| {
        let (version, pid) = (VERSIONS.version.to_owned(), std::process::id());
        channel.send(&FromTaker::Hello { protocol: PROTOCOL, version, pid }, &[])?;
        let offer = match channel.receive(RECEIVING)? {
            (FromGiver::Offer(offer), _) => offer,
            (FromGiver::Refused { reason }, _) => return Ok(Asked::Refused(reason)),
            _ => return Ok(Asked::Refused("it does not begin with an offer".to_owned())),
        };
        let mut received = Received::default();
        let mut count = 0;
        while count < offer.items {
            let (FromGiver::Items { items }, descriptors) = channel.receive(RECEIVING)? else {
                return Ok(Asked::Refused("it does not send what it offered".to_owned()));
            };
            if items.is_empty() || items.len() != descriptors.len() {
                return Ok(Asked::Refused(
                    "descriptors are missing; is the limit of open files too low?".to_owned(),
                ));
            }
            count += items.len();
            for (item, descriptor) in items.into_iter().zip(descriptors) {
                received.add(item, descriptor)?;
            }
        }
        received.sort();
        Ok(Asked::Offered(Taker { channel, offer, begun }, received))
    });
    match asked {
        Ok(asked) => asked,
        Err(e)
            if matches!(
                e.kind(),
                NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof
            ) =>
        {
            Asked::Nobody
        }
        Err(error) => Asked::Refused(error.to_string()),
    }
}

impl Received {
    fn add(&mut self, item: Item, descriptor: OwnedFd) -> io::Result<()> {
        match item {
            Item::Lock => self.lock = Some(File::from(descriptor)),
            Item::Takeover => self.takeover = Some(descriptor),
            Item::Admin { address } => self.admin.push(listening(descriptor, Some(address))?),
            Item::Worker { .. } => self.steering.workers.push(listening(descriptor, None)?),
            Item::Bind { address, .. } => self.steering.binds.push(listening(descriptor, Some(address))?),
        }
        Ok(())
    }

    /// The giver sends sockets of one kind and address in the order of slots; what is stable here keeps it.
    fn sort(&mut self) {
        self.admin.sort_by_key(|socket| socket.local_addr().ok());
    }

    /// The received socket with this address, if there is one.
    pub(crate) fn take_admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.admin.iter().position(|socket| socket.local_addr().ok() == Some(address))?;
        Some(self.admin.swap_remove(at))
    }
}

/// A TCP socket that listens, and where it is said to.
fn listening(descriptor: OwnedFd, said: Option<SocketAddr>) -> io::Result<TcpListener> {
    if !rustix::net::sockopt::socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("it sent a descriptor that is no listening socket"));
    }
    let socket = TcpListener::from(descriptor);
    let address = socket.local_addr()?;
    if said.is_some_and(|said| said != address) {
        return Err(io::Error::other(format!("it sent a socket of {address} for another address")));
    }
    Ok(socket)
}

impl Taker {
    /// What is taken over.
    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Says that we serve, and waits until the giver accepts no more. A giver that has died lets go as well.
    pub(crate) fn ready(self, same_sockets: bool) -> anyhow::Result<TookOver> {
        let Offer { pid, version, .. } = self.offer;
        let gone = |error: &io::Error| {
            use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
            matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
        };
        // Whether it is still heard or not, the giver's last word tells what became of the offer.
        let _ = self.channel.send(&FromTaker::Ready { same_sockets }, &[]);
        match self.channel.receive(RELEASE) {
            Ok((FromGiver::Released, _)) => {}
            Ok((FromGiver::Refused { reason }, _)) => {
                bail!("sluice (pid {pid}) took its offer back: {reason}")
            }
            Ok(_) => bail!("sluice (pid {pid}) answers ready with something unknown"),
            Err(error) if gone(&error) => warn!("sluice (pid {pid}) went away while it handed over"),
            Err(error) => return Err(error).with_context(|| format!("sluice (pid {pid}) does not let go")),
        }
        Ok(TookOver { pid, version, took: self.begun.elapsed() })
    }
}

/// Waits until the first configuration is live and steered.
///
/// # Errors
/// It is not within the limit.
pub(crate) async fn live(taker: &Taker, mut view: watch::Receiver<Arc<View>>) -> anyhow::Result<()> {
    let live = async { view.wait_for(|view| view.live.is_some()).await.map(drop) };
    match tokio::time::timeout(LIVE, live).await {
        Ok(Ok(())) if is_planted("live") => std::future::pending().await,
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => bail!("the compiler thread ended unexpectedly"),
        Err(_) => {
            let trouble = view.borrow().trouble.clone();
            let trouble = trouble.unwrap_or_else(|| "compiling takes too long".to_owned());
            let (limit, pid) = (LIVE.as_secs(), taker.offer.pid);
            bail!("no configuration is live after {limit}s, so sluice (pid {pid}) serves on: {trouble}");
        }
    }
}

impl Offer {
    /// Whether we accept from the giver's sockets, steering like this.
    pub(crate) fn shares_sockets(&self, path: &gateway_steer::SteeringPath) -> bool {
        self.steering == Steering::of(path)
    }
}

impl Steering {
    /// How it is called.
    pub(crate) fn of(path: &gateway_steer::SteeringPath) -> Self {
        match path {
            gateway_steer::SteeringPath::Ebpf { .. } => Self::Ebpf,
            gateway_steer::SteeringPath::ReusePort { .. } => Self::Reuseport,
        }
    }
}
