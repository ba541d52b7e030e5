//! Authorities: from `caCertificateRefs`, of policies and of Gateways, to checked certificates.

mod holder;

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::{Kind, LocalObjectReference, ObjectKey};
use gateway_ir::{ObjectName, TrustBundle, TrustSource};
use gateway_tls::read_authorities;

use self::holder::Holder;
use crate::diagnostics::ConfigError;
use crate::reason;
use crate::view::View;

/// Kind and name.
type Place = (Kind, ObjectKey);

/// The result for every object that was read, once for each of its versions.
#[derive(Debug, Default)]
pub(crate) struct Authorities {
    known: BTreeMap<Place, CachedBundle>,
    round: u64,
}

#[derive(Debug)]
struct CachedBundle {
    holder: Holder,
    /// The certificates, or the mistake in them.
    outcome: Result<Arc<TrustBundle>, String>,
    /// The round in which it was last asked for.
    used: u64,
}

impl Authorities {
    /// Begins a translation: what is not asked for until [`Authorities::finish`] is forgotten.
    pub(crate) fn start(&mut self) {
        self.round += 1;
    }

    pub(crate) fn finish(&mut self) {
        self.known.retain(|_, known| known.used == self.round);
    }

    /// The certificates that a reference to an object in `namespace` leads to. `field` is its place, for messages.
    ///
    /// # Errors
    /// `InvalidKind`, or `InvalidCACertificateRef` with the mistake in the reference or in the object.
    pub(crate) fn of(
        &mut self,
        view: &View<'_>,
        namespace: &str,
        reference: &LocalObjectReference,
        field: &str,
    ) -> Result<Arc<TrustBundle>, ConfigError> {
        let invalid_kind = |message| ConfigError::new(reason::INVALID_KIND, format!("{field}.kind"), message);
        let Some(place) = authority_place(namespace, reference) else {
            let LocalObjectReference { group, kind, .. } = reference;
            let group = if group.is_empty() { "core" } else { group };
            return Err(invalid_kind(format!(
                "kind {kind} of group {group} holds no authorities that can be read; refer to a core ConfigMap with an \
                 entry ca.crt, or to a ClusterTrustBundle of group certificates.k8s.io"
            )));
        };
        let invalid = |message: String| {
            ConfigError::new(reason::INVALID_CA_CERTIFICATE_REF, format!("{field}.name"), message)
        };
        let Some(holder) = Holder::find(view.resources, &place) else {
            let (kind, key) = &place;
            if view.resources.installed.as_ref().is_some_and(|installed| installed.absent.contains(kind)) {
                return Err(invalid_kind(format!(
                    "the API server serves no {kind}s; have it serve them (group {}), or refer to a ConfigMap",
                    kind.group()
                )));
            }
            let hint = Holder::hint(view.resources, &place);
            return Err(invalid(format!("no {kind} {:?}", key.to_string())).with_hint(hint));
        };
        let about = format!("{} {:?}", place.0, place.1.to_string());
        self.read(place, holder).map_err(|why| invalid(format!("{about}: {why}")))
    }

    fn read(&mut self, place: Place, holder: Holder) -> Result<Arc<TrustBundle>, String> {
        let known = self.known.get_mut(&place);
        if let Some(known) = known.filter(|known| known.holder.is_same(&holder)) {
            known.used = self.round;
            return known.outcome.clone();
        }
        let mut outcome = bundle(&place, &holder).map(Arc::new);
        if let (Ok(new), Some(CachedBundle { outcome: Ok(old), .. })) = (&mut outcome, self.known.get(&place))
            && *new == *old
        {
            *new = Arc::clone(old);
        }
        let known = CachedBundle { holder, outcome: outcome.clone(), used: self.round };
        self.known.insert(place, known);
        outcome
    }
}

fn bundle((kind, key): &Place, holder: &Holder) -> Result<TrustBundle, String> {
    let (field, pem) = holder.pem()?;
    let certificates = read_authorities(pem).map_err(|error| format!("{field}: {error}"))?;
    let source = match kind {
        Kind::ClusterTrustBundle => TrustSource::ClusterTrustBundle(key.name.as_str().into()),
        _ => TrustSource::ConfigMap(ObjectName::new(&*key.namespace, &*key.name)),
    };
    Ok(TrustBundle { source, certificates })
}

/// The object with authorities that a reference to this namespace means; `None` if its kind holds none.
pub(crate) fn authority_place(namespace: &str, reference: &LocalObjectReference) -> Option<Place> {
    let LocalObjectReference { group, kind, name } = reference;
    match Kind::find(group, kind)? {
        kind @ Kind::ConfigMap => Some((kind, ObjectKey::new(namespace, &**name))),
        kind @ Kind::ClusterTrustBundle => Some((kind, ObjectKey::new("", &**name))),
        _ => None,
    }
}
