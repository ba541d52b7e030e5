//! What the two processes say to each other. One message is one packet of JSON; descriptors travel beside it, one for each
//! item, in order. A message that one of them does not know ends the take-over, and the giver serves on.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Version of everything in this file. Giver and taker must agree on it.
pub(super) const PROTOCOL: u32 = 1;

/// From the taker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum FromTaker {
    /// The first message.
    Hello {
        protocol: u32,
        /// Sluice's version, for people.
        version: String,
        /// As the taker sees itself; in another PID namespace it means nothing.
        pid: u32,
    },
    /// Its configuration is live and steered: the giver is to let go.
    Ready {
        /// Whether it accepts from the giver's sockets. If not, handshakes that began there can only end there.
        same_sockets: bool,
    },
}

/// From the giver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum FromGiver {
    /// Not now; says why.
    Refused { reason: String },
    /// What will come.
    Offer(Offer),
    /// Some of it, with descriptors.
    Items { items: Vec<Item> },
    /// The giver accepts nothing any more and serves no probe; the taker is the one.
    Released,
}

/// What is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Sluice's version of the giver.
    pub(crate) version: String,
    /// The giver, as it sees itself.
    pub(crate) pid: u32,
    /// How many take-overs there were since a process was started on the directory; each has kernel objects of its own.
    pub(crate) serial: u32,
    /// Whether the state directory is to be removed at the end.
    pub(crate) made: bool,
    /// How it steers.
    pub(crate) steering: Steering,
    /// How many items follow.
    pub(crate) items: usize,
}

/// How connections reach workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Steering {
    /// By kernel programs.
    Ebpf,
    /// By a socket for each bind.
    Reuseport,
}

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Item {
    /// The locked file of the state directory.
    Lock,
    /// The socket that takers connect to.
    Takeover,
    /// A health, metrics or admin socket.
    Admin { address: SocketAddr },
    /// The steering socket of a worker.
    Worker { slot: usize },
    /// A worker's socket of a bind, by the address that is really bound.
    Bind { slot: usize, address: SocketAddr },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_what_the_other_version_expects() {
        let text = |message: &FromGiver| serde_json::to_string(message).unwrap();
        let items = FromGiver::Items { items: vec![Item::Lock, Item::Worker { slot: 1 }] };
        assert_eq!(text(&items), r#"{"kind":"items","items":[{"kind":"lock"},{"kind":"worker","slot":1}]}"#);
        let bind = Item::Bind { slot: 0, address: "[::]:80".parse().unwrap() };
        assert_eq!(serde_json::to_string(&bind).unwrap(), r#"{"kind":"bind","slot":0,"address":"[::]:80"}"#);
        assert_eq!(text(&FromGiver::Released), r#"{"kind":"released"}"#);
        let hello = r#"{"kind":"hello","protocol":1,"version":"0.1.0","pid":7,"more":true}"#;
        let hello: FromTaker = serde_json::from_str(hello).unwrap();
        assert_eq!(hello, FromTaker::Hello { protocol: 1, version: "0.1.0".into(), pid: 7 });
        assert!(serde_json::from_str::<FromTaker>(r#"{"kind":"gimme"}"#).is_err());
    }
}
