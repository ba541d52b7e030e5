//! The Gateway API as installed in a cluster.

use std::collections::BTreeMap;

/// The annotation of a CRD with the version of the bundle that it is of.
pub const BUNDLE_VERSION_ANNOTATION: &str = "gateway.networking.k8s.io/bundle-version";

/// The annotation of a CRD with the channel that it is of.
pub const CHANNEL_ANNOTATION: &str = "gateway.networking.k8s.io/channel";

/// The definitions (CRDs) of the group `gateway.networking.k8s.io`, by name such as
/// `httproutes.gateway.networking.k8s.io`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstalledApi {
    /// All of them.
    pub definitions: BTreeMap<String, Definition>,
}

/// The version annotations of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// Version of the bundle, such as `v1.6.3`; `None` if it has no such annotation.
    pub bundle_version: Option<String>,
    /// `standard` or `experimental`.
    pub channel: Option<String>,
}
