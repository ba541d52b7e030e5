//! Gateway API v1.7.0 types (experimental channel) and our own GatewayConfig, the schemas that API servers check them with, and the
//! loader that applies those schemas to YAML. No client, no clock, no files.
#![forbid(unsafe_code)]

#[macro_use]
mod macros;

mod installed;
mod kind;
pub mod load;
mod object;
mod resource_set;
mod schema;
pub mod suggest;
mod types;

pub use installed::{BUNDLE_VERSION_ANNOTATION, CHANNEL_ANNOTATION, Definition, InstalledApi};
pub use kind::Kind;
pub use object::{Object, ObjectKey};
pub use resource_set::{Objects, Origin, ResourceSet};
pub use types::*;

/// The API group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The API group of its experimental kinds, whose names begin with X.
pub const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

/// The API group of our own kinds.
pub const OWN_GROUP: &str = "sluice.dev";

/// The Gateway API version that types and schemas are of.
pub const BUNDLE_VERSION: &str = "v1.7.0";
