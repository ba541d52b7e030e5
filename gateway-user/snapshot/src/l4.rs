//! The listener of a connection, and the rule of one that is not looked into further.

use std::sync::Arc;

use gateway_ir::{Hostname, ListenerTls};

use crate::snapshot::{ListenerInfo, ListenerTable};
use crate::{BindTable, Rule};

/// The listener of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'s> {
    /// The listener.
    pub listener: &'s Arc<ListenerInfo>,
    /// Its TLS settings, if the connection begins with a ClientHello.
    pub tls: Option<&'s Arc<ListenerTls>>,
    /// The rule by which the connection goes as a whole; `None` without a route for it, and where requests are routed one by
    /// one.
    pub rule: Option<&'s Arc<Rule>>,
}

impl BindTable {
    /// The listener of a connection whose client asks for `server_name`, in lower case: that with the most specific hostname.
    /// For a client that names none it is the one that is marked for that, else the one without a hostname. `None` if there is
    /// none.
    ///
    /// Connections that begin with something else than a ClientHello name no server: those of a TCP listener are all for it,
    /// and those of HTTP in the clear have no one listener.
    pub fn select(&self, server_name: Option<&str>) -> Option<Selected<'_>> {
        let table = self.named(server_name)?;
        Some(Selected { listener: &table.info, tls: table.tls.as_ref(), rule: table.tunnel(server_name) })
    }

    /// True if TLS ends here for some server name, so that a client can be told of a failure in it.
    pub fn terminates_tls(&self) -> bool {
        self.listeners.all.iter().any(|listener| listener.info.serve.terminates_tls())
    }
}

impl ListenerTable {
    /// The rule for a whole connection. One without a server name is for the listener's only host, if it has one.
    fn tunnel(&self, server_name: Option<&str>) -> Option<&Arc<Rule>> {
        let host = server_name.or(match &self.info.hostname {
            Some(Hostname::Exact(only)) => Some(only),
            _ => None,
        });
        self.tunnels.covering(host.unwrap_or_default().as_bytes()).next()
    }
}
