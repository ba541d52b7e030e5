//! Waiting for the first bytes of a request.

use std::io;
use std::time::Duration;

use gateway_io::{BufferLevel, Chunk, buffer_level};

use super::server::ServerConnection;

/// How long a client may take for each step to its first request where places or buffers are scarce.
const SCARCE_STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// The end of a wait for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// A request's first bytes are in the inbox.
    Begun,
    /// The connection has been quiet for so long that the wait goes on in less memory.
    Quiet,
    /// There will be no request.
    Ended,
}

impl ServerConnection {
    /// Waits for the first bytes of a request until the connection has been quiet for a while.
    pub(super) async fn wait(&mut self) -> WaitEnd {
        if self.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty()) {
            return WaitEnd::Begun;
        }
        // Between requests an empty buffer goes back to the pool.
        self.inbox = None;
        self.begin_wait(self.info.limit(|limits| limits.client_idle));
        let received = self.info.control.kill.unless(self.stream.recv.recv_unless_quiet()).await;
        match received {
            Some(None) => WaitEnd::Quiet,
            Some(Some(received)) => self.end_wait(Some(received)),
            None => self.end_wait(None),
        }
    }

    /// Waits on for the first bytes of a request; false if there will be none.
    pub(super) async fn is_woken(&mut self) -> bool {
        let received = self.info.control.kill.unless(self.stream.recv.recv()).await;
        self.end_wait(received) == WaitEnd::Begun
    }

    /// True if a connection in the clear begins with the preface of HTTP/2 (RFC 9113 section 3.4), like which no request
    /// begins. A client that has sent a part of it is waited for.
    pub(super) async fn begins_http2(&mut self) -> bool {
        const START: &[u8] = b"PRI ";
        if self.info.tls.is_some() || !self.info.context.config.http2 {
            return false;
        }
        let limit = self.limited(self.info.limit(|limits| limits.client_header));
        self.stream.recv.set_deadline(Some(limit));
        while self.inbox.as_deref().is_some_and(|inbox| inbox.len() < START.len() && START.starts_with(inbox))
        {
            // Who does not go on is told by those who wait for a request's head.
            let Some(Ok(Some(more))) = self.info.control.kill.unless(self.stream.recv.recv()).await else {
                break;
            };
            let Some(inbox) = &mut self.inbox else { break };
            let joined = inbox.reserve(more.len(), more.len() + START.len());
            if joined.and_then(|()| inbox.extend_from_slice(&more)).is_err() {
                break;
            }
        }
        self.stream.recv.set_deadline(None);
        self.inbox.as_deref().is_some_and(|inbox| inbox.starts_with(START))
    }

    /// A client that connects and is silent gets no more time than one that begins a head.
    pub(super) fn begin_first_wait(&mut self) {
        let limit = self.info.limit(|limits| limits.client_header.min(limits.client_idle));
        self.begin_wait(self.limited(limit));
    }

    /// A limit for what comes before a request's head is there, where places or buffers are scarce.
    pub(crate) fn limited(&self, limit: Duration) -> Duration {
        let scarce = self.info.control.is_over_limit() || buffer_level() >= BufferLevel::Full;
        if scarce { limit.min(SCARCE_STEP_TIMEOUT) } else { limit }
    }

    /// From now on no request is under way, for at most `limit`.
    fn begin_wait(&mut self, limit: Duration) {
        self.info.control.idle.set(true);
        self.stream.recv.set_deadline(Some(limit));
    }

    /// Takes what ended a wait: `None` if the connection must end.
    fn end_wait(&mut self, received: Option<io::Result<Option<Chunk>>>) -> WaitEnd {
        self.stream.recv.set_deadline(None);
        self.info.control.idle.set(false);
        match received {
            Some(Ok(Some(chunk))) => {
                self.inbox = Some(chunk);
                WaitEnd::Begun
            }
            Some(Ok(None) | Err(_)) | None => WaitEnd::Ended,
        }
    }
}
