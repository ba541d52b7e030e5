//! The stream between a controller and its nodes over sockets: who may connect, when to connect again, and what is kept on
//! disk. What is said is [`gateway_sync`]'s.

pub(crate) mod ack;
pub(crate) mod evidence;
mod follow;
mod keep;
mod listen;
mod loss;
mod nodes;
mod probe;
mod remote;
mod teller;

pub use follow::{FollowOptions, Following, follow};
pub use keep::KeepOptions;
pub use listen::{ListenOptions, LocalOptions, NetworkOptions, StreamServer, listen};
pub use loss::LossCounts;
pub use nodes::{NodeLine, Nodes};
pub use probe::ProbeAnswers;
pub use remote::{ControllerAddress, NetworkAddress};
pub use teller::StreamState;
