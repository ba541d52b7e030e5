//! `ResponseHeaderModifier`, and the `Date` that a response must have.

use gateway_http::head::{EditError, Fields, HeadEdits};
use gateway_snapshot::Filters;

use super::apply;

/// Adds the filters' changes to the response's. A response without `Date` gets one first (RFC 9110 section 6.6.1).
pub(crate) fn edit_response(
    filters: &Filters,
    fields: Fields<'_>,
    date: impl FnOnce() -> [u8; 29],
    edits: &mut HeadEdits,
) -> Result<(), EditError> {
    if fields.get(b"date").is_none() {
        edits.set(b"date", &date())?;
    }
    filters.response.iter().try_for_each(|change| apply(edits, change))
}
