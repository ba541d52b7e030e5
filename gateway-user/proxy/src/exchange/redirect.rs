//! The local reply of `RequestRedirect`.

use gateway_snapshot::rewrite::Redirect;

use super::Exchange;
use super::outcome::{LocalReply, Outcome};
use super::route::MatchedRoute;
use super::wire::Wire;
use crate::Reason;
use crate::filters::{self, RedirectContext};

impl<W: Wire> Exchange<'_, W> {
    /// Writes the `Location` into `scratch.target`.
    pub(super) fn redirect(&mut self, redirect: &Redirect, found: MatchedRoute) -> Outcome {
        let request = self.wire.request();
        let path = &self.scratch.path;
        let context = RedirectContext {
            host: request.host.or(self.info.server_name()).unwrap_or_default(),
            listener_port: self.info.bind.get().port(),
            path: if path.is_empty() { request.path } else { path },
            matched_len: found.matched_len,
        };
        filters::location(redirect, &request, context, &mut self.scratch.target);
        let redirect =
            LocalReply { reason: Reason::Redirect, status: redirect.status, redirect: Some(found.routed) };
        Outcome::LocalReply(redirect)
    }
}
