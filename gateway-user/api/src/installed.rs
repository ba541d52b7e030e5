//! The Gateway API as installed in a cluster, and kinds that it lacks.

use std::collections::{BTreeMap, BTreeSet};

use crate::Kind;

/// The annotation of a CRD with the version of the bundle that it is of.
pub const BUNDLE_VERSION_ANNOTATION: &str = "gateway.networking.k8s.io/bundle-version";

/// The annotation of a CRD with the channel that it is of.
pub const CHANNEL_ANNOTATION: &str = "gateway.networking.k8s.io/channel";

/// The part of an API that differs from cluster to cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstalledApi {
    /// The definitions (CRDs) of the group `gateway.networking.k8s.io`, by name such as
    /// `httproutes.gateway.networking.k8s.io`.
    pub definitions: BTreeMap<String, Definition>,
    /// Kinds of Kubernetes itself that the API server does not serve: they are of a later version, or behind a feature gate.
    pub absent: BTreeSet<Kind>,
}

/// The version annotations of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// Version of the bundle, such as `v1.6.3`; `None` if it has no such annotation.
    pub bundle_version: Option<String>,
    /// `standard` or `experimental`.
    pub channel: Option<String>,
}
