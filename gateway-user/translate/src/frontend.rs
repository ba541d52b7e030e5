//! Checks of clients' certificates, as a Gateway asks for them (GEP-91).

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::{
    FrontendTlsValidation, FrontendValidationMode, GATEWAY_GROUP, Gateway, Kind, Listener,
    LocalObjectReference, ObjectKey, ObjectReference, ProtocolType,
};
use gateway_ir::{ClientValidation, ClientValidationMode, TrustBundle};

use crate::authorities::{Authorities, authority_place};
use crate::diagnostics::ConfigError;
use crate::grants::{Grants, Referent, Referrer};
use crate::reason;
use crate::view::View;

/// The check of one listener.
#[derive(Debug)]
pub(crate) struct FrontendState {
    /// The check; without an authority nobody passes it.
    pub(crate) validation: ClientValidation,
    /// The reason that nobody does, if so.
    pub(crate) untrusted: Option<ConfigError>,
    /// References that lead to no authorities.
    pub(crate) unresolved: Vec<ConfigError>,
}

impl FrontendState {
    /// The check of a listener of this Gateway on a port at which TLS ends; `None` if clients need no certificate there.
    pub(crate) fn of_port(
        view: &View<'_>,
        authorities: &mut Authorities,
        gateway: &Gateway,
        namespace: &str,
        port: u16,
    ) -> Option<Self> {
        let (field, spec) = asked(gateway, port)?;
        let (mut trust, mut unresolved) = (Vec::<Arc<TrustBundle>>::new(), Vec::new());
        for (index, reference) in spec.ca_certificate_refs.iter().enumerate() {
            let field = format!("{field}.caCertificateRefs[{index}]");
            match bundle(view, authorities, namespace, reference, &field) {
                Ok(same) if trust.iter().any(|one| Arc::ptr_eq(one, &same)) => {}
                Ok(bundle) => trust.push(bundle),
                Err(error) => unresolved.push(error),
            }
        }
        let untrusted = trust.is_empty().then(|| {
            let why = match unresolved.is_empty() {
                true => "name a ConfigMap with the authorities to trust".to_owned(),
                false => reason::join_errors(&unresolved),
            };
            let message = format!("no authority can be trusted, so no client may connect: {why}");
            ConfigError::new(reason::NO_VALID_CA_CERTIFICATE, field, message)
        });
        let mode = match spec.mode {
            FrontendValidationMode::AllowInsecureFallback => ClientValidationMode::AllowInsecureFallback,
            FrontendValidationMode::AllowValidOnly => ClientValidationMode::AllowValidOnly,
        };
        let validation = ClientValidation { trust, mode };
        Some(Self { validation, untrusted, unresolved })
    }
}

/// Says where a Gateway lets clients in without a valid certificate that it asks for; `None` if nowhere.
pub(crate) fn insecure(gateway: &Gateway) -> Option<String> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let is_insecure = |validation: &Option<FrontendTlsValidation>| {
        validation.as_ref().is_some_and(|own| own.mode == FrontendValidationMode::AllowInsecureFallback)
    };
    let default = is_insecure(&frontend.default.validation).then(|| "tls.frontend.default".to_owned());
    let ports = frontend.per_port.iter().enumerate().filter(|(_, one)| is_insecure(&one.tls.validation));
    let ports = ports.map(|(at, one)| format!("tls.frontend.perPort[{at}] (port {})", one.port));
    let places: Vec<_> = default.into_iter().chain(ports).collect();
    (!places.is_empty()).then(|| {
        format!(
            "mode AllowInsecureFallback of {} lets clients in without a valid certificate; only what is in \
             X-Forwarded-Client-Cert was checked",
            reason::list(places)
        )
    })
}

/// The objects with authorities for clients of these listeners, its own or of a set of it, that a Gateway refers to, with leave.
/// Their existence plays no part.
pub(crate) fn authorities(
    gateway: &Gateway,
    listeners: &[Listener],
    grants: &Grants<'_>,
) -> Vec<(Kind, ObjectKey)> {
    let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
    let secured = |port: &u16| {
        let is_tls = |protocol: &ProtocolType| matches!(protocol, ProtocolType::Https | ProtocolType::Tls);
        listeners.iter().any(|one| one.port == *port && is_tls(&one.protocol))
    };
    let ports = listeners.iter().map(|listener| listener.port).filter(secured);
    // Ports mostly share the default.
    let asked: BTreeMap<_, _> = ports.filter_map(|port| asked(gateway, port)).collect();
    let references = asked.into_values().flat_map(|spec| &spec.ca_certificate_refs);
    let permitted = references.filter(|one| is_permitted(grants, namespace, one));
    permitted.filter_map(|one| authority_place(target(namespace, one), &local(one))).collect()
}

/// The check that is asked for on a port, and its field.
fn asked(gateway: &Gateway, port: u16) -> Option<(String, &FrontendTlsValidation)> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let own = frontend.per_port.iter().enumerate().find(|(_, one)| one.port == port);
    let (field, config) = match own {
        Some((at, own)) => (format!("tls.frontend.perPort[{at}].tls.validation"), &own.tls),
        None => ("tls.frontend.default.validation".to_owned(), &frontend.default),
    };
    Some((field, config.validation.as_ref()?))
}

/// The authorities of one reference. Permission comes before existence: nothing is told about what is not allowed.
fn bundle(
    view: &View<'_>,
    authorities: &mut Authorities,
    namespace: &str,
    reference: &ObjectReference,
    field: &str,
) -> Result<Arc<TrustBundle>, ConfigError> {
    let is_known = authority_place(namespace, &local(reference)).is_some();
    if is_known && !is_permitted(&view.grants, namespace, reference) {
        let (kind, name, target) = (&reference.kind, &reference.name, target(namespace, reference));
        let message = format!(
            "no ReferenceGrant in namespace {target:?} allows Gateways of {namespace:?} to refer to {kind} {name:?}"
        );
        return Err(ConfigError::new(reason::REF_NOT_PERMITTED, field, message));
    }
    let found = authorities.of(view, target(namespace, reference), &local(reference), field);
    found.map_err(|error| match error.reason {
        reason::INVALID_KIND => ConfigError { reason: reason::INVALID_CA_CERTIFICATE_KIND, ..error },
        _ => error,
    })
}

/// True if a Gateway of this namespace may refer to the object. One without a namespace, as a ClusterTrustBundle, is everybody's.
fn is_permitted(grants: &Grants<'_>, namespace: &str, reference: &ObjectReference) -> bool {
    let ObjectReference { group, kind, name, .. } = reference;
    let from = Referrer { group: GATEWAY_GROUP, kind: "Gateway", namespace };
    grants.allow(from, Referent { group, kind, namespace: target(namespace, reference), name })
}

fn target<'a>(namespace: &'a str, reference: &'a ObjectReference) -> &'a str {
    reference.namespace.as_deref().unwrap_or(namespace)
}

fn local(reference: &ObjectReference) -> LocalObjectReference {
    let ObjectReference { group, kind, name, .. } = reference;
    LocalObjectReference { group: group.clone(), kind: kind.clone(), name: name.clone() }
}
