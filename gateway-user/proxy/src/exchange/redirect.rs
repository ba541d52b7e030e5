//! The local reply of `RequestRedirect`.

use gateway_snapshot::rewrite::Redirect;

use super::outcome::{LocalReply, Outcome};
use super::route::MatchedRoute;
use crate::Reason;
use crate::filters::{self, RedirectContext};
use crate::h1::scratch::Scratch;
use crate::h1::server::ServerConnection;

/// Writes the `Location` into `scratch.target`.
pub(super) fn reply(
    conn: &ServerConnection,
    scratch: &mut Scratch,
    redirect: &Redirect,
    found: MatchedRoute,
) -> Outcome {
    let Scratch { request, path, target, .. } = scratch;
    let request = request.view(conn.inbox.as_deref().unwrap_or_default());
    let context = RedirectContext {
        host: request.host().or(conn.server_name()).unwrap_or_default(),
        scheme: conn.scheme(),
        listener_port: conn.bind.get().port(),
        path: if path.is_empty() { request.path() } else { path },
        matched_len: found.matched_len,
    };
    filters::location(redirect, &request, context, target);
    let redirect =
        LocalReply { reason: Reason::Redirect, status: redirect.status, redirect: Some(found.routed) };
    Outcome::LocalReply(redirect)
}
