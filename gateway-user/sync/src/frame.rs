//! Frames of both directions, as protobuf messages behind their length (see [`crate::codec`]).
//!
//! Fields are added, never given another meaning. Readers ignore fields that they do not know, so what must not be ignored
//! is said in `needs`, or by another [`crate::SCHEMA`].

use bytes::Bytes;
use prost::Message;

/// From a node to its controller.
#[derive(Clone, PartialEq, Message)]
pub struct Up {
    /// One of them.
    #[prost(oneof = "UpFrame", tags = "1, 2, 3, 4, 5")]
    pub frame: Option<UpFrame>,
}

/// Frames of a node.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum UpFrame {
    /// The first one.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// The outcome of a commit.
    #[prost(message, tag = "2")]
    Ack(Ack),
    /// The node is there.
    #[prost(message, tag = "3")]
    Alive(Alive),
    /// The node serves no more, and no other process does in its place.
    #[prost(message, tag = "4")]
    Leaving(Leaving),
    /// The outcome of a probe.
    #[prost(message, tag = "5")]
    Probed(Probed),
}

/// From a controller to a node.
#[derive(Clone, PartialEq, Message)]
pub struct Down {
    /// One of them.
    #[prost(oneof = "DownFrame", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub frame: Option<DownFrame>,
}

/// Frames of a controller.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum DownFrame {
    /// The first one, unless it is a goodbye.
    #[prost(message, tag = "1")]
    Welcome(Welcome),
    /// All items of a bucket are gone; those that are not follow.
    #[prost(message, tag = "2")]
    Clear(Clear),
    /// An item is new or different.
    #[prost(message, tag = "3")]
    Put(Put),
    /// An item is gone.
    #[prost(message, tag = "4")]
    Delete(Delete),
    /// The frames before make a whole.
    #[prost(message, tag = "5")]
    Commit(Commit),
    /// The connection ends.
    #[prost(message, tag = "6")]
    Goodbye(Goodbye),
    /// The controller is there.
    #[prost(message, tag = "7")]
    Alive(Alive),
    /// The controller asks whether another node is reached.
    #[prost(message, tag = "8")]
    Probe(Probe),
}

/// A node's identity and state.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Hello {
    /// [`crate::SCHEMA`] of the node.
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// Version of its program, for people.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Name of the node. Counts only where nothing better tells it.
    #[prost(string, tag = "3")]
    pub node: String,
    /// Capabilities that it has.
    #[prost(string, repeated, tag = "4")]
    pub knows: Vec<String>,
    /// The controller process that the node's state is from; 0 with none.
    #[prost(fixed64, tag = "5")]
    pub epoch: u64,
    /// Version of that state.
    #[prost(uint64, tag = "6")]
    pub at: u64,
    /// Digests of its buckets, 16 bytes each ([`crate::bucket`]); empty for a node that has nothing.
    #[prost(bytes = "bytes", tag = "7")]
    pub buckets: Bytes,
    /// Token that proves the node's name, over a network; empty where the kernel tells who it is.
    #[prost(string, tag = "8")]
    pub token: String,
    /// Socket addresses at which it answers probes of other nodes.
    #[prost(string, repeated, tag = "9")]
    pub probe_at: Vec<String>,
}

/// Not the token.
impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("schema", &self.schema)
            .field("version", &self.version)
            .field("node", &self.node)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// The outcome of a version on a node.
#[derive(Clone, PartialEq, Message)]
pub struct Ack {
    /// The version.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// The node's own number of what is live.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    /// Gateways that it serves, with their digests.
    #[prost(message, repeated, tag = "3")]
    pub gateways: Vec<ServedGateway>,
    /// Binds that it does not serve: JSON of the report.
    #[prost(bytes = "bytes", tag = "4")]
    pub refused: Bytes,
    /// Addresses at which clients reach it.
    #[prost(string, repeated, tag = "5")]
    pub addresses: Vec<String>,
    /// Items that need what it does not know, 100 at most.
    #[prost(message, repeated, tag = "6")]
    pub closed: Vec<Closed>,
    /// All of them.
    #[prost(uint64, tag = "7")]
    pub closed_total: u64,
    /// Error that keeps the version from being live.
    #[prost(string, tag = "8")]
    pub error: String,
    /// ListenerSets that it serves, with their digests.
    #[prost(message, repeated, tag = "9")]
    pub listener_sets: Vec<ServedGateway>,
}

/// A Gateway, or a ListenerSet, that is served.
#[derive(Clone, PartialEq, Message)]
pub struct ServedGateway {
    /// Its namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Digest of what is served of it.
    #[prost(string, tag = "3")]
    pub digest: String,
}

/// An item, or a part of one, that a node serves closed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Closed {
    /// Kind of the item.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The capability that is missing.
    #[prost(string, tag = "3")]
    pub needs: String,
}

/// Sign of life.
#[derive(Clone, PartialEq, Message)]
pub struct Alive {}

/// The end of a node.
#[derive(Clone, PartialEq, Message)]
pub struct Leaving {}

/// A question about another node.
#[derive(Clone, PartialEq, Message)]
pub struct Probe {
    /// Number of the question.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Socket addresses at which that node answers probes; one of them is enough.
    #[prost(string, repeated, tag = "2")]
    pub targets: Vec<String>,
    /// Number that the datagrams carry, and their responses.
    #[prost(fixed64, tag = "3")]
    pub nonce: u64,
}

/// The answer to that.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Probed {
    /// Number of the question.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// True if the other node responded.
    #[prost(bool, tag = "2")]
    pub reached: bool,
}

/// A controller's identity.
#[derive(Clone, PartialEq, Message)]
pub struct Welcome {
    /// [`crate::SCHEMA`] of the controller.
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// Version of its program, for people.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Number of this controller process: versions of another one have nothing to do with its own.
    #[prost(fixed64, tag = "3")]
    pub epoch: u64,
    /// Changes of the Lease's holder when this controller came to lead: a node follows no older leader.
    #[prost(uint64, tag = "4")]
    pub term: u64,
}

/// A bucket whose items are all gone.
#[derive(Clone, PartialEq, Message)]
pub struct Clear {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub bucket: u32,
}

/// An item.
#[derive(Clone, PartialEq, Message)]
pub struct Put {
    /// Kind of the item.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Capabilities without which nothing of it may be served.
    #[prost(string, repeated, tag = "3")]
    pub needs: Vec<String>,
    /// The item, as its kind has it ([`crate::item`]).
    #[prost(bytes = "bytes", tag = "4")]
    pub value: Bytes,
}

/// An item that is gone.
#[derive(Clone, PartialEq, Message)]
pub struct Delete {
    /// Kind of the item.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// The end of what makes a whole.
#[derive(Clone, PartialEq, Message)]
pub struct Commit {
    /// Version of the whole.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// Number of items in it.
    #[prost(uint64, tag = "2")]
    pub items: u64,
}

/// The reason for an end.
#[derive(Clone, PartialEq, Message)]
pub struct Goodbye {
    /// For people.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// The leader, if this controller is not it.
    #[prost(string, tag = "2")]
    pub leader: String,
}

impl From<UpFrame> for Up {
    fn from(frame: UpFrame) -> Self {
        Self { frame: Some(frame) }
    }
}

impl From<DownFrame> for Down {
    fn from(frame: DownFrame) -> Self {
        Self { frame: Some(frame) }
    }
}
