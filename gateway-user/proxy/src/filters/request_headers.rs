//! `RequestHeaderModifier`.

use gateway_http::head::{EditError, HeadEdits};
use gateway_snapshot::Filters;

use super::apply;

/// Adds the filters' changes to the request's.
#[inline(always)] // Nearly no request has any, and mirrors call it as well.
pub(crate) fn edit_request(filters: &Filters, edits: &mut HeadEdits) -> Result<(), EditError> {
    match filters.request.is_empty() {
        true => Ok(()),
        false => filters.request.iter().try_for_each(|change| apply(edits, change)),
    }
}
