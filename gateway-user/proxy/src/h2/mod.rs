//! HTTP/2: connections of clients and to backends, their streams, and their end. Frames are the `h2` crate's.

pub(crate) mod backend;
mod backlog;
mod break_off;
pub(crate) mod client;
mod connection;
mod empty_data;
mod flood;
mod fragments;
mod frames;
mod hpack;
pub(crate) mod io;
mod response_sink;
pub(crate) mod response_source;
mod rest;
pub(crate) mod server;
pub(crate) mod sink;
pub(crate) mod source;
mod stream;
mod tunnel;
mod unsent;
mod uploads;
mod windows;
mod wire;
