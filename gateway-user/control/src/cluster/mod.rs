//! What Sluice writes into a cluster: the status of every object that is ours to judge.
//!
//! Every node says in a NodeReport what it serves; one of them, by a Lease, writes what that makes of the status.
//! [`plan`] and [`change`] are pure: status, reports and what the server was seen to hold in, patches out.

pub mod change;
pub mod op;
pub mod plan;
mod seen;

pub use seen::Seen;
