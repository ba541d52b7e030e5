//! A tunnel in the books: its place at its backend, its number among those that are open, its line in the access log.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use super::traffic::Traffic;
use crate::Reason;
use crate::connection::info::ConnInfo;
use crate::context::WorkerContext;
use crate::observe::record::{RequestRecord, RequestText};
use crate::settings::Settings;
use crate::upstream::Permit;

/// Everything that counts a tunnel as long as it is there.
///
/// One that began with a request is counted as that request when it begins; one that is a connection of its own
/// is counted when it is over.
pub(crate) struct TunnelAccount {
    context: Rc<WorkerContext>,
    record: RequestRecord,
    text: RequestText,
    is_connection: bool,
    /// Its place among the requests of its backend.
    _permit: Permit,
}

impl TunnelAccount {
    /// Counts the request that became a tunnel: with the duration of its handshake, since that of a tunnel is no measure of
    /// anybody's speed. What has passed through it is counted as it passes.
    pub(crate) fn begin(info: &ConnInfo, record: RequestRecord, text: RequestText, permit: Permit) -> Self {
        let context = Rc::clone(&info.context);
        record.count(&context, &text, info.tls.as_deref(), Instant::now());
        Self::new(context, record, text, permit, false)
    }

    /// Counts a client's connection that became a tunnel as a whole.
    pub(crate) fn of_connection(
        info: &ConnInfo,
        record: RequestRecord,
        text: RequestText,
        permit: Permit,
    ) -> Self {
        Self::new(Rc::clone(&info.context), record, text, permit, true)
    }

    fn new(
        context: Rc<WorkerContext>,
        record: RequestRecord,
        text: RequestText,
        permit: Permit,
        is_connection: bool,
    ) -> Self {
        context.metrics.borrow_mut().counters.tunnels += 1;
        Self { context, record, text, is_connection, _permit: permit }
    }

    /// The settings that the tunnel goes by.
    pub(crate) fn settings(&self) -> Rc<Settings> {
        self.record.settings(&self.context)
    }

    /// Writes the line.
    pub(crate) fn finish(mut self, info: &ConnInfo, traffic: &Traffic, ended: Result<(), Reason>) {
        let record = &mut self.record;
        record.reason = ended.err();
        (record.received, record.sent) = (traffic.received.get(), traffic.sent.get());
        let counters = |count: fn(&mut crate::metrics::Counters) -> &mut u64| {
            *count(&mut self.context.metrics.borrow_mut().counters) += 1;
        };
        match record.reason {
            Some(Reason::TunnelIdle) => counters(|counters| &mut counters.tunnels_idle_closed),
            Some(Reason::DrainAborted) => counters(|counters| &mut counters.tunnels_drain_cut),
            _ => {}
        }
        let now = Instant::now();
        if self.is_connection {
            self.record.count_connection(&self.context, now);
        }
        let ends = (info.peer, info.local);
        self.record.log(&self.context, &self.text, info.tls.as_deref(), ends, now);
    }
}

impl fmt::Debug for TunnelAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelAccount").field("upgrade", &self.record.upgrade).finish_non_exhaustive()
    }
}

impl Drop for TunnelAccount {
    fn drop(&mut self) {
        let tunnels = &mut self.context.metrics.borrow_mut().counters.tunnels;
        *tunnels = tunnels.saturating_sub(1);
    }
}
