//! `RequestHeaderModifier`.

use gateway_http::head::{EditError, HeadEdits};
use gateway_snapshot::{FieldEdit, Filters};

use super::apply;

/// Adds the filters' changes to the request's.
#[inline(always)] // Nearly no request has any, and mirrors call it as well.
pub(crate) fn edit_request(filters: &Filters, edits: &mut HeadEdits) -> Result<(), EditError> {
    match filters.request.is_empty() {
        true => Ok(()),
        false => filters.request.iter().try_for_each(|change| apply(edits, change)),
    }
}

/// Makes the filters' changes to fields of this name once more, after the gateway has set its own anew.
pub(crate) fn edit_field(filters: &Filters, wanted: &str, edits: &mut HeadEdits) -> Result<(), EditError> {
    let of_name = |change: &&FieldEdit| match change {
        FieldEdit::Set { name, .. } | FieldEdit::Add { name, .. } | FieldEdit::Remove { name } => {
            name.eq_ignore_ascii_case(wanted)
        }
    };
    filters.request.iter().filter(of_name).try_for_each(|change| apply(edits, change))
}
