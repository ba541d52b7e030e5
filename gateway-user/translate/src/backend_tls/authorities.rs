//! Authorities: from a policy's `caCertificateRefs` to checked certificates.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::{LocalObjectReference, ObjectKey};
use gateway_ir::{ObjectName, TrustBundle, TrustSource};
use gateway_tls::read_authorities;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::diagnostics::ConfigError;
use crate::reason;
use crate::suggest::{self, SearchBudget};
use crate::view::View;

/// The entry of a ConfigMap that is read (`BackendTLSPolicyValidation.caCertificateRefs`).
const ENTRY: &str = "ca.crt";

/// The result for every ConfigMap that was read, once for each of its versions.
#[derive(Debug, Default)]
pub(super) struct Authorities {
    known: BTreeMap<ObjectKey, CachedBundle>,
    round: u64,
}

#[derive(Debug)]
struct CachedBundle {
    map: Arc<ConfigMap>,
    /// The certificates, or the mistake in them.
    outcome: Result<Arc<TrustBundle>, String>,
    /// The round in which it was last asked for.
    used: u64,
}

impl Authorities {
    /// Begins a translation: what is not asked for until [`Authorities::finish`] is forgotten.
    pub(super) fn start(&mut self) {
        self.round += 1;
    }

    pub(super) fn finish(&mut self) {
        self.known.retain(|_, known| known.used == self.round);
    }

    /// The certificates that a reference of a policy in `namespace` leads to. `field` is its place, for messages.
    ///
    /// # Errors
    /// `InvalidKind`, or `InvalidCACertificateRef` with the mistake in the reference or in the object.
    pub(super) fn of(
        &mut self,
        view: &View<'_>,
        namespace: &str,
        reference: &LocalObjectReference,
        field: &str,
    ) -> Result<Arc<TrustBundle>, ConfigError> {
        let LocalObjectReference { group, kind, name } = reference;
        if !group.is_empty() || kind != "ConfigMap" {
            let group = if group.is_empty() { "core" } else { group };
            let message = format!(
                "kind {kind} of group {group} holds no authorities that can be read; refer to a core ConfigMap with an entry {ENTRY}"
            );
            return Err(ConfigError::new(reason::INVALID_KIND, format!("{field}.kind"), message));
        }
        let invalid = |message: String| {
            ConfigError::new(reason::INVALID_CA_CERTIFICATE_REF, format!("{field}.name"), message)
        };
        let Some(map) = view.config_map(namespace, name) else {
            let near = view.config_map_names(namespace);
            let hint = suggest::did_you_mean(name, near, &SearchBudget::default());
            return Err(invalid(format!("no ConfigMap \"{namespace}/{name}\"")).with_hint(hint));
        };
        let outcome = self.read(namespace, name, map);
        outcome.map_err(|why| invalid(format!("ConfigMap \"{namespace}/{name}\": {why}")))
    }

    fn read(
        &mut self,
        namespace: &str,
        name: &str,
        map: &Arc<ConfigMap>,
    ) -> Result<Arc<TrustBundle>, String> {
        let key = ObjectKey::new(namespace, name);
        if let Some(known) = self.known.get_mut(&key).filter(|known| Arc::ptr_eq(&known.map, map)) {
            known.used = self.round;
            return known.outcome.clone();
        }
        let source = TrustSource::ConfigMap(ObjectName::new(namespace, name));
        let mut outcome = bundle(source, map).map(Arc::new);
        if let (Ok(new), Some(CachedBundle { outcome: Ok(old), .. })) = (&mut outcome, self.known.get(&key))
            && *new == *old
        {
            *new = Arc::clone(old);
        }
        let known = CachedBundle { map: Arc::clone(map), outcome: outcome.clone(), used: self.round };
        self.known.insert(key, known);
        outcome
    }
}

fn bundle(source: TrustSource, map: &ConfigMap) -> Result<TrustBundle, String> {
    let text = map.data.as_ref().and_then(|data| data.get(ENTRY)).map(String::as_bytes);
    let binary = || map.binary_data.as_ref().and_then(|data| data.get(ENTRY)).map(|bytes| bytes.0.as_slice());
    let entry = text
        .or_else(binary)
        .ok_or_else(|| format!("it has no entry {ENTRY}; put the authorities' certificates there, in PEM"))?;
    let certificates = read_authorities(entry).map_err(|error| format!("{ENTRY}: {error}"))?;
    Ok(TrustBundle { source, certificates })
}
