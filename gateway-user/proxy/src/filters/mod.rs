//! Changes of heads on the way through: edits in the order of the rule's filters, on top of what a proxy always
//! does. Targets' filters contain their rule's, compiled; nothing is decided here.

mod forwarded;
mod redirect;
mod request_headers;
mod request_trailers;
mod response_headers;
mod underscores;
mod url_rewrite;

pub(crate) use forwarded::{Arrival, CLIENT_CERT, set_forwarded};
pub use redirect::fields as redirect_fields;
pub(crate) use redirect::{RedirectContext, location};
pub(crate) use request_headers::{edit_field, edit_request};
pub(crate) use request_trailers::RequestTrailers;
pub(crate) use response_headers::{OnResponse, edit_response};
pub(crate) use underscores::{drop_shadows, stays};
pub(crate) use url_rewrite::rewrite_url;

use gateway_http::head::{EditError, HeadEdits};
use gateway_snapshot::FieldEdit;

fn apply(edits: &mut HeadEdits, change: &FieldEdit) -> Result<(), EditError> {
    match change {
        FieldEdit::Set { name, value } => edits.set(name.as_bytes(), value),
        FieldEdit::Add { name, value } => edits.add(name.as_bytes(), value),
        FieldEdit::Remove { name } => edits.remove(name.as_bytes()),
    }
}
