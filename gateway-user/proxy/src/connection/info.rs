//! The facts about a client's connection that its requests depend on.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{BindTable, Snapshot};

use crate::context::{Control, WorkerContext, bind_table};
use crate::timeouts::Timeouts;
use crate::tls::layer::TlsInfo;

/// One connection as its requests see it, whatever protocol they come by.
pub(crate) struct ConnInfo {
    pub(crate) context: Rc<WorkerContext>,
    pub(crate) control: Rc<Control>,
    /// The client, or the proxy that stands before it.
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The listener's address and port, which differ from `local` where low ports are moved; set by each lookup.
    pub(crate) bind: Cell<SocketAddr>,
    /// The peer is a trusted proxy.
    pub(crate) trusted: bool,
    /// A PROXY header has to come before all else.
    pub(crate) expects_proxy_header: bool,
    /// Its first bytes have come.
    pub(crate) begun: bool,
    /// `None` in the clear.
    pub(crate) tls: Option<Box<TlsInfo>>,
}

impl ConnInfo {
    pub(crate) fn new(
        context: Rc<WorkerContext>,
        control: Rc<Control>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Self {
        let trusted = context.config.trusts(peer.ip());
        let expects_proxy_header = context.config.announces(peer.ip());
        Self {
            context,
            control,
            peer,
            local,
            bind: Cell::new(local),
            trusted,
            expects_proxy_header,
            begun: false,
            tls: None,
        }
    }

    /// A time limit of the connection: that of the listener that it was secured for; in the clear, where each request may be
    /// another one's, the widest of its bind's, so that no listener cuts another one's clients.
    pub(crate) fn limit(&self, pick: impl FnOnce(&Timeouts) -> Duration) -> Duration {
        if let Some(settings) = self.tls.as_ref().and_then(|tls| tls.settings.as_ref()) {
            return pick(&settings.timeouts);
        }
        match self.tls.is_none() && self.context.has_settings() {
            true => self.widest(pick),
            false => pick(&self.context.config.timeouts),
        }
    }

    #[cold]
    fn widest(&self, pick: impl FnOnce(&Timeouts) -> Duration) -> Duration {
        let live = self.context.live();
        let table = self.bind_table(&live.snapshot);
        let settings = table.and_then(|table| live.settings(table.settings()));
        pick(settings.as_ref().map_or(&self.context.config.timeouts, |settings| &settings.timeouts))
    }

    /// The listeners behind the connection's address.
    pub(crate) fn bind_table<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a BindTable> {
        let (bind, table) = bind_table(&self.context, self.local, snapshot)?;
        self.bind.set(bind);
        Some(table)
    }

    /// Has the connection pass for this client's, as if it had come by itself.
    pub(crate) fn set_client(&mut self, client: SocketAddr) {
        self.peer = SocketAddr::new(client.ip().to_canonical(), client.port());
        self.trusted = self.context.config.trusts(self.peer.ip());
    }

    /// The scheme of requests on this connection.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// The name that the client asked for when the connection was secured.
    pub(crate) fn server_name(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.server_name.as_deref().map(str::as_bytes)
    }

    /// The text that backends get about the client's certificate, if they do.
    pub(crate) fn client_cert(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.client_cert.as_deref().map(str::as_bytes)
    }

    /// True if the next response says that the connection ends, for a drain: at once where the client rests between its
    /// requests, else when the drain has come to it.
    pub(crate) fn ends_for_drain(&self) -> bool {
        let context = &self.context;
        context.is_draining() && (!self.control.busy.get() || context.drain_has_come_to(self.peer))
    }

    /// True if local replies to the client give their reason.
    pub(crate) fn shows_reason(&self) -> bool {
        self.context.config.shows_reason(self.peer.ip())
    }
}
