//! The local reply of `RequestRedirect`.

use gateway_snapshot::rewrite::Redirect;

use super::outcome::{LocalReply, Outcome};
use super::route::MatchedRoute;
use crate::Reason;
use crate::connection::info::ConnInfo;
use crate::filters::{self, RedirectContext};
use crate::h1::scratch::Scratch;

/// Writes the `Location` into `scratch.target`.
pub(super) fn reply(
    info: &ConnInfo,
    received: &[u8],
    scratch: &mut Scratch,
    redirect: &Redirect,
    found: MatchedRoute,
) -> Outcome {
    let Scratch { request, path, target, .. } = scratch;
    let request = request.view(received);
    let context = RedirectContext {
        host: request.host().or(info.server_name()).unwrap_or_default(),
        scheme: info.scheme(),
        listener_port: info.bind.get().port(),
        path: if path.is_empty() { request.path() } else { path },
        matched_len: found.matched_len,
    };
    filters::location(redirect, &request, context, target);
    let redirect =
        LocalReply { reason: Reason::Redirect, status: redirect.status, redirect: Some(found.routed) };
    Outcome::LocalReply(redirect)
}
