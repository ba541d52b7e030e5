//! Messages between the two processes. One message is one packet of JSON; descriptors travel beside it, one
//! for each item, in order.
//!
//! Fields, items and messages that the receiver does not know are passed over, and the descriptors of such
//! items closed: that is how newer versions add something that older ones can do without. A change that they
//! cannot do without is a new [`PROTOCOL`]. Both sides say which range of versions they speak, and the newest
//! one in common is spoken.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::flow_record::FlowRecord;
use super::injected;

/// Newest version of everything in this file that is spoken here.
pub(super) const PROTOCOL: u32 = 1;
/// Oldest version that is spoken here.
const OLDEST: u32 = 1;

/// The versions that a process speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) oldest: u32,
    pub(super) newest: u32,
}

impl Range {
    /// Ours.
    pub(super) fn ours() -> Self {
        Self {
            oldest: injected::number("oldest").unwrap_or(OLDEST),
            newest: injected::number("protocol").unwrap_or(PROTOCOL),
        }
    }

    /// The newest version that both speak.
    pub(super) fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest {
            oldest if oldest == self.newest => write!(f, "version {oldest}"),
            oldest => write!(f, "versions {oldest} to {}", self.newest),
        }
    }
}

/// From the new process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum ClientMessage {
    /// The first message.
    Hello {
        /// Newest version that the new process speaks.
        protocol: u32,
        /// Oldest one, if it is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        oldest: Option<u32>,
        /// Sluice's version, for people.
        version: String,
        /// As the new process sees itself; in another PID namespace it means nothing.
        pid: u32,
        /// It opens an admin socket in the state directory in place of the old process's.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        admin_socket: bool,
        /// The pod that it runs in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pod: Option<String>,
        /// The user that it goes on as, if it knows of such: older ones stay who they are and leave the owner
        /// of sockets alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<u32>,
        /// It receives datagrams from the old process's sockets; others make their own beside those.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        datagrams: bool,
    },
    /// Its configuration is live and steered: the old process is to let go.
    Ready {
        /// True if it accepts from the old process's sockets. If not, handshakes that began there can only
        /// end there.
        same_sockets: bool,
        /// Flows of datagrams that it goes on with at most.
        #[serde(default, skip_serializing_if = "is_zero")]
        flows: usize,
    },
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// From the old process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum ServerMessage {
    /// Not now; says why.
    Refused {
        reason: String,
        /// It is about to end, and then the directory is free.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ends: bool,
    },
    /// Announces the items.
    Offer(Offer),
    /// Some of it, with descriptors.
    Items { items: Vec<Item> },
    /// Flows of datagrams, each with its socket, for one that is ready and takes some.
    Flows {
        /// They come in the order of their use, over each worker.
        flows: Vec<FlowRecord>,
        /// Flows that the old process keeps until they end.
        kept: usize,
    },
    /// The old process accepts nothing any more and serves no probe; the new process is the one.
    Released,
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// Announcement of the items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Version of the messages that is spoken from here on.
    #[serde(default = "first")]
    pub(crate) protocol: u32,
    /// Sluice's version of the old process.
    pub(crate) version: String,
    /// The old process, as it sees itself.
    pub(crate) pid: u32,
    /// Number of take-overs since a process was started on the directory; each has kernel objects of its own.
    pub(crate) serial: u32,
    /// True if the state directory is to be removed at the end.
    pub(crate) made: bool,
    /// Its steering.
    pub(crate) steering: Steering,
    /// Number of items that follow.
    pub(crate) items: usize,
    /// The pod that the old process runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Of old processes that do not say.
fn first() -> u32 {
    1
}

/// Steering of connections to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Steering {
    /// By kernel programs.
    Ebpf,
    /// By a socket for each bind.
    Reuseport,
}

/// Kind of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Item {
    /// The locked file of the state directory.
    Lock,
    /// The socket that new processes connect to.
    Takeover,
    /// A health, metrics or admin socket.
    Admin { address: SocketAddr },
    /// The steering socket of a worker.
    Worker { slot: usize },
    /// A worker's socket of a bind, by the address that is really bound.
    Bind { slot: usize, address: SocketAddr },
    /// A socket that is bound to an address and port that kernel programs steer, and does not listen.
    Placeholder { address: SocketAddr },
    /// A socket for datagrams, by its place in the group of its address.
    Datagrams { slot: usize, address: SocketAddr },
    /// Memory with the keys of session tickets, which older processes have of their own each.
    Tickets,
    /// Of a newer version, for something that this one does not do.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is<M: Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug>(message: M, text: &str) {
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<M>(text).unwrap(), message);
    }

    /// These texts are a promise to processes of every version that speaks version 1: never change one of
    /// them.
    #[test]
    fn version_1_is_byte_for_byte_what_it_always_was() {
        let hello = |protocol, oldest, version: &str, admin_socket| {
            let (pod, user, version) = (None, None, version.into());
            ClientMessage::Hello {
                protocol,
                oldest,
                version,
                pid: 7,
                admin_socket,
                pod,
                user,
                datagrams: false,
            }
        };
        is(hello(1, None, "0.1.0", false), r#"{"kind":"hello","protocol":1,"version":"0.1.0","pid":7}"#);
        is(
            hello(3, Some(1), "3.0.0", true),
            r#"{"kind":"hello","protocol":3,"oldest":1,"version":"3.0.0","pid":7,"admin_socket":true}"#,
        );
        is(ClientMessage::Ready { same_sockets: true, flows: 0 }, r#"{"kind":"ready","same_sockets":true}"#);
        is(
            ServerMessage::Refused { reason: "it is busy".into(), ends: false },
            r#"{"kind":"refused","reason":"it is busy"}"#,
        );
        is(ServerMessage::Released, r#"{"kind":"released"}"#);
        let offer = |steering| {
            let version = "0.1.0".into();
            ServerMessage::Offer(Offer {
                protocol: 1,
                version,
                pid: 7,
                serial: 2,
                made: true,
                steering,
                items: 9,
                pod: None,
            })
        };
        is(
            offer(Steering::Ebpf),
            r#"{"kind":"offer","protocol":1,"version":"0.1.0","pid":7,"serial":2,"made":true,"steering":"ebpf","items":9}"#,
        );
        is(
            offer(Steering::Reuseport),
            r#"{"kind":"offer","protocol":1,"version":"0.1.0","pid":7,"serial":2,"made":true,"steering":"reuseport","items":9}"#,
        );
        let (v4, v6) = ("127.0.0.1:15021".parse().unwrap(), "[::]:80".parse().unwrap());
        is(
            ServerMessage::Items {
                items: vec![
                    Item::Lock,
                    Item::Takeover,
                    Item::Admin { address: v4 },
                    Item::Worker { slot: 1 },
                    Item::Bind { slot: 0, address: v6 },
                ],
            },
            r#"{"kind":"items","items":[{"kind":"lock"},{"kind":"takeover"},{"kind":"admin","address":"127.0.0.1:15021"},{"kind":"worker","slot":1},{"kind":"bind","slot":0,"address":"[::]:80"}]}"#,
        );
        is(
            ServerMessage::Items { items: vec![Item::Placeholder { address: v6 }] },
            r#"{"kind":"items","items":[{"kind":"placeholder","address":"[::]:80"}]}"#,
        );
    }

    /// So are these, which came later and which older processes pass over.
    #[test]
    fn what_version_1_got_later_is_byte_for_byte_what_it_was_then() {
        let (version, pod, user) = ("0.1.0".to_owned(), Some("sluice-x2x4z".to_owned()), Some(65_532));
        is(
            ClientMessage::Hello {
                protocol: 1,
                oldest: None,
                version: version.clone(),
                pid: 7,
                admin_socket: true,
                pod: pod.clone(),
                user,
                datagrams: false,
            },
            r#"{"kind":"hello","protocol":1,"version":"0.1.0","pid":7,"admin_socket":true,"pod":"sluice-x2x4z","user":65532}"#,
        );
        is(
            ClientMessage::Ready { same_sockets: false, flows: 0 },
            r#"{"kind":"ready","same_sockets":false}"#,
        );
        let (serial, made, steering, items) = (2, false, Steering::Ebpf, 9);
        is(
            ServerMessage::Offer(Offer { protocol: 1, version, pid: 7, serial, made, steering, items, pod }),
            r#"{"kind":"offer","protocol":1,"version":"0.1.0","pid":7,"serial":2,"made":false,"steering":"ebpf","items":9,"pod":"sluice-x2x4z"}"#,
        );
        is(ServerMessage::Items { items: Vec::new() }, r#"{"kind":"items","items":[]}"#);
        is(
            ServerMessage::Refused { reason: "it ends".into(), ends: true },
            r#"{"kind":"refused","reason":"it ends","ends":true}"#,
        );
        let first = r#"{"kind":"offer","version":"0.1.0","pid":7,"serial":2,"made":true,"steering":"ebpf","items":9}"#;
        let ServerMessage::Offer(offer) = serde_json::from_str(first).unwrap() else { panic!("an offer") };
        assert_eq!((offer.protocol, offer.pod), (1, None), "the first versions did not say");
        is(
            ServerMessage::Items { items: vec![Item::Tickets] },
            r#"{"kind":"items","items":[{"kind":"tickets"}]}"#,
        );
        let address = "[::]:53".parse().unwrap();
        is(
            ServerMessage::Items { items: vec![Item::Datagrams { slot: 1, address }] },
            r#"{"kind":"items","items":[{"kind":"datagrams","slot":1,"address":"[::]:53"}]}"#,
        );
        is(
            ClientMessage::Ready { same_sockets: true, flows: 9 },
            r#"{"kind":"ready","same_sockets":true,"flows":9}"#,
        );
        let (version, pod, user) = ("0.1.0".to_owned(), None, None);
        let (protocol, oldest, pid, admin_socket, datagrams) = (1, None, 7, false, true);
        is(
            ClientMessage::Hello { protocol, oldest, version, pid, admin_socket, pod, user, datagrams },
            r#"{"kind":"hello","protocol":1,"version":"0.1.0","pid":7,"datagrams":true}"#,
        );
    }

    #[test]
    fn what_a_newer_version_adds_is_passed_over() {
        let hello = r#"{"kind":"hello","protocol":2,"oldest":1,"version":"2","pid":7,"more":[1]}"#;
        let hello: ClientMessage = serde_json::from_str(hello).unwrap();
        let (version, admin_socket, pod, user) = ("2".into(), false, None, None);
        let expected = ClientMessage::Hello {
            protocol: 2,
            oldest: Some(1),
            version,
            pid: 7,
            admin_socket,
            pod,
            user,
            datagrams: false,
        };
        assert_eq!(hello, expected);
        assert_eq!(
            serde_json::from_str::<ClientMessage>(r#"{"kind":"gimme","x":{}}"#).unwrap(),
            ClientMessage::Unknown
        );
        assert_eq!(
            serde_json::from_str::<ServerMessage>(r#"{"kind":"take","y":1}"#).unwrap(),
            ServerMessage::Unknown
        );
        let items = r#"{"kind":"items","items":[{"kind":"lock"},{"kind":"udp","address":"[::]:53"}]}"#;
        let items: ServerMessage = serde_json::from_str(items).unwrap();
        assert_eq!(items, ServerMessage::Items { items: vec![Item::Lock, Item::Unknown] });
    }

    #[test]
    fn the_newest_version_in_common_is_spoken() {
        let range = |oldest, newest| Range { oldest, newest };
        assert_eq!(range(1, 1).common(range(1, 1)), Some(1));
        assert_eq!(range(1, 1).common(range(1, 3)), Some(1));
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(1, 1).common(range(2, 2)), None);
        assert_eq!(range(3, 4).common(range(1, 2)), None);
        assert_eq!(
            (range(1, 1).to_string(), range(1, 3).to_string()),
            ("version 1".into(), "versions 1 to 3".into())
        );
    }
}
