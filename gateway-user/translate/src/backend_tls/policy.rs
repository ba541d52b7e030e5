//! One BackendTLSPolicy on its own: what it asks for, and whether that can be done.

use std::sync::Arc;

use gateway_api_types::{BackendTlsPolicy, ObjectKey, SubjectAltNameType, WellKnownCaCertificates};
use gateway_ir::{BackendTls, ObjectName, SubjectAltName, TrustBundle};

use super::SystemAuthorities;
use crate::authorities::Authorities;
use crate::diagnostics::ConfigError;
use crate::reason;
use crate::view::View;

/// A policy as far as it can be judged without its neighbours.
#[derive(Debug)]
pub(super) struct PolicyState<'a> {
    pub(super) name: ObjectName,
    pub(super) object: &'a BackendTlsPolicy,
    /// Without the Gateways that must not use it.
    pub(super) settings: BackendTls,
    /// The reason that it is not accepted, if so.
    pub(super) refused: Option<ConfigError>,
    /// References that lead to no authorities.
    pub(super) unresolved: Vec<ConfigError>,
    /// Warnings: field and message.
    pub(super) notes: Vec<(String, String)>,
}

impl<'a> PolicyState<'a> {
    pub(super) fn new(
        view: &View<'a>,
        key: &ObjectKey,
        object: &'a BackendTlsPolicy,
        authorities: &mut Authorities,
        system: &SystemAuthorities,
    ) -> Self {
        let validation = &object.spec.validation;
        let mut unresolved = Vec::new();
        let mut trust: Vec<Arc<TrustBundle>> = Vec::new();
        for (index, reference) in validation.ca_certificate_refs.iter().enumerate() {
            let field = format!("validation.caCertificateRefs[{index}]");
            match authorities.of(view, &key.namespace, reference, &field) {
                Ok(same) if trust.iter().any(|one| Arc::ptr_eq(one, &same)) => {}
                Ok(bundle) => trust.push(bundle),
                Err(error) => unresolved.push(error),
            }
        }
        let mut refused = None;
        match (&validation.well_known_ca_certificates, trust.is_empty(), unresolved.is_empty()) {
            (Some(WellKnownCaCertificates::System), true, true) => match system.bundle() {
                Ok(bundle) => trust.push(Arc::clone(bundle)),
                Err(why) => {
                    let message = format!("System cannot be trusted here: {why}");
                    refused = Some(ConfigError::new(
                        reason::INVALID,
                        "validation.wellKnownCACertificates",
                        message,
                    ));
                }
            },
            (Some(other), true, true) => {
                let message = format!("{other} is not known; known: System");
                refused =
                    Some(ConfigError::new(reason::INVALID, "validation.wellKnownCACertificates", message));
            }
            (None, true, true) => {
                let message = "nothing says whom to trust; name a ConfigMap in caCertificateRefs, or set wellKnownCACertificates to System";
                refused = Some(ConfigError::new(reason::INVALID, "validation", message));
            }
            (_, true, false) => {
                let message = format!("no authority can be trusted: {}", reason::join_errors(&unresolved));
                refused = Some(ConfigError::new(reason::NO_VALID_CA_CERTIFICATE, "", message));
            }
            (_, false, _) => {}
        }
        if !gateway_tls::is_server_name(&validation.hostname) {
            let message =
                format!("{:?} is no DNS name; write one, such as \"app.example.com\"", validation.hostname);
            refused.get_or_insert(ConfigError::new(reason::INVALID, "validation.hostname", message));
        }
        if refused.is_some() {
            trust.clear();
        }
        let names = validation.subject_alt_names.iter().filter_map(|name| match name.type_ {
            SubjectAltNameType::Hostname => {
                name.hostname.as_ref().map(|text| SubjectAltName::Hostname(text.to_ascii_lowercase()))
            }
            SubjectAltNameType::Uri => name.uri.clone().map(SubjectAltName::Uri),
        });
        let name = ObjectName::new(&*key.namespace, &*key.name);
        let settings = BackendTls {
            policy: name.clone(),
            hostname: validation.hostname.to_ascii_lowercase().into(),
            subject_alt_names: names.collect(),
            trust,
            fault: refused.as_ref().map(|error| fault(error, &unresolved).into()),
            refused_gateways: Vec::new(),
        };
        Self { name, object, settings, refused, unresolved, notes: notes(object) }
    }
}

/// The fault without suggestions, which name objects that come and go.
fn fault(refused: &ConfigError, unresolved: &[ConfigError]) -> String {
    match unresolved.is_empty() {
        true => refused.plain(),
        false => reason::list(unresolved.iter().map(ConfigError::plain)),
    }
}

/// Parts that have no effect.
fn notes(object: &BackendTlsPolicy) -> Vec<(String, String)> {
    let targets = object.spec.target_refs.iter().enumerate();
    let others = targets.filter(|(_, target)| !target.group.is_empty() || target.kind != "Service");
    let other = |(index, target): (usize, &gateway_api_types::LocalPolicyTargetReferenceWithSectionName)| {
        let message = format!("kind {} is not supported as a target; supported: Service", target.kind);
        (format!("targetRefs[{index}].kind"), message)
    };
    let options = object.spec.options.keys().map(|key| {
        (format!("options[{key:?}]"), "the option is not known and has no effect; none is known".to_owned())
    });
    others.map(other).chain(options).collect()
}
