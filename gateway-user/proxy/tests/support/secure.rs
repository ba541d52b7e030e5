//! Settings of backends that are spoken to over TLS.

use std::sync::Arc;

use gateway_ir::{BackendTls, ObjectName, TrustBundle, TrustSource, WeightedTarget};
use gateway_testkit::tls::Authority;
use gateway_tls::read_authorities;

use super::ir::Config;

/// Name of every such backend.
pub const NAME: &str = "app.backend.example";

/// Settings that trust one authority.
pub fn trusting(authority: &Authority) -> BackendTls {
    let bundle = TrustBundle {
        source: TrustSource::ConfigMap(ObjectName::new("apps", "ca")),
        certificates: read_authorities(authority.pem().as_bytes()).unwrap(),
    };
    BackendTls {
        policy: ObjectName::new("apps", "policy"),
        hostname: NAME.into(),
        subject_alt_names: Vec::new(),
        trust: vec![Arc::new(bundle)],
        fault: None,
        refused_gateways: Vec::new(),
    }
}

impl Config {
    /// A policy with these settings for the backends of all connections.
    pub fn l4_policy(mut self, settings: BackendTls) -> Self {
        let settings = Arc::new(settings);
        let of_tls = self.tls_listeners.iter_mut().flat_map(|listener| &mut listener.backends);
        for backend in of_tls.chain(self.tcp.iter_mut().flatten()) {
            let WeightedTarget::Cluster(key) = &mut backend.target else { continue };
            let addresses = self.endpoints.clusters.get(key).cloned();
            key.tls = true;
            self.endpoints.clusters.extend(addresses.map(|addresses| (key.clone(), addresses)));
            self.endpoints.tls.insert(key.clone(), Arc::clone(&settings));
        }
        self
    }
}
