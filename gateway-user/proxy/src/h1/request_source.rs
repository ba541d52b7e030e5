//! The client's side of an exchange over HTTP/1.1: its body, and whether it is still there.

use std::cell::Cell;
use std::future::pending;

use super::body::H1Source;
use super::half_close::expired;
use crate::context::WorkerContext;
use crate::exchange::progress::Progress;
use crate::exchange::wire::RequestSource;

/// A request's body, and the connection that it comes on.
pub(crate) struct H1RequestSource<'a> {
    pub(super) context: &'a WorkerContext,
    pub(super) body: H1Source<'a>,
    /// True if the client's side is watched once the request is at its end: no byte behind it has come.
    pub(super) is_watched: bool,
    /// Takes whether the client has finished sending.
    pub(super) half_closed: &'a Cell<bool>,
    pub(super) progress: &'a Progress,
}

impl<'a> RequestSource for H1RequestSource<'a> {
    type Body = H1Source<'a>;

    fn body(&mut self) -> &mut H1Source<'a> {
        &mut self.body
    }

    async fn gone(&mut self) {
        let H1Source { from, rest, .. } = &mut self.body;
        if !self.is_watched || rest.is_some() {
            return pending().await;
        }
        match from.recv().await {
            Ok(Some(early)) => {
                // The next request may come early, and then waits.
                **rest = Some(early);
                pending().await
            }
            Ok(None) => expired(self.context, from, self.half_closed, self.progress).await,
            Err(_) => {}
        }
    }
}
