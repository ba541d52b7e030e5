//! The Gateway API's objects, one file per topic, with one of each shared type.
//!
//! GatewayConfig is ours; all else is the Gateway API's.
//!
//! Field names, defaults and bounds are those of the v1.7.0 experimental CRDs; a test compares every field. A
//! field with a default in the CRD is plain here and takes that default when absent; any other optional field
//! is an `Option`, or an empty list.

mod backendtlspolicy;
mod condition;
mod filter;
mod gateway;
mod gatewayclass;
mod gatewayconfig;
mod grpcroute;
mod httproute;
mod l4route;
mod listener;
mod listenerset;
mod policy;
mod reference;
mod referencegrant;
mod route;
mod session;
mod xbackend;
mod xbackendtrafficpolicy;
mod xmesh;
mod xtelemetrypolicy;

pub use backendtlspolicy::*;
pub use condition::*;
pub use filter::*;
pub use gateway::*;
pub use gatewayclass::*;
pub use gatewayconfig::*;
pub use grpcroute::*;
pub use httproute::*;
pub use l4route::*;
pub use listener::*;
pub use listenerset::*;
pub use policy::*;
pub use reference::*;
pub use referencegrant::*;
pub use route::*;
pub use session::*;
pub use xbackend::*;
pub use xbackendtrafficpolicy::*;
pub use xmesh::*;
pub use xtelemetrypolicy::*;

pub(crate) fn gateway_group() -> String {
    crate::GATEWAY_GROUP.to_owned()
}

pub(crate) fn gateway_kind() -> String {
    "Gateway".to_owned()
}

pub(crate) fn service_kind() -> String {
    "Service".to_owned()
}

pub(crate) fn secret_kind() -> String {
    "Secret".to_owned()
}
