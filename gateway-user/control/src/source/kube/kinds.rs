//! Which objects of a cluster are watched, and what is kept of them.

use std::fmt;

use gateway_api_types::Kind;
use kube::core::ApiResource;
use serde_json::Value;

/// The kinds that are watched, in the order in which the watches start. A kind that nothing is made of is not asked for:
/// it would cost memory, and the right to read it.
pub(super) const WATCHED: [Kind; 10] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::HttpRoute,
    Kind::ReferenceGrant,
    Kind::BackendTlsPolicy,
    Kind::Namespace,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::ConfigMap,
];

/// What one watch is of.
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

    /// Whether its objects live in namespaces.
    pub(super) fn namespaced(self) -> bool {
        matches!(self, Self::Objects(kind) if kind.namespaced())
    }

    /// Whether the definition may be missing or of another version: it is not part of Kubernetes itself.
    pub(super) fn is_custom(self) -> bool {
        matches!(self, Self::Objects(kind) if kind.group().ends_with("k8s.io") && kind.group().starts_with("gateway."))
    }

    /// Whether only metadata is asked for.
    pub(super) fn metadata_only(self) -> bool {
        matches!(self, Self::Definitions | Self::Objects(Kind::Namespace))
    }

    /// What is asked of the server so that it does not send the rest.
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

/// Takes away what no table is made of; false if nothing is left that is of use.
pub(super) fn trim(kind: Kind, object: &mut Value) -> bool {
    match kind {
        // Certificates and keys; a Secret may hold megabytes beside them.
        Kind::Secret => {
            keep_data(object, &["tls.crt", "tls.key", "ca.crt"]);
            true
        }
        // Certificates of authorities are all that is looked for in a ConfigMap.
        Kind::ConfigMap => {
            object.as_object_mut().map(|fields| fields.remove("binaryData"));
            keep_data(object, &["ca.crt"])
        }
        _ => true,
    }
}

/// Whether any of these keys is there.
fn keep_data(object: &mut Value, keys: &[&str]) -> bool {
    let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) else { return false };
    data.retain(|key, _| keys.contains(&key.as_str()));
    !data.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn certificates_are_kept_and_the_rest_of_data_is_not() {
        let mut secret = json!({"data": {"tls.crt": "YQ==", "release": "Yg=="}});
        assert!(trim(Kind::Secret, &mut secret));
        assert_eq!(secret, json!({"data": {"tls.crt": "YQ=="}}));
        let mut map = json!({"data": {"ca.crt": "x", "app.conf": "y"}, "binaryData": {"z": "Yg=="}});
        assert!(trim(Kind::ConfigMap, &mut map));
        assert_eq!(map, json!({"data": {"ca.crt": "x"}}));
        assert!(!trim(Kind::ConfigMap, &mut json!({"data": {"app.conf": "y"}})));
        assert!(!trim(Kind::ConfigMap, &mut json!({})));
    }

    #[test]
    fn resources_are_named_as_rbac_names_them() {
        assert_eq!(Subject::Objects(Kind::Service).resource(), "services");
        assert_eq!(Subject::Objects(Kind::HttpRoute).resource(), "httproutes.gateway.networking.k8s.io");
        assert!(
            Subject::Objects(Kind::HttpRoute).is_custom()
                && !Subject::Objects(Kind::EndpointSlice).is_custom()
        );
        let resource = Subject::Objects(Kind::Service).api_resource("v1");
        assert_eq!((resource.api_version.as_str(), resource.plural.as_str()), ("v1", "services"));
    }
}
