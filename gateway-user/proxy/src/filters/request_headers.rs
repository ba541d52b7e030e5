//! `RequestHeaderModifier`.

use gateway_http::head::{EditError, HeadEdits};
use gateway_snapshot::Filters;

use super::apply;

/// Adds the filters' changes to the request's.
pub(crate) fn edit_request(filters: &Filters, edits: &mut HeadEdits) -> Result<(), EditError> {
    filters.request.iter().try_for_each(|change| apply(edits, change))
}
