//! The objects of a cluster that are watched, and what is kept of them.

use std::fmt;

use gateway_api_types::{Kind, OWN_GROUP};
use kube::core::ApiResource;
use serde_json::Value;

use super::wanted::FETCHED;

/// The kinds that are watched, in the order in which the watches start. A kind that nothing is made of is not
/// asked for: it would cost memory, and the right to read it.
pub(super) const WATCHED: [Kind; 18] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::GatewayConfig,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TcpRoute,
    Kind::TlsRoute,
    Kind::UdpRoute,
    Kind::ReferenceGrant,
    Kind::BackendTlsPolicy,
    Kind::Namespace,
    Kind::Node,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::ClusterTrustBundle,
];

/// Subject of one watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The definitions of the Gateway API's kinds, for their version.
    Definitions,
    /// The objects of a kind.
    Objects(Kind),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definitions => f.write_str("CustomResourceDefinition"),
            Self::Objects(kind) => kind.fmt(f),
        }
    }
}

impl Subject {
    /// `httproutes.gateway.networking.k8s.io`, as RBAC and kubectl name it.
    pub(super) fn resource(self) -> String {
        let (plural, group) = match self {
            Self::Definitions => ("customresourcedefinitions", "apiextensions.k8s.io"),
            Self::Objects(kind) => (kind.plural(), kind.group()),
        };
        if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
    }

    /// True if its objects live in namespaces.
    pub(super) fn namespaced(self) -> bool {
        matches!(self, Self::Objects(kind) if kind.namespaced())
    }

    /// True if the definition may be missing or of another version: it is not part of Kubernetes itself.
    pub(super) fn is_custom(self) -> bool {
        matches!(self, Self::Objects(kind) if kind.group().starts_with("gateway.") || kind.group() == OWN_GROUP)
    }

    /// True if an API server may well have no such kind: it is of a later version of Kubernetes, or behind a feature gate.
    pub(super) fn is_optional(self) -> bool {
        self == Self::Objects(Kind::ClusterTrustBundle)
    }

    /// True if only metadata is asked for, of all [`FETCHED`] kinds among others.
    pub(super) fn metadata_only(self) -> bool {
        matches!(self, Self::Objects(kind) if FETCHED.contains(&kind))
            || matches!(self, Self::Definitions | Self::Objects(Kind::Namespace | Kind::Node))
    }

    /// Field selector with which the server sends no others.
    pub(super) fn field_selector(self) -> Option<&'static str> {
        // Helm and others keep whole releases in Secrets.
        matches!(self, Self::Objects(Kind::Secret)).then_some("type=kubernetes.io/tls")
    }

    /// The resource in that version.
    pub(super) fn api_resource(self, version: &str) -> ApiResource {
        let (group, kind, plural) = match self {
            Self::Definitions => {
                ("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions")
            }
            Self::Objects(kind) => (kind.group(), kind.as_str(), kind.plural()),
        };
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}

/// Fields of metadata that are kept. The rest says nothing about what to serve, and is most of many objects:
/// `managedFields` and the annotation of `kubectl apply` are copies of the whole.
const METADATA: [&str; 7] =
    ["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"];
/// Fields of a Service's spec that are kept.
const SERVICE: [&str; 2] = ["type", "ports"];
/// Fields of an endpoint that are kept.
const ENDPOINT: [&str; 2] = ["addresses", "conditions"];
/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Takes away what no table is made of.
pub(super) fn trim(kind: Kind, object: &mut Value) {
    trim_metadata(kind, object);
    // Objects whose status we write are needed whole.
    let is_told = matches!(
        kind,
        Kind::GatewayClass
            | Kind::Gateway
            | Kind::ListenerSet
            | Kind::HttpRoute
            | Kind::GrpcRoute
            | Kind::TcpRoute
            | Kind::TlsRoute
            | Kind::UdpRoute
            | Kind::BackendTlsPolicy
    );
    if !is_told {
        object.as_object_mut().map(|fields| fields.remove("status"));
    }
    match kind {
        // Certificates and keys; a Secret may hold megabytes beside them.
        Kind::Secret => keep(object.get_mut("data"), &["tls.crt", "tls.key", "tls.ocsp-staple"]),
        Kind::ConfigMap => {
            keep(object.get_mut("data"), &["ca.crt"]);
            keep(object.get_mut("binaryData"), &["ca.crt"]);
        }
        Kind::ClusterTrustBundle => keep(object.get_mut("spec"), &["trustBundle"]),
        Kind::Service => keep(object.get_mut("spec"), &SERVICE),
        Kind::EndpointSlice => {
            let endpoints = object.get_mut("endpoints").and_then(Value::as_array_mut);
            endpoints.into_iter().flatten().for_each(|endpoint| keep(Some(endpoint), &ENDPOINT));
        }
        _ => {}
    }
}

/// Labels are read of Namespaces, which listeners select by them, of Nodes, which GatewayConfigs select by them, and one of
/// EndpointSlices.
fn trim_metadata(kind: Kind, object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata") else { return };
    let mut labels = metadata.get_mut("labels").map(Value::take);
    keep(Some(metadata), &METADATA);
    match kind {
        Kind::Namespace | Kind::Node => {}
        Kind::EndpointSlice => keep(labels.as_mut(), &[SERVICE_NAME]),
        _ => return,
    }
    if let (Some(labels), Some(fields)) = (labels, metadata.as_object_mut()) {
        fields.insert("labels".to_owned(), labels);
    }
}

fn keep(object: Option<&mut Value>, keys: &[&str]) {
    if let Some(fields) = object.and_then(Value::as_object_mut) {
        fields.retain(|key, _| keys.contains(&key.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn certificates_are_kept_and_the_rest_of_data_is_not() {
        let mut secret = json!({"data": {"tls.crt": "YQ==", "release": "Yg=="}});
        trim(Kind::Secret, &mut secret);
        assert_eq!(secret, json!({"data": {"tls.crt": "YQ=="}}));
    }

    #[test]
    fn what_no_table_is_made_of_is_not_kept() {
        let metadata = json!({
            "name": "n", "generateName": "n-", "finalizers": ["f"], "ownerReferences": [{}], "annotations": {"a": "b"},
            "labels": {"app": "x", "kubernetes.io/service-name": "s"},
        });
        let mut slice = json!({"metadata": metadata, "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "n", "zone": "z", "targetRef": {}}]});
        trim(Kind::EndpointSlice, &mut slice);
        let kept = json!({
            "metadata": {"name": "n", "labels": {"kubernetes.io/service-name": "s"}},
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
        });
        assert_eq!(slice, kept);
        let mut service = json!({
            "metadata": metadata, "status": {"loadBalancer": {}},
            "spec": {"ports": [{"port": 80}], "clusterIP": "10.1.2.3", "selector": {"a": "b"}},
        });
        trim(Kind::Service, &mut service);
        assert_eq!(service, json!({"metadata": {"name": "n"}, "spec": {"ports": [{"port": 80}]}}));
        let mut namespace = json!({"metadata": metadata});
        trim(Kind::Namespace, &mut namespace);
        assert_eq!(namespace, json!({"metadata": {"name": "n", "labels": metadata["labels"]}}));
        let mut route = json!({"metadata": {"name": "n"}, "status": {"parents": []}});
        trim(Kind::HttpRoute, &mut route);
        assert_eq!(route["status"], json!({"parents": []}));
    }

    #[test]
    fn resources_are_named_as_rbac_names_them() {
        assert_eq!(Subject::Objects(Kind::Service).resource(), "services");
        assert_eq!(Subject::Objects(Kind::HttpRoute).resource(), "httproutes.gateway.networking.k8s.io");
        assert!(
            Subject::Objects(Kind::HttpRoute).is_custom()
                && Subject::Objects(Kind::GatewayConfig).is_custom()
                && !Subject::Objects(Kind::EndpointSlice).is_custom()
        );
        let resource = Subject::Objects(Kind::Service).api_resource("v1");
        assert_eq!((resource.api_version.as_str(), resource.plural.as_str()), ("v1", "services"));
    }
}
