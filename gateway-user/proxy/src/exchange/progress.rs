//! How far an exchange has come.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::waits::Waits;
use crate::Reason;
use crate::body::pacing::SendTimeout;
use crate::body::replay::Copies;
use crate::clock::now;
use crate::upstream::Permit;

/// How far an exchange has come; it lives outside so that it can be read after the exchange was dropped.
pub(crate) struct Progress {
    /// The request was sent to its end.
    pub(crate) uploaded: Cell<bool>,
    /// It was received to its end, wherever it went.
    pub(crate) read: Cell<bool>,
    /// The exchange logs the backend's connection in.
    pub(crate) logs_in: Cell<bool>,
    /// The request goes no further, sent whole or not.
    over: Cell<bool>,
    /// When the backend last took something.
    pub(crate) upload_at: Cell<Instant>,
    pub(crate) received: Cell<u64>,
    /// Status of the response whose head was given to the client; 0 before.
    pub(crate) status: Cell<u16>,
    /// When the response's head was complete.
    pub(crate) responded_at: Cell<Option<Instant>>,
    pub(crate) download_at: Cell<Instant>,
    pub(crate) sent: Cell<u64>,
    /// The request's place at its backend.
    pub(crate) permit: Permit,
    pub(super) waits: Waits,
    /// Copies to send once the request's body has come.
    pub(super) copies: Cell<Option<Box<dyn Copies>>>,
    /// When all of it has to be over, and why.
    pub(crate) limit: Option<(Instant, Reason)>,
}

impl Progress {
    #[inline(always)] // Large, and to be made where it stays.
    pub(crate) fn new(permit: Permit, waits: Waits, limit: Option<(Instant, Reason)>) -> Self {
        let now = now();
        Self {
            uploaded: Cell::new(false),
            read: Cell::new(false),
            logs_in: Cell::new(false),
            over: Cell::new(false),
            upload_at: Cell::new(now),
            received: Cell::new(0),
            status: Cell::new(0),
            responded_at: Cell::new(None),
            download_at: Cell::new(now),
            sent: Cell::new(0),
            permit,
            waits,
            copies: Cell::new(None),
            limit,
        }
    }

    /// The request goes no further.
    pub(crate) fn end_upload(&self) {
        self.over.set(true);
        self.upload_at.set(now());
    }

    /// True if no part of a response has been given to the client.
    pub(crate) fn may_reply(&self) -> bool {
        self.status.get() == 0
    }

    /// True if nothing is left to be done but to receive the response's content and to send it.
    pub(crate) fn may_end_before_client(&self) -> bool {
        self.uploaded.get()
    }

    /// Longest wait for a piece of the response's content.
    pub(crate) fn body_wait(&self) -> Duration {
        self.waits.upstream_body
    }

    /// The slowest pace at which the client may take its response.
    pub(crate) fn client_pace(&self) -> SendTimeout {
        self.waits.client_send
    }

    /// For another attempt of the same request.
    pub(super) fn restart(&self) {
        self.uploaded.set(false);
        self.logs_in.set(false);
        self.over.set(false);
        self.received.set(0);
    }

    /// True if the backend still takes the request.
    pub(super) fn goes_on(&self) -> bool {
        !self.over.get()
    }

    /// How long the backend has had all of the request that it will get.
    pub(super) fn since_upload(&self) -> Option<Duration> {
        self.over.get().then(|| now().saturating_duration_since(self.upload_at.get()))
    }
}
