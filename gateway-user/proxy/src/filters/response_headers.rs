//! `ResponseHeaderModifier`, and the `Date` that a response must have.

use gateway_http::head::{EditError, Fields, HeadEdits};
use gateway_snapshot::Filters;

use super::apply;
use crate::policy::OwnFields;

/// The changes of one response: those of header filters first, then the fields that are a filter's own.
#[derive(Clone, Copy)]
pub(crate) struct OnResponse<'a> {
    pub(crate) filters: &'a Filters,
    pub(crate) own: Option<&'a OwnFields>,
}

/// Adds the filters' changes to the response's. A response without `Date` gets one first (RFC 9110 section 6.6.1).
pub(crate) fn edit_response(
    OnResponse { filters, own }: OnResponse<'_>,
    fields: Fields<'_>,
    date: impl FnOnce() -> [u8; 29],
    edits: &mut HeadEdits,
) -> Result<(), EditError> {
    if fields.get(b"date").is_none() {
        edits.set(b"date", &date())?;
    }
    filters.response.iter().try_for_each(|change| apply(edits, change))?;
    own.map_or(Ok(()), |own| own.edit(fields, edits))
}
