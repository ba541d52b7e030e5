//! A test of proxies: an open-loop client that verifies every response, and the backend it
//! verifies them with.
//!
//! Client ([`load`]) and backend ([`backend`]) are two processes with a proxy between them. Each request
//! carries an id of its own twice, in a header field and in its target; bodies are byte sequences that follow
//! from the id. So a response that is cut, mixed up, altered or made for somebody else cannot pass, and the
//! backend, which remembers ids, knows of a request that arrived twice.
//!
//! The gateway's own crates are used nowhere here: a client that shared its HTTP code would share its mistakes.
#![forbid(unsafe_code)]

pub mod abusers;
pub mod backend;
pub mod datagrams;
pub mod echo;
pub mod handshakes;
pub mod hold;
pub mod id;
pub mod load;
pub mod pacer;
pub mod pattern;
pub mod report;
mod response_length;
pub mod timed;
pub mod unresponsive;
