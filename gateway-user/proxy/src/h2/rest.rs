//! The end of a response that a backend has given whole and its client has no window for: it waits without the request's
//! state, and without the backend.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use super::break_off::break_off;
use super::connection::H2Connection;
use super::sink::{H2Sink, Sender};
use super::unsent::Unsent;
use crate::Reason;
use crate::body::ends::{PumpError, Sink as _};
use crate::body::pacing::SendTimeout;
use crate::connection::slot::ActiveRequest;
use crate::observe::record::{RequestRecord, RequestText};

/// A stream whose exchange is over but for this.
pub(super) struct Rest {
    pub(super) unsent: Unsent,
    pub(super) sender: RefCell<Sender>,
    pub(super) record: RequestRecord,
    pub(super) text: RequestText,
    /// Counts it as active.
    pub(super) _active: ActiveRequest,
}

/// Sends the rest, and notes how the request ended.
pub(super) async fn serve(conn: Rc<H2Connection>, mut rest: Box<Rest>) {
    let Rest { unsent, sender, record, text, .. } = &mut *rest;
    let info = &conn.info;
    let sent = {
        let queued = std::mem::take(&mut unsent.queued);
        let end = Some(std::mem::take(&mut unsent.trailers));
        let mut sink = H2Sink { queued, end, ..H2Sink::new(sender) };
        let limit = SendTimeout::of_client(&info.context.config.timeouts);
        info.control.kill.unless(pin!(sink.flush(limit))).await
    };
    let reason = match sent {
        Some(Ok(())) => None,
        Some(Err(PumpError::SinkTimeout)) => Some(Reason::ClientSendTimeout),
        Some(Err(_)) => Some(Reason::ClientClosed),
        None => Some(Reason::DrainAborted),
    };
    if let Some(reason) = reason {
        break_off(record, sender, reason);
    }
    record.finish(&info.context, text, info.tls.as_deref(), info.peer, info.local);
}
