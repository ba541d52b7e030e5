//! The backends of a rule: their endpoints, and the TLS that they are spoken to over.

use std::net::SocketAddr;

use gateway_ir::{ClusterKey, Endpoints};
use gateway_proxy::Reason;
use gateway_snapshot::{ClusterId, ListenerInfo};

/// Addresses that one line lists at most.
const LISTED: usize = 4;

/// The clusters that targets refer to, for requests and connections of a listener.
#[derive(Clone, Copy)]
pub(super) struct Backends<'a> {
    pub(super) clusters: &'a [ClusterKey],
    pub(super) endpoints: &'a Endpoints,
    pub(super) listener: &'a ListenerInfo,
}

/// A cluster that requests are sent to, for people.
pub(super) struct Reached {
    /// The Service and its endpoints.
    pub(super) to: String,
    /// The policy of its TLS, with names and authorities; `None` in clear text.
    pub(super) tls: Option<String>,
}

impl Backends<'_> {
    /// Finds a cluster as workers do.
    ///
    /// # Errors
    /// The reason that nothing is sent there, and a sentence that has more.
    pub(super) fn reached(&self, id: ClusterId) -> Result<Reached, (Reason, String)> {
        let none = |service: String| (Reason::NoEndpoints, format!("{service} has no usable endpoint"));
        let cluster = self.clusters.get(id.0 as usize).ok_or_else(|| none("the Service".to_owned()))?;
        let tls = self.tls(cluster)?;
        let addresses = self.endpoints.clusters.get(cluster).filter(|all| !all.is_empty());
        let addresses = addresses.ok_or_else(|| none(format!("Service {cluster}")))?;
        let spoken_to = ClusterKey { tls: tls.is_some(), ..cluster.clone() };
        Ok(Reached { to: format!("to Service {spoken_to} at {}", list(addresses)), tls })
    }

    /// True if TLS is spoken to it, and not passed through.
    fn secures(&self, cluster: &ClusterKey) -> bool {
        cluster.tls && !self.listener.serve.passes_tls_through()
    }

    fn tls(&self, cluster: &ClusterKey) -> Result<Option<String>, (Reason, String)> {
        if !self.secures(cluster) {
            return Ok(None);
        }
        let Some(settings) = self.endpoints.tls.get(cluster) else {
            return Err((Reason::BackendTlsInvalid, format!("Service {cluster} has no BackendTLSPolicy")));
        };
        let policy = format!("BackendTLSPolicy {}", settings.policy);
        if !settings.is_usable() {
            let fault = settings.fault.as_deref().unwrap_or("it trusts nobody");
            return Err((Reason::BackendTlsInvalid, format!("{policy}: {fault}")));
        }
        let gateway = &self.listener.id.gateway;
        if settings.refuses(gateway) {
            let message = format!("the status of {policy} has no room for Gateway {gateway}");
            return Err((Reason::BackendTlsNoRoom, message));
        }
        let mut text = format!("{policy}: server name {}", settings.hostname);
        if !settings.subject_alt_names.is_empty() {
            text.push_str(&format!(", certificate for {}", joined(&settings.subject_alt_names)));
        }
        text.push_str(&format!("; trusts {}", joined(&settings.trust)));
        if let Some(certificate) = &self.listener.backend_certificate {
            text.push_str(&format!("; shows Secret {}", certificate.secret));
        }
        Ok(Some(text))
    }
}

fn joined<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn list(addresses: &[SocketAddr]) -> String {
    let shown: Vec<_> = addresses.iter().take(LISTED).map(ToString::to_string).collect();
    let more = addresses.len().saturating_sub(LISTED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}
