//! The control plane's inputs and outputs: sources of resources, the store, publishing and status.
//!
//! [`source::file`] reads and watches a directory, [`source::kube`] a cluster; [`store`] keeps the last good
//! version of every object, and [`last_good`] those that a successor could not read; [`reconcile`] takes the
//! resulting view through translate, compile, publish and steer; [`view`] is what others may know about it.
//! [`engine`] runs all of that on a thread of its own.
#![forbid(unsafe_code)]

pub mod addresses;
mod backoff;
pub mod cluster;
pub mod engine;
pub mod expiry;
mod expressions;
mod held_ports;
pub mod kept;
mod kube_watch;
pub mod last_good;
pub mod log_deduplicator;
pub mod own_ports;
mod plan;
mod priority;
pub mod publish;
pub mod reconcile;
pub mod source;
pub mod status;
pub mod steer;
pub mod store;
pub mod stream;
pub mod trust;
pub mod view;
