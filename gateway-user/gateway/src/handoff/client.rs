//! The side that starts: asks for the sockets, makes its configuration live, and says so.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gateway_control::view::View;
use tokio::sync::watch;
use tracing::{info, warn};

use super::Name;
use super::channel::Channel;
use super::flows::ReceivedFlows;
use super::injected::{self, limit};
use super::message::{ClientMessage, Offer, Range, ServerMessage, Steering};
use super::received::Received;

/// Limit for each message with sockets; the first one waits until the old process has collected them.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for our first configuration to be live.
const LIVE_TIMEOUT: Duration = Duration::from_secs(120);
/// Limit for the old process to let go. It will sooner or later, so waiting longer helps nobody.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to the process that is being taken over from.
#[derive(Debug)]
pub(crate) struct HandoffClient {
    channel: Channel,
    offer: Offer,
    begun: Instant,
}

/// Outcome of asking.
#[derive(Debug)]
pub(crate) enum HandoffReply {
    /// It hands over.
    Offered(HandoffClient, Box<Received>),
    /// Nobody listens, or it went away while it spoke: whether the directory is free may be tried again.
    Nobody,
    /// It closes its sockets just now and drains: the directory will be free.
    Ends,
    /// It does not; says why.
    Refused(String),
}

/// The process that this one took over from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TookOver {
    pub(crate) pid: u32,
    pub(crate) pod: Option<String>,
    pub(crate) version: String,
    /// From asking to being the only one.
    pub(crate) took: Duration,
    /// Its flows of datagrams.
    pub(crate) flows: FlowTotals,
}

/// Numbers of flows of datagrams in a hot restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowTotals {
    /// Flows that go on here, from the ports that they had.
    pub(crate) adopted: usize,
    /// Flows that were handed over and have no listener, route or endpoint any more, or no place.
    pub(crate) ended: usize,
    /// Flows that the old process keeps until they end.
    pub(crate) kept: usize,
}

/// Asks whoever listens at `path` to hand over to a process that goes on as `user`.
pub(crate) fn ask(path: &Path, user: u32) -> HandoffReply {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, TimedOut, UnexpectedEof};

    let begun = Instant::now();
    let asked = Channel::connect(path, Some(user)).and_then(|channel| {
        let (version, Name { pid, pod }) = (injected::version(), Name::own());
        let Range { oldest, newest: protocol } = Range::ours();
        let oldest = Some(oldest).filter(|oldest| *oldest != protocol);
        let (admin_socket, user) = (true, Some(user));
        let datagrams = injected::hands_datagrams_over();
        let hello =
            ClientMessage::Hello { protocol, oldest, version, pid, admin_socket, pod, user, datagrams };
        channel.send(&hello, &[])?;
        let offer = match next(&channel, limit("receive", RECEIVE_TIMEOUT))? {
            (ServerMessage::Offer(offer), _) => offer,
            (ServerMessage::Refused { ends: true, .. }, _) => return Ok(HandoffReply::Ends),
            (ServerMessage::Refused { reason, .. }, _) => return Ok(HandoffReply::Refused(reason)),
            _ => return Ok(HandoffReply::Refused("it does not begin with an offer".to_owned())),
        };
        let mut received = Received::default();
        let mut count = 0;
        while count < offer.items {
            let (ServerMessage::Items { items }, descriptors) =
                next(&channel, limit("receive", RECEIVE_TIMEOUT))?
            else {
                return Ok(HandoffReply::Refused("it does not send what it offered".to_owned()));
            };
            if items.is_empty() || items.len() != descriptors.len() {
                return Ok(HandoffReply::Refused(
                    "descriptors are missing; is the limit of open files too low?".to_owned(),
                ));
            }
            count += items.len();
            for (item, descriptor) in items.into_iter().zip(descriptors) {
                received.add(item, descriptor)?;
            }
        }
        received.sort();
        Ok(HandoffReply::Offered(HandoffClient { channel, offer, begun }, Box::new(received)))
    });
    match asked {
        Ok(asked) => asked,
        Err(e)
            if matches!(
                e.kind(),
                NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof
            ) =>
        {
            HandoffReply::Nobody
        }
        Err(error) if error.kind() == TimedOut => {
            HandoffReply::Refused("it does not respond; is it stopped, or does it hang?".to_owned())
        }
        Err(error) => HandoffReply::Refused(error.to_string()),
    }
}

/// The next message that is known here; descriptors that came with another one are closed.
fn next(channel: &Channel, limit: Duration) -> io::Result<(ServerMessage, Vec<OwnedFd>)> {
    loop {
        match channel.receive(limit)? {
            (ServerMessage::Unknown, _) => {}
            known => return Ok(known),
        }
    }
}

impl TookOver {
    /// For people.
    pub(crate) fn name(&self) -> Name {
        Name { pid: self.pid, pod: self.pod.clone() }
    }
}

impl HandoffClient {
    /// The offer.
    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Says that we are ready, and waits until the old process has let go. From the moment at which it can be
    /// heard saying so, we are the one: an old process that has died has let go, and one that hangs will as
    /// soon as it runs again. Gives the flows of datagrams that it handed over, `most` at most.
    ///
    /// # Errors
    /// The old process took its offer back, or its last message cannot be received or read.
    pub(crate) fn ready(self, same_sockets: bool, most: usize) -> anyhow::Result<(TookOver, ReceivedFlows)> {
        let Self { channel, offer: Offer { pid, pod, version, .. }, begun } = self;
        let gone = |error: &io::Error| {
            use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
            matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
        };
        // It fails once the old process has taken its offer back, which its last word then says; or if it has
        // died.
        let heard = channel.send(&ClientMessage::Ready { same_sockets, flows: most }, &[]).is_ok();
        let mut received = ReceivedFlows::at_most(most);
        match last_word(&channel, &mut received) {
            Ok((ServerMessage::Released, _)) => {}
            Ok((ServerMessage::Refused { reason, .. }, _)) => {
                bail!("sluice (pid {pid}) took its offer back: {reason}")
            }
            Ok(_) => bail!("sluice (pid {pid}) responds to ready with an unknown message"),
            Err(error) if gone(&error) => warn!("sluice (pid {pid}) went away while it handed over"),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && heard => {
                warn!(
                    "sluice (pid {pid}) hangs and has not released its sockets; it will once it runs again"
                );
                wait_beside(channel, pid)?;
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("sluice (pid {pid}) does not release its sockets"));
            }
        }
        let flows = FlowTotals::default();
        Ok((TookOver { pid, pod, version, took: begun.elapsed(), flows }, received))
    }
}

/// The message that ends a take-over, after all flows.
fn last_word(channel: &Channel, received: &mut ReceivedFlows) -> io::Result<(ServerMessage, Vec<OwnedFd>)> {
    loop {
        match next(channel, limit("release", RELEASE_TIMEOUT))? {
            (ServerMessage::Flows { flows, kept }, descriptors) => {
                received.add(flows, kept, descriptors)?;
            }
            last => return Ok(last),
        }
    }
}

/// Keeps the connection until the old process has let go or died: it tells by it that we still run.
fn wait_beside(channel: Channel, pid: u32) -> io::Result<()> {
    let waiting = move || {
        loop {
            match channel.receive(RELEASE_TIMEOUT) {
                Ok((ServerMessage::Released, _)) => {
                    return info!("sluice (pid {pid}) has released its sockets");
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(_) => return info!("sluice (pid {pid}) has ended"),
            }
        }
    };
    std::thread::Builder::new().name("sluice-letting-go".to_owned()).spawn(waiting).map(drop)
}

/// Waits until the first configuration is live and steered.
///
/// # Errors
/// It is not within the limit.
pub(crate) async fn live(
    handoff_client: &HandoffClient,
    mut view: watch::Receiver<Arc<View>>,
) -> anyhow::Result<()> {
    let live = async { view.wait_for(|view| view.live.is_some()).await.map(drop) };
    match tokio::time::timeout(LIVE_TIMEOUT, live).await {
        Ok(Ok(())) => {
            injected::stop_task_at("live").await;
            Ok(())
        }
        Ok(Err(_)) => bail!("the compiler thread ended unexpectedly"),
        Err(_) => {
            let error = view.borrow().last_error.clone();
            let error = error.unwrap_or_else(|| "compiling takes too long".to_owned());
            let (limit, pid) = (LIVE_TIMEOUT.as_secs(), handoff_client.offer.pid);
            bail!("no configuration is live after {limit}s, so sluice (pid {pid}) serves on: {error}");
        }
    }
}

impl Offer {
    /// True if we accept from the old process's sockets, steering like this.
    pub(crate) fn shares_sockets(&self, path: &gateway_steer::SteeringPath) -> bool {
        self.steering == Steering::of(path)
    }
}

impl Steering {
    /// Its name.
    pub(crate) fn of(path: &gateway_steer::SteeringPath) -> Self {
        match path {
            gateway_steer::SteeringPath::Ebpf { .. } => Self::Ebpf,
            gateway_steer::SteeringPath::ReusePort { .. } => Self::Reuseport,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsFd as _;

    use gateway_testkit::scratch::Scratch;
    use serde_json::{Value, json};

    use super::*;
    use crate::handoff::channel::listen;

    /// Says all of it to whoever comes; each message with as many descriptors of a listening socket.
    fn handoff_server(listener: &OwnedFd, messages: &[(Value, usize)]) {
        let channel = Channel::accept(listener.as_fd(), None).unwrap();
        let hello: Value = channel.receive(RECEIVE_TIMEOUT).unwrap().0;
        assert_eq!(hello["kind"], "hello");
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        for (message, descriptors) in messages {
            channel.send(message, &vec![socket.as_fd(); *descriptors]).unwrap();
        }
    }

    fn asked(messages: &[(Value, usize)]) -> HandoffReply {
        let dir = Scratch::new("handoff").unwrap();
        let listener = listen(&dir.join("s")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| handoff_server(&listener, messages));
            ask(&dir.join("s"), nix::unistd::geteuid().as_raw())
        })
    }

    fn offer(items: usize) -> (Value, usize) {
        let offer = json!({
            "kind": "offer", "protocol": 1, "version": "9", "pid": 1, "serial": 0, "made": true,
            "steering": "reuseport", "items": items, "more": "of a newer version"
        });
        (offer, 0)
    }

    #[test]
    fn messages_and_descriptors_of_a_newer_version_are_passed_over() {
        let all = [
            (json!({"kind": "weather", "sunny": true}), 1),
            offer(4),
            (
                json!({"kind": "items", "items": [{"kind": "udp", "slot": 0}, {"kind": "worker", "slot": 0}]}),
                2,
            ),
            (json!({"kind": "state", "memory": 7}), 1),
            (json!({"kind": "items", "items": [{"kind": "quic-keys"}, {"kind": "lock"}]}), 2),
        ];
        let HandoffReply::Offered(handoff_client, received) = asked(&all) else { panic!("not taken") };
        assert_eq!(handoff_client.offer().version, "9");
        assert_eq!((received.steering.workers.len(), received.lock.is_some()), (1, true));
    }

    #[test]
    fn an_old_process_that_breaks_the_protocol_is_left_alone() {
        let refused = |messages: &[(Value, usize)]| match asked(messages) {
            HandoffReply::Refused(reason) => reason,
            other => panic!("{other:?}"),
        };
        let lock = json!({"kind": "items", "items": [{"kind": "lock"}]});
        assert!(refused(&[offer(1), (lock.clone(), 0)]).contains("descriptors are missing"));
        assert!(refused(&[(lock, 1)]).contains("does not begin with an offer"));
        assert!(refused(&[offer(1), offer(1)]).contains("does not send what it offered"));
        let (mut no_steering, none) = offer(1);
        no_steering["steering"] = json!("by-magic");
        assert!(refused(&[(no_steering, none)]).contains("unknown message"));
        assert!(matches!(asked(&[offer(1)]), HandoffReply::Nobody), "it went away");
    }
}
