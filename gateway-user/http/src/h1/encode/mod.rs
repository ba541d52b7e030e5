//! Writing heads, chunk lines and local replies.
//!
//! Framing and connection fields are always ours: whatever framing or hop-by-hop field came in is left out,
//! and one that says what we do is written.

mod chunk;
mod fields;
mod local_reply;
mod request;
mod response;
mod sink;

pub use gateway_grammar::names::REASON_HEADER;

pub use chunk::{CHUNK_END, ChunkSize, LAST_CHUNK, last_chunk};
pub use local_reply::{CONTINUE, LocalReply, local_reply};
pub use request::{RequestOptions, request};
pub use response::{Persistence, ResponseOptions, response};
pub use sink::{Full, HeadSink, SliceSink};
