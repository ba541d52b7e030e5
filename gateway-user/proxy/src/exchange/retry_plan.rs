//! The plan of a request's attempts: what they have in common, how one ended, and whether another one follows.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_http::head::ResponseParts;
use gateway_ir::{Retry, RetryBudget};
use gateway_snapshot::Target;

use crate::Reason;
use crate::body::pump::is_at_hand;
use crate::body::replay::Replay;
use crate::context::WorkerContext;
use crate::exchange::progress::Progress;
use crate::exchange::wire::{AttemptError, ResponseSource};
use crate::policy::retry::{AttemptResult, Denial, RequestState, Verdict, backoff, decide};
use crate::upstream::Cluster;

/// All that the attempts of one request have in common.
pub(super) struct Plan<'p> {
    pub(super) context: &'p WorkerContext,
    pub(super) cluster: &'p Cluster,
    pub(super) target: &'p Target,
    pub(super) retry: &'p Retry,
    pub(super) progress: &'p Progress,
    pub(super) replay: &'p Replay<'p>,
    pub(super) is_idempotent: bool,
    /// It can be sent again though a connection that had carried requests was closed: once, at no charge.
    pub(super) is_whole: bool,
    pub(super) is_grpc: bool,
    pub(super) logs_in: bool,
    pub(super) budget: RetryBudget,
}

/// The attempts so far.
#[derive(Default)]
pub(super) struct Attempts {
    /// Where they went.
    pub(super) endpoints: Vec<SocketAddr>,
    pub(super) retries: u32,
    /// The endpoint that is asked for a connection.
    pub(super) asked: Cell<Option<SocketAddr>>,
    /// It was sent again at no charge, which is done once. Connections are new from then on.
    pub(super) was_resent: bool,
    /// The backend has not looked at it: the next connection is a new one, not the one that refuses requests.
    pub(super) was_refused: bool,
    /// A response is on its way to the client.
    pub(super) is_delivering: bool,
    pub(super) denial: Option<Denial>,
}

/// An attempt without a response.
pub(super) struct Failed {
    pub(super) end: AttemptResult,
    pub(super) reason: Reason,
    /// It is sent again at once, on a new connection, as without retries: its backend had closed the connection when it came, or
    /// has not looked at it.
    pub(super) is_free: bool,
}

impl Plan<'_> {
    /// The wait before another attempt; `None` if none follows.
    ///
    /// # Errors
    /// The request's time would be over before the wait.
    pub(super) fn judge(
        &self,
        end: AttemptResult,
        attempts: &mut Attempts,
    ) -> Result<Option<Duration>, Reason> {
        attempts.was_refused = end == AttemptResult::Unprocessed;
        // Logins are of the connection that they came by.
        let was_logged_in = self.progress.logs_in.get() && end != AttemptResult::Unconnected;
        if attempts.is_delivering || was_logged_in || !self.progress.may_reply() {
            return Ok(None);
        }
        let request = RequestState {
            is_idempotent: self.is_idempotent,
            is_kept: self.replay.is_ready(),
            retries: attempts.retries,
        };
        let wait = backoff(self.retry, attempts.retries, self.context.random.next());
        let ends_at = Instant::now().checked_add(wait);
        let passed = self.progress.limit.filter(|(limit, _)| ends_at >= Some(*limit));
        let denial = match (decide(self.retry, end, request), passed) {
            (Verdict::End, _) => return Ok(None),
            (Verdict::Denied(denial), _) => denial,
            (Verdict::Retry, Some((_, reason))) => {
                attempts.denial = Some(Denial::Time);
                return Err(reason);
            }
            (Verdict::Retry, None) if !self.cluster.load.may_retry(&self.budget) => Denial::Budget,
            (Verdict::Retry, None) => return Ok(Some(wait)),
        };
        attempts.denial = Some(denial);
        Ok(None)
    }

    /// The end of an attempt with a response.
    pub(super) fn read(&self, head: ResponseParts<'_>) -> AttemptResult {
        // Of a call whose server is not there; with messages before it the status would come behind them.
        let is_unavailable = || head.fields.get(b"grpc-status") == Some(b"14");
        match head.status {
            200 if self.is_grpc && is_unavailable() => AttemptResult::Unprocessed,
            status => AttemptResult::Status(status),
        }
    }
}

impl Attempts {
    /// The end of one that was not over in time. Without a connection the backend has not had the request.
    pub(super) fn timed_out(&mut self) -> Failed {
        let asked = self.asked.take();
        self.endpoints.extend(asked);
        let end = if asked.is_some() { AttemptResult::Unconnected } else { AttemptResult::TimedOut };
        Failed { end, reason: Reason::BackendRequestTimeout, is_free: false }
    }
}

impl Failed {
    /// With this end, and no other attempt.
    pub(super) fn finally(reason: Reason) -> Self {
        Self { end: AttemptResult::Final, reason, is_free: false }
    }

    /// No connection.
    pub(super) fn to_connect(reason: Reason) -> Self {
        let end = match reason {
            Reason::UpstreamConnectFailed
            | Reason::UpstreamConnectTimeout
            | Reason::UpstreamProtocolError
            | Reason::UpstreamTls(_) => AttemptResult::Unconnected,
            _ => AttemptResult::Final,
        };
        Self { end, reason, is_free: false }
    }

    /// No head of a response. The connection may have been stale; the request may be sent again if it was refused.
    pub(super) fn of(error: AttemptError, may_be_stale: bool, may_be_refused: bool) -> Self {
        let end = match error {
            AttemptError::Unprocessed => AttemptResult::Unprocessed,
            AttemptError::BeforeResponse | AttemptError::For(Reason::UpstreamReset) => AttemptResult::Lost,
            AttemptError::For(Reason::UpstreamResponseTimeout) => AttemptResult::TimedOut,
            AttemptError::For(_) => AttemptResult::Final,
        };
        let is_free = match error {
            AttemptError::BeforeResponse => may_be_stale,
            AttemptError::Unprocessed => may_be_refused,
            AttemptError::For(_) => false,
        };
        Self { end, reason: error.reason(), is_free }
    }
}

/// Reads the rest of a response that is not for the client, if it has come and is short; true if its connection can carry another request.
pub(super) fn is_read<S: ResponseSource>(response: &mut S) -> bool {
    if response.begin_body().is_err() {
        return false;
    }
    is_at_hand(response.body()) && response.is_reusable()
}
