//! Shared parts of the targets: our own path from received to forwarded bytes, and other projects'
//! readers of HTTP/1.1.
#![forbid(unsafe_code)]

pub mod flows;
pub mod forward;
pub mod readers;
pub mod sequence;
pub mod worker;
