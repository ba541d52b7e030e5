//! `URLRewrite`, and the normalised path that is forwarded without one.

use gateway_http::head::{EditError, HeadEdits, RequestParts};
use gateway_snapshot::Filters;

/// Sets the path and host that the backend sees. `path` is the normalised path that the rule matched: backends get the
/// spelling that was routed by, or they could read a path that no rule allowed. `target` is storage.
pub(crate) fn rewrite_url(
    filters: &Filters,
    request: &RequestParts<'_>,
    path: &[u8],
    matched_len: usize,
    target: &mut Vec<u8>,
    edits: &mut HeadEdits,
) -> Result<(), EditError> {
    if let Some(rewrite) = &filters.path {
        target.clear();
        rewrite.write(path, matched_len, target);
        edits.set_path(target)?;
        if let Some(query) = rewrite.query() {
            edits.set_query(Some(query))?;
        }
    } else if path != request.path {
        edits.set_path(path)?;
    }
    match &filters.host {
        Some(host) => edits.set_host(host),
        None => Ok(()),
    }
}
