//! The PROXY header before everything else on a connection, from peers that have to send one: whose connection it is.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_http::proxy_header::{Parsed, Proxied, parse};
use gateway_io::Chunk;

use crate::Reason;
use crate::exchange::route::takes_response;
use crate::h1::reply;
use crate::h1::server::ServerConnection;
use crate::metrics::ProxyHeaderFailure;
use crate::tls::layer::join;

/// Bytes that a refused client may still send, and the time for them.
const REFUSED_BYTES: usize = 64 * 1024;
const REFUSED_LINGER: Duration = Duration::from_secs(1);

impl ServerConnection {
    /// Takes the header from the first bytes, which are in the inbox; what came behind it stays there. `None` if there
    /// is no good one: that was counted, and the connection is closed.
    pub(crate) async fn read_proxy_header(mut self: Box<Self>) -> Option<Box<Self>> {
        let limit = self.limited(self.info.limit(|limits| limits.client_header));
        self.stream.recv.set_deadline(Some(limit));
        let control = Rc::clone(&self.info.control);
        // Nothing but a drain's maximum ends it otherwise.
        let result = control.kill.unless(pin!(self.receive_header())).await?;
        self.stream.recv.set_deadline(None);
        match result {
            Ok(source) => {
                self.info.expects_proxy_header = false;
                if let Some(Proxied { client, .. }) = source {
                    self.info.set_client(client);
                }
                if self.slot().belongs_to(self.info.peer.ip()).is_err() {
                    self.refuse_client().await;
                    return None;
                }
                Some(self)
            }
            Err(failure) => {
                self.info.context.metrics.borrow_mut().proxy_header_failures.count(failure);
                tracing::debug!(peer = %self.info.peer, local = %self.info.local, reason = failure.code(), "invalid PROXY header");
                None
            }
        }
    }

    async fn receive_header(&mut self) -> Result<Option<Proxied>, ProxyHeaderFailure> {
        let mut inbox = self.inbox.take().unwrap_or_else(Chunk::take);
        loop {
            match parse(&inbox).map_err(ProxyHeaderFailure::Refused)? {
                Parsed::Complete { consumed, source } => {
                    inbox.advance(consumed);
                    self.inbox = Some(inbox).filter(|inbox| !inbox.is_empty());
                    return Ok(source);
                }
                Parsed::Incomplete => {
                    let more = match self.stream.recv.recv().await {
                        Ok(Some(more)) => more,
                        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                            return Err(ProxyHeaderFailure::Timeout);
                        }
                        Ok(None) | Err(_) => return Err(ProxyHeaderFailure::ClientClosed),
                    };
                    // Always fits: a header that is not whole is shorter than a TLS record.
                    inbox = join(inbox, &more).map_err(|_| ProxyHeaderFailure::ClientClosed)?;
                }
            }
        }
    }

    /// The client that was announced has too many connections.
    async fn refuse_client(mut self: Box<Self>) {
        self.info.context.metrics.borrow_mut().counters.client_refused += 1;
        self.info.control.admit();
        if takes_response(&self.info.context, self.info.local) {
            reply::reply_before_request(&mut self, Reason::OverloadClient);
            self.stream.close_lingering(REFUSED_BYTES, REFUSED_LINGER).await;
        }
    }
}
