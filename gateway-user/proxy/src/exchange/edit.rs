//! The changes of a request's head on its way to a backend.

use gateway_http::grpc::TimeoutText;
use gateway_http::head::EditError;
use gateway_snapshot::Filters;

use super::wire::Wire;
use super::{Exchange, limit};
use crate::config::UnderscoreHeaders;
use crate::filters::{Arrival, CLIENT_CERT, drop_shadows, edit_request, rewrite_url, set_forwarded};

impl<W: Wire> Exchange<'_, W> {
    /// Collects what changes in the head: what every proxy does, then the filters of rule and backend.
    #[inline(always)] // The copies of mirrors, which few requests have, are made by it, too.
    pub(super) fn edit_request(&mut self, filters: &Filters, matched_len: usize) -> Result<(), EditError> {
        let scratch = &mut *self.scratch;
        let (edits, text) = (&mut scratch.request_edits, &mut scratch.text);
        let context = &self.info.context;
        let config = &context.config;
        let underscores = self.wire.has_underscores() || filters.have_underscores();
        let request = self.wire.request();
        // Before our own fields are set: what is removed later takes what was set with it.
        if underscores && config.underscore_headers != UnderscoreHeaders::Keep {
            drop_shadows(filters, &request, edits, |name| {
                text.note_dropped(name);
                context.metrics.borrow_mut().counters.underscore_headers_dropped += 1;
            })?;
        }
        if !config.request_trailers && request.announces_trailers {
            edits.remove(b"trailer")?;
        }
        let arrival = Arrival {
            peer: self.info.peer.ip(),
            trusted: self.info.trusted,
            port: self.info.bind.get().port(),
            request_id: text.id(),
        };
        set_forwarded(&request, &arrival, edits)?;
        if let Some(certificate) = self.info.client_cert() {
            edits.set_own(CLIENT_CERT, certificate)?;
        }
        if let (None, Some(name)) = (request.authority, self.info.server_name()) {
            // HTTP/1.0 without `Host`: it was routed by the name of the connection.
            edits.set_host(name)?;
        }
        if self.record.is_grpc
            && let Some(deadline) = limit::deadline(&request)
        {
            let left = deadline.saturating_sub(self.record.began.elapsed());
            edits.set(b"grpc-timeout", TimeoutText::new(left).as_bytes())?;
        }
        let path = if scratch.path.is_empty() { request.path } else { scratch.path.as_slice() };
        rewrite_url(filters, &request, path, matched_len, &mut scratch.target, edits)?;
        edit_request(filters, edits)
    }
}
