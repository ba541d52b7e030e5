//! The stream from a controller to its nodes: what is to be served, as differences by key.
//!
//! A [`Table`](table::Table) holds one item for each listener, route, cluster, certificate, Gateway and address, encoded
//! once for all nodes, and the version in which each was changed last. A node's connection is a cursor into those versions
//! ([`server`]): what is written for a slow node is the newest value of each key, never a queue. The node puts items
//! together again ([`Replica`](replica::Replica)), and a [`Commit`](frame::Commit) makes a whole of them.
//!
//! A node is told only what the Gateways need that are served there ([`scope`]).
//!
//! Items say which capabilities they need ([`capability`]). A node that lacks one serves the item closed: 500 with a reason
//! for a rule, no listener for a listener; never the item without the part that it does not know.
#![forbid(unsafe_code)]

pub mod bucket;
pub mod capability;
pub mod client;
pub mod codec;
pub mod frame;
pub mod item;
pub mod key;
mod reach;
pub mod replica;
pub mod scope;
pub mod server;
pub mod stored;
pub mod table;

/// Number of the meaning of frames and items. A node that is told another one keeps serving what it has.
pub const SCHEMA: u32 = 1;
