//! TLS to backends: what a connection to the endpoints of a cluster shows and checks.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::ObjectName;

/// The settings of a BackendTLSPolicy (GEP-1897) for the endpoints of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendTls {
    /// The policy.
    pub policy: ObjectName,
    /// The server name that is sent (RFC 6066 section 3), in lower case. The certificate must be for it, unless there
    /// are `subject_alt_names`.
    pub hostname: Arc<str>,
    /// Names of which the certificate must have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
    /// The authorities that are trusted, without repeats. None: requests respond 502.
    pub trust: Vec<Arc<TrustBundle>>,
    /// The reason that there is no authority, as the policy's condition says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Arc<str>>,
    /// Gateways that must not use the policy, since its status has no room for them (gateway-api
    /// `PolicyStatus.ancestors`). Their requests respond 502.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_gateways: Vec<ObjectName>,
}

impl BackendTls {
    /// True if there is an authority to trust.
    pub fn is_usable(&self) -> bool {
        !self.trust.is_empty()
    }

    /// True if requests of this Gateway must not be sent by it.
    pub fn refuses(&self, gateway: &ObjectName) -> bool {
        self.refused_gateways.contains(gateway)
    }
}

/// A name in a certificate's `subjectAltName` (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubjectAltName {
    /// A DNS name in lower case, maybe with a first label `*`.
    Hostname(String),
    /// A URI, compared byte by byte.
    Uri(String),
}

/// Certificates of authorities, out of one object.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TrustBundle {
    /// Where they are from.
    pub source: TrustSource,
    /// In DER, each of them readable.
    #[serde(serialize_with = "count")]
    pub certificates: Vec<Vec<u8>>,
}

/// The object that authorities are from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TrustSource {
    /// Key `ca.crt` of a ConfigMap.
    ConfigMap(ObjectName),
    /// A ClusterTrustBundle, by its name.
    ClusterTrustBundle(Box<str>),
    /// The bundle of the system.
    System,
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hostname(name) | Self::Uri(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for TrustSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "ConfigMap/{name}"),
            Self::ClusterTrustBundle(name) => write!(f, "ClusterTrustBundle/{name}"),
            Self::System => f.write_str("System"),
        }
    }
}

impl fmt::Display for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.certificates.len() == 1 { "" } else { "s" };
        write!(f, "{} ({} certificate{plural})", self.source, self.certificates.len())
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Number of certificates, since nobody reads their bytes.
fn count<S: Serializer>(certificates: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(certificates.len() as u64)
}
