//! Backends that are spoken to over TLS.

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod protocols;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{Action, BackendProtocol, BackendTls, ClusterKey, WeightedBackend, WeightedTarget};
use support::ir::{Config, cluster, rule};
use support::secure::{NAME, trusting};

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
