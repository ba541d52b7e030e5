//! References from one object to another.

use serde::{Deserialize, Serialize};

use super::{gateway_group, gateway_kind, secret_kind, service_kind};

/// The parent of a route or of a status entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// API group; `""` is the core group.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// `Gateway`, `ListenerSet`, `Service`.
    #[serde(default = "gateway_kind")]
    pub kind: String,
    /// The parent's namespace; the referrer's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The parent's name.
    pub name: String,
    /// A listener (Gateway, ListenerSet) or port name (Service); all sections if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Only listeners on this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Something that traffic, or a question about traffic, can be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendObjectReference {
    /// API group; `""` is the core group.
    #[serde(default)]
    pub group: String,
    /// `Service`, `ServiceImport`, `XBackend`.
    #[serde(default = "service_kind")]
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Its namespace, which needs a ReferenceGrant if it is not the referrer's; the referrer's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The Service port (not the target port); required for a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A backend of a TLS, TCP or UDP route and its share of the connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "FlatBackendRef", into = "FlatBackendRef")]
pub struct BackendRef {
    /// Where to send.
    pub backend: BackendObjectReference,
    /// Share of weight / sum of weights, 0 to 1,000,000; 0 gets nothing.
    pub weight: u32,
}

/// A backend of an HTTP or gRPC route, its share of the requests, and filters for what is sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatFilteredBackendRef<F>", into = "FlatFilteredBackendRef<F>")]
#[serde(bound(serialize = "F: Clone + Serialize", deserialize = "F: Deserialize<'de>"))]
pub struct FilteredBackendRef<F> {
    /// Where to send.
    pub backend: BackendObjectReference,
    /// Share of weight / sum of weights, 0 to 1,000,000; 0 gets nothing.
    pub weight: u32,
    /// The changes for this backend alone, in this order.
    pub filters: Vec<F>,
}

/// A Secret, or something that serves as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretObjectReference {
    /// API group; `""` is the core group.
    #[serde(default)]
    pub group: String,
    /// `Secret`.
    #[serde(default = "secret_kind")]
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Its namespace, which needs a ReferenceGrant if it is not the referrer's; the referrer's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// An object of any kind, in any namespace: the CA certificates of a frontend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// API group; `""` is the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Its namespace, which needs a ReferenceGrant if it is not the referrer's; the referrer's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// An object of any kind in the referrer's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalObjectReference {
    /// API group; `""` is the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
}

/// Parameters of a cluster-scoped class, in a namespace or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParametersReference {
    /// API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Its namespace; must be absent for a cluster-scoped kind and present for a namespaced one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl ParentReference {
    /// True if it names a `Gateway` of the Gateway API.
    pub fn is_gateway(&self) -> bool {
        self.group == crate::GATEWAY_GROUP && self.kind == "Gateway"
    }

    /// True if it names a `ListenerSet` of the Gateway API.
    pub fn is_listener_set(&self) -> bool {
        self.group == crate::GATEWAY_GROUP && self.kind == "ListenerSet"
    }

    /// True if it names a core `Service`, as routes of a mesh do (GAMMA).
    pub fn is_service(&self) -> bool {
        self.group.is_empty() && self.kind == "Service"
    }
}

impl BackendObjectReference {
    /// True if it names a core `Service`.
    pub fn is_service(&self) -> bool {
        self.group.is_empty() && self.kind == "Service"
    }
}

/// [`BackendRef`] as the API writes it: the reference's fields beside the weight. (`serde(flatten)` would
/// buffer every reference and hide the field names from the comparison with the CRDs.)
#[derive(Serialize, Deserialize)]
struct FlatBackendRef {
    #[serde(default)]
    group: String,
    #[serde(default = "service_kind")]
    kind: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default = "weight_one")]
    weight: u32,
}

/// [`FilteredBackendRef`] as the API writes it.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "F: Serialize", deserialize = "F: Deserialize<'de>"))]
struct FlatFilteredBackendRef<F> {
    #[serde(default)]
    group: String,
    #[serde(default = "service_kind")]
    kind: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default = "weight_one")]
    weight: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filters: Vec<F>,
}

impl From<FlatBackendRef> for BackendRef {
    fn from(flat: FlatBackendRef) -> Self {
        let FlatBackendRef { group, kind, name, namespace, port, weight } = flat;
        Self { backend: BackendObjectReference { group, kind, name, namespace, port }, weight }
    }
}

impl From<BackendRef> for FlatBackendRef {
    fn from(value: BackendRef) -> Self {
        let BackendObjectReference { group, kind, name, namespace, port } = value.backend;
        Self { group, kind, name, namespace, port, weight: value.weight }
    }
}

impl<F> From<FlatFilteredBackendRef<F>> for FilteredBackendRef<F> {
    fn from(flat: FlatFilteredBackendRef<F>) -> Self {
        let FlatFilteredBackendRef { group, kind, name, namespace, port, weight, filters } = flat;
        Self { backend: BackendObjectReference { group, kind, name, namespace, port }, weight, filters }
    }
}

impl<F> From<FilteredBackendRef<F>> for FlatFilteredBackendRef<F> {
    fn from(value: FilteredBackendRef<F>) -> Self {
        let BackendObjectReference { group, kind, name, namespace, port } = value.backend;
        Self { group, kind, name, namespace, port, weight: value.weight, filters: value.filters }
    }
}

fn weight_one() -> u32 {
    1
}
