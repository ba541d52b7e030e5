//! BackendTLSPolicy: how a Gateway speaks TLS to a backend (GEP-1897).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LocalObjectReference, LocalPolicyTargetReferenceWithSectionName, PolicyStatus};

resource! {
    /// TLS towards backends.
    BackendTlsPolicy, "BackendTLSPolicy", "backendtlspolicies", gateway / "v1", namespaced,
    spec: BackendTlsPolicySpec, status: PolicyStatus
}

open_enum! {
    /// A set of authorities that needs no object.
    WellKnownCaCertificates {
        /// Those of the system.
        System = "System",
    }
}

closed_enum! {
    /// The kind of name that a certificate must carry.
    SubjectAltNameType {
        /// A DNS name.
        Hostname = "Hostname",
        /// A URI, such as a SPIFFE id.
        Uri = "URI",
    }
}

/// Wanted state of a BackendTLSPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicySpec {
    /// The backends, 1 to 16; a Service's port by its name.
    pub target_refs: Vec<LocalPolicyTargetReferenceWithSectionName>,
    /// Checks of a backend's certificate.
    pub validation: BackendTlsPolicyValidation,
    /// Implementation-specific settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Checks of a backend's certificate. Exactly one of `caCertificateRefs` and `wellKnownCACertificates` is
/// present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicyValidation {
    /// ConfigMaps (key `ca.crt`), or ClusterTrustBundles, with the authorities to trust.
    #[serde(rename = "caCertificateRefs", default, skip_serializing_if = "Vec::is_empty")]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// Authorities to trust that need no object.
    #[serde(rename = "wellKnownCACertificates", default, skip_serializing_if = "Option::is_none")]
    pub well_known_ca_certificates: Option<WellKnownCaCertificates>,
    /// The server name to send, and to expect in the certificate if `subjectAltNames` is empty.
    pub hostname: String,
    /// Names of which the certificate must carry one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name that a certificate may carry; the field that `type` names is present.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectAltName {
    /// The kind of name.
    #[serde(rename = "type")]
    pub type_: SubjectAltNameType,
    /// For `Hostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// For `URI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}
