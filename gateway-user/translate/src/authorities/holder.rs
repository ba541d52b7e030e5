//! Objects that hold authorities.

use std::sync::Arc;

use gateway_api_types::{Kind, ObjectKey, ResourceSet};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::suggest::{self, SearchBudget};
use crate::view::names_in;

/// The entry of a ConfigMap that is read (`BackendTLSPolicyValidation.caCertificateRefs`).
const ENTRY: &str = "ca.crt";

/// One of them, in one version.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    ConfigMap(Arc<ConfigMap>),
    /// KEP-3257.
    ClusterTrustBundle(Arc<ClusterTrustBundle>),
}

impl Holder {
    pub(super) fn find(resources: &ResourceSet, (kind, key): &(Kind, ObjectKey)) -> Option<Self> {
        match kind {
            Kind::ConfigMap => resources.config_maps.get(key).map(Arc::clone).map(Self::ConfigMap),
            Kind::ClusterTrustBundle => {
                resources.cluster_trust_bundles.get(key).map(Arc::clone).map(Self::ClusterTrustBundle)
            }
            _ => None,
        }
    }

    /// A question about another one of that kind and namespace, where the name is nearly its.
    pub(super) fn hint(resources: &ResourceSet, (kind, key): &(Kind, ObjectKey)) -> String {
        let budget = SearchBudget::default();
        match kind {
            Kind::ClusterTrustBundle => {
                suggest::did_you_mean(&key.name, names_in(&resources.cluster_trust_bundles, ""), &budget)
            }
            _ => suggest::did_you_mean(&key.name, names_in(&resources.config_maps, &key.namespace), &budget),
        }
    }

    /// True if it is the same version of the same object.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ConfigMap(one), Self::ConfigMap(other)) => Arc::ptr_eq(one, other),
            (Self::ClusterTrustBundle(one), Self::ClusterTrustBundle(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The certificates in PEM, and the field that has them.
    ///
    /// # Errors
    /// A ConfigMap has no such entry; the text says what to do.
    pub(super) fn pem(&self) -> Result<(&'static str, &[u8]), String> {
        let map = match self {
            Self::ConfigMap(map) => map,
            Self::ClusterTrustBundle(bundle) => {
                return Ok(("spec.trustBundle", bundle.spec.trust_bundle.as_bytes()));
            }
        };
        let text = map.data.as_ref().and_then(|data| data.get(ENTRY)).map(String::as_bytes);
        let binary =
            || map.binary_data.as_ref().and_then(|data| data.get(ENTRY)).map(|bytes| bytes.0.as_slice());
        let pem = text.or_else(binary).ok_or_else(|| {
            format!("it has no entry {ENTRY}; put the authorities' certificates there, in PEM")
        })?;
        Ok((ENTRY, pem))
    }
}
