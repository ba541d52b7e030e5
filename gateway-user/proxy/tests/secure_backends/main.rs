//! Backends that are spoken to over TLS.

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod protocols;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{Action, WeightedBackend, WeightedTarget};
use gateway_ir::{BackendProtocol, BackendTls, ClusterKey, ObjectName, TrustBundle, TrustSource};
use gateway_testkit::tls::Authority;
use gateway_tls::read_authorities;
use support::ir::{Config, cluster, rule};

/// Name of every backend.
const NAME: &str = "app.backend.example";

/// Settings that trust one authority.
fn trusting(authority: &Authority) -> BackendTls {
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

/// Everything to one address over TLS.
fn config(address: SocketAddr, protocol: BackendProtocol, settings: BackendTls) -> Config {
    let key = ClusterKey { protocol, tls: true, ..cluster("app") };
    let share =
        WeightedBackend { weight: 1, target: WeightedTarget::Cluster(key.clone()), filters: Vec::new() };
    let mut config = Config::default().rule(rule("/", Action::Forward(vec![share])));
    config.endpoints.clusters.insert(key.clone(), [address].as_slice().into());
    config.endpoints.tls.insert(key, Arc::new(settings));
    config
}
