//! Heads as routing, filters and the access log see them, whatever the protocol.
//!
//! [`RequestParts`] and [`ResponseParts`] are heads over borrowed bytes, [`Fields`] the lines of any head, and
//! [`HeadEdits`] what filters change in one. Each codec makes parts of its own heads
//! ([`crate::h1::Request::parts`]) and applies edits while it encodes.

mod edits;
mod fields;
mod parts;
mod version;

pub use edits::{EditError, HeadEdits, OwnName};
pub use fields::{Field, Fields, FieldsIter};
pub use parts::{BodyLength, RequestParts, ResponseParts};
pub use version::Version;
