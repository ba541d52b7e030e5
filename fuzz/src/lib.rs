//! What the targets share: our own way from received to forwarded octets, and other people's readers of HTTP/1.1.
#![forbid(unsafe_code)]

pub mod forward;
pub mod readers;
