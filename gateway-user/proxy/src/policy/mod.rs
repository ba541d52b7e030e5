//! Filters that decide about requests: each may respond by itself, and write fields of its own into whatever response the
//! request gets. One file per filter.

mod cors;
mod mirror;
mod own_fields;
pub(crate) mod retry;

pub use cors::admit as admit_cors;
pub(crate) use mirror::Mirrors;
pub use own_fields::OwnFields;

use crate::Reason;

/// The step that follows a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOutcome {
    /// The next filter, or the backend.
    Continue,
    /// A local reply, with the filter's fields. Nothing is sent to a backend.
    Reply(Reason),
}
