//! Heads of HTTP/2 (RFC 9113 section 8), as the `h2` crate hands them over.
//!
//! A request is written as HTTP/1.1 text and read by [`crate::h1::RequestHead`], so that there is one grammar, one set
//! of limits and one place for every rule about hosts, targets and framing: what this gateway takes by HTTP/2 is what
//! it would take by HTTP/1.1, and no head can mean one thing here and another to a backend. What the text cannot say,
//! or what RFC 9113 forbids beyond it, is refused while it is written: see [`write_request`]. A backend's response goes the same
//! way: see [`write_response`].

mod request;
mod response;
mod trailers;
mod upstream_request;
mod upstream_response;

pub use request::{Connect, write_request};
pub use response::response;
pub use trailers::{read_trailers, write_trailers};
pub use upstream_request::{upstream_connect, upstream_request};
pub use upstream_response::{write_response, write_switch};
