//! The HTTP/1.1 codec (RFC 9110, RFC 9112).
//!
//! `httparse` finds the tokens; the rules about framing, hosts, targets and line ends are ours and are
//! strict: a message that two recipients could read differently is refused, never repaired. The accepted,
//! refused and normalised forms are listed in `docs/http.md`.
//!
//! A request on its way through:
//!
//! 1. [`RequestHead::parse`] over the bytes received so far, then [`RequestHead::view`] for the accessors.
//! 2. [`path::normalize`] for the path that routes are matched on.
//! 3. Filters write into [`HeadEdits`].
//! 4. [`encode::request`] writes the head for the backend; [`BodyDecoder`] reads the body, [`encode::ChunkSize`] and
//!    [`encode::last_chunk`] frame it anew.
//! 5. [`ResponseHead::parse`] and [`encode::response`] do the same on the way back; [`encode::local_reply`] writes a local
//!    reply.

mod diagnose;
mod error;
mod fields;
mod framing;
mod limits;
mod partial_head;
mod scan;
mod target;

pub mod body;
pub mod encode;
pub mod request;
pub mod response;

pub use crate::head::{EditError, Field, Fields, FieldsIter, HeadEdits, Version};
pub use gateway_grammar::names::{is_end_to_end, is_forbidden_trailer};
pub use gateway_grammar::token::{eq_ignore_case, list};
pub use gateway_grammar::{Authority, FieldId, Method, Scheme, path, status};

pub use body::{BodyDecoder, BodyStep};
pub use error::{BodyError, FieldError, RequestError, ResponseError};
pub(crate) use fields::Slot;
pub use framing::BodyFraming;
pub use limits::{BodyLimits, HeadLimits};
pub use partial_head::PartialHead;
pub use request::{Request, RequestHead};
pub use response::{Response, ResponseHead};
pub use scan::Parsed;
