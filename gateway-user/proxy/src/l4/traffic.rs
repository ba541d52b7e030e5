//! Bytes that have passed through a tunnel, and the time for which it may still be idle.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gateway_io::now;

use crate::body::ends::PumpError;
use crate::settings::Settings;

/// The bytes that have passed through a tunnel.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// The settings of its listener.
    pub(super) settings: Rc<Settings>,
    /// Bytes from the client.
    pub(crate) received: Cell<u64>,
    /// Bytes to the client.
    pub(crate) sent: Cell<u64>,
    /// When the last byte came, by the worker's coarse clock.
    pub(super) last: Cell<Instant>,
    /// One side has finished sending.
    pub(super) half_closed: Cell<bool>,
    /// The backend has had everything up to the client's end, and the client everything up to the backend's.
    pub(super) taken: Cell<bool>,
    pub(super) delivered: Cell<bool>,
}

impl Traffic {
    pub(crate) fn new(settings: Rc<Settings>) -> Self {
        Self {
            settings,
            received: Cell::new(0),
            sent: Cell::new(0),
            last: Cell::new(now()),
            half_closed: Cell::new(false),
            taken: Cell::new(false),
            delivered: Cell::new(false),
        }
    }

    /// True if the backend has had everything up to the client's end.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.get()
    }

    /// True if the client has had everything up to the backend's end.
    pub(crate) fn is_delivered(&self) -> bool {
        self.delivered.get()
    }

    /// [`left`](Self::left), if it is anything.
    ///
    /// # Errors
    /// The tunnel has been idle for as long as it may.
    pub(super) fn left_of_any(&self) -> Result<Duration, PumpError> {
        Some(self.left()).filter(|left| !left.is_zero()).ok_or(PumpError::SourceTimeout)
    }

    /// Waits as long as the limit that held when the wait began is the one that holds.
    ///
    /// # Errors
    /// Those of the wait; [`PumpError::SourceTimeout`] when another limit holds from now on.
    pub(super) async fn within<T>(
        &self,
        wait: impl Future<Output = Result<T, PumpError>>,
    ) -> Result<T, PumpError> {
        let half_closed = self.half_closed.get();
        let mut wait = pin!(wait);
        poll_fn(|cx| match self.half_closed.get() == half_closed {
            true => wait.as_mut().poll(cx),
            false => Poll::Ready(Err(PumpError::SourceTimeout)),
        })
        .await
    }

    /// Time for which the tunnel may still be idle.
    fn left(&self) -> Duration {
        let timeouts = &self.settings.timeouts;
        let limit = match self.half_closed.get() {
            true => timeouts.tunnel_idle.min(timeouts.tunnel_half_closed),
            false => timeouts.tunnel_idle,
        };
        limit.saturating_sub(now().saturating_duration_since(self.last.get()))
    }
}
