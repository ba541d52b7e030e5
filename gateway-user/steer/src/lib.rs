//! Steering: the way of each connection to one of the workers.
//!
//! [`Steering::open`] loads the kernel programs, or, where that is not possible or not wanted, falls back to
//! plain `SO_REUSEPORT` sockets and says why. Then, for each published configuration:
//!
//! 1. [`Steering::check`] names the binds that must not be taken, each with a reason; the caller
//!    leaves them out.
//! 2. [`Steering::prepare`] gives the sockets that workers need for new binds (with eBPF there are none).
//! 3. [`Steering::retiring`] gives the sockets that workers close, having accepted what they hold.
//! 4. [`Steering::apply`] makes the plan what the kernel does.
//!
//! A process that replaces another one uses [`Steering::take_over`] instead, and
//! [`Steering::finish_takeover`] at the end.
//!
//! Everything specific to aya stays inside this crate. See `docs/steering.md` for how it behaves on a node.
#![deny(unsafe_code)]

mod address_check;
mod announce;
mod bpf;
mod check;
mod counters;
mod datagrams;
mod ebpf;
mod error;
mod gauge;
mod helper;
mod lent;
mod local;
mod object;
mod options;
mod pins;
mod placeholder;
mod plan;
mod programs;
mod raw;
mod received;
mod reuseport;
mod sockets;
mod steering;

pub use address_check::{AddressCheck, Hardware};
pub use announce::announce;
pub use check::{Rejection, RejectionReason};
pub use counters::Counters;
pub use error::SteerError;
pub use gateway_common::{LAYOUT_VERSION, Verdict};
pub use gauge::Gauge;
pub use helper::{BindWay, EnterStandBy, Helper, LentDescriptors, bind_for, bind_udp_for};
pub use lent::{LendOptions, LentPrograms};
pub use local::without_ipv6;
pub use options::{DEFAULT_BPFFS, RESERVED_PORTS, SteerOptions, SteeringMode};
pub use pins::{CleanupReport, cleanup};
pub use placeholder::PlaceholderState;
pub use plan::{SteerBind, SteerPlan};
pub use steering::{Applied, FinishedTakeover, Inherited, PinState, Prepared, Steering, SteeringPath};
