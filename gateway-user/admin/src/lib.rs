//! Bounded HTTP servers for probes, scrapers and operators: each has a thread and a runtime of its own, so
//! that none waits for another nor for the data plane.
//!
//! A [`Server`] holds a bounded number of connections, ends those that are idle, slow or stalled, refuses
//! clients outside its networks before it reads a byte, and keeps descriptors of its own for a process that
//! has none left. [`Pages`] renders one page for all who ask for it at the same time. [`UnixSocket`] is an
//! endpoint in the file system that one process hands to the next by rename(2).
#![forbid(unsafe_code)]

mod activity;
mod body;
mod connections;
mod counters;
mod headroom;
mod hosts;
mod listener;
mod pages;
mod server;
mod spares;
mod stream;
mod unix;

pub use counters::{ClosedReason, ServerCounters};
pub use headroom::soft_limit;
pub use hosts::Hosts;
pub use listener::Listener;
pub use pages::{Page, Pages};
pub use server::{Limits, Server, serve_connection};
pub use unix::{MAX_PATH, UnixSocket, check_length, connect};
