//! The stream between a controller and its nodes over sockets: who may connect, when to connect again, and what is kept on
//! disk. What is said is [`gateway_sync`]'s.

pub(crate) mod ack;
mod follow;
mod keep;
mod listen;
mod nodes;
mod remote;

pub use follow::{FollowOptions, Following, StreamState, follow};
pub use keep::KeepOptions;
pub use listen::{ListenOptions, LocalOptions, NetworkOptions, StreamServer, listen};
pub use nodes::{NodeLine, Nodes};
pub use remote::{ControllerAddress, NetworkAddress};
