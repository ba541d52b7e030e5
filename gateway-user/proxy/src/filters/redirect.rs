//! `RequestRedirect`.

use gateway_http::head::RequestParts;
use gateway_snapshot::rewrite::{Redirect, RedirectSource, write_location};
use gateway_snapshot::{FieldEdit, Filters};

/// The parts of a request that a redirect keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedirectContext<'a> {
    /// Host as received, without its port.
    pub(crate) host: &'a [u8],
    pub(crate) listener_port: u16,
    /// The normalised path.
    pub(crate) path: &'a [u8],
    pub(crate) matched_len: usize,
}

/// Writes the `Location` into `target`, which is storage.
pub(crate) fn location(
    redirect: &Redirect,
    request: &RequestParts<'_>,
    context: RedirectContext<'_>,
    target: &mut Vec<u8>,
) {
    target.clear();
    let source = RedirectSource {
        scheme: request.scheme,
        host: context.host,
        listener_port: context.listener_port,
        path: context.path,
        query: request.query,
        matched_len: context.matched_len,
    };
    write_location(redirect, &source, target);
}

/// The fields of a redirect to `location`, as the rule's `ResponseHeaderModifier` changes them.
pub fn fields<'a>(filters: &'a Filters, location: &'a [u8]) -> Vec<(&'a str, &'a [u8])> {
    let mut fields: Vec<(&str, &[u8])> = vec![("location", location)];
    for edit in &filters.response {
        match edit {
            FieldEdit::Set { name, value } => {
                fields.retain(|(other, _)| *other != &**name);
                fields.push((name, value));
            }
            FieldEdit::Add { name, value } => fields.push((name, value)),
            FieldEdit::Remove { name } => fields.retain(|(other, _)| *other != &**name),
        }
    }
    fields
}
