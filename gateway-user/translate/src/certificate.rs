//! Certificates: from a listener's `certificateRefs` to checked chains and keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::{ObjectKey, SecretObjectReference};
use gateway_ir::{Certificate, ObjectName, PrivateKey};
use gateway_tls::{Identity, ParsedIdentity, Staple};
use k8s_openapi::api::core::v1::Secret;

use crate::diagnostics::ConfigError;
use crate::grants::{Referent, Referrer};
use crate::reason;
use crate::suggest::{self, SearchBudget};
use crate::view::View;

/// The type of Secrets that hold a certificate. Over a cluster no others are seen, and files behave as a
/// cluster does.
const TLS_SECRET: &str = "kubernetes.io/tls";
/// The entries of such a Secret.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// The entry with an OCSP response about the certificate, which it may have; named as Envoy Gateway names it.
const STAPLE: &str = "tls.ocsp-staple";

/// A certificate, and warnings about it.
pub(crate) type CertificateWithNotes = (Arc<Certificate>, Vec<String>);

/// The result for every Secret that was read: keys are checked by arithmetic that costs more than all the
/// rest of judging a Gateway, so it is done once for each version of a Secret.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    known: BTreeMap<ObjectKey, CachedCertificate>,
    round: u64,
    /// The budget for suggestions of the Gateway at hand.
    budget: SearchBudget,
}

#[derive(Debug)]
struct CachedCertificate {
    secret: Arc<Secret>,
    /// The certificate, or what is wrong with the Secret.
    outcome: Result<Arc<Certificate>, String>,
    /// Warnings about the certificate.
    notes: Arc<[String]>,
    /// The round in which it was last asked for.
    used: u64,
}

impl Certificates {
    /// Begins a translation: what is not asked for until [`Certificates::finish`] is forgotten.
    pub(crate) fn start(&mut self) {
        self.round += 1;
    }

    /// Begins another Gateway.
    pub(crate) fn start_gateway(&mut self) {
        self.budget = SearchBudget::default();
    }

    pub(crate) fn finish(&mut self) {
        self.known.retain(|_, known| known.used == self.round);
    }

    /// The certificate of one reference of `from`, and notes on it. `field` is its place,
    /// for messages. Permission comes before existence: nothing is told about what is not allowed.
    ///
    /// # Errors
    /// `RefNotPermitted`, or `InvalidCertificateRef` with the mistake in the reference or in the Secret.
    pub(crate) fn resolve(
        &mut self,
        view: &View<'_>,
        from: Referrer<'_>,
        reference: &SecretObjectReference,
        field: &str,
    ) -> Result<CertificateWithNotes, ConfigError> {
        let invalid = |message: String| ConfigError::new(reason::INVALID_CERTIFICATE_REF, field, message);
        if !reference.group.is_empty() || reference.kind != "Secret" {
            let group = if reference.group.is_empty() { "core" } else { &reference.group };
            return Err(invalid(format!(
                "kind {} of group {group} holds no certificates; refer to a core Secret of type kubernetes.io/tls",
                reference.kind
            )));
        }
        let Referrer { kind, namespace, .. } = from;
        let target = reference.namespace.as_deref().unwrap_or(namespace);
        let name = reference.name.as_str();
        if !view.grants.allow(from, Referent { group: "", kind: "Secret", namespace: target, name }) {
            return Err(ConfigError::new(
                reason::REF_NOT_PERMITTED,
                field,
                format!(
                    "no ReferenceGrant in namespace {target:?} allows {kind}s of {namespace:?} to refer to \
                     Secret {name:?}"
                ),
            ));
        }
        let Some(secret) = view.secret(target, name) else {
            let hint = suggest::did_you_mean(name, view.secret_names(target, from), &self.budget);
            return Err(
                invalid(format!("no Secret \"{target}/{name}\" of type {TLS_SECRET}")).with_hint(hint)
            );
        };
        let of_secret = |text: &str| format!("Secret \"{target}/{name}\": {text}");
        let (certificate, notes) = self.read(target, name, secret).map_err(|why| invalid(of_secret(&why)))?;
        Ok((certificate, notes.iter().map(|note| of_secret(note)).collect()))
    }

    fn read(
        &mut self,
        namespace: &str,
        name: &str,
        secret: &Arc<Secret>,
    ) -> Result<(Arc<Certificate>, Arc<[String]>), String> {
        let key = ObjectKey::new(namespace, name);
        let round = self.round;
        let before = self.known.get_mut(&key);
        if let Some(known) = before.filter(|known| Arc::ptr_eq(&known.secret, secret)) {
            known.used = round;
            return known.outcome.clone().map(|certificate| (certificate, Arc::clone(&known.notes)));
        }
        let (mut outcome, notes) = match certificate(ObjectName::new(namespace, name), secret) {
            Ok((certificate, notes)) => (Ok(Arc::new(certificate)), notes.into()),
            Err(why) => (Err(why), Arc::default()),
        };
        if let (Ok(new), Some(CachedCertificate { outcome: Ok(old), .. })) =
            (&mut outcome, self.known.get(&key))
            && *new == *old
        {
            *new = Arc::clone(old);
        }
        let known = CachedCertificate {
            secret: Arc::clone(secret),
            outcome: outcome.clone(),
            notes: Arc::clone(&notes),
            used: round,
        };
        self.known.insert(key, known);
        outcome.map(|certificate| (certificate, notes))
    }
}

fn certificate(name: ObjectName, secret: &Secret) -> Result<(Certificate, Vec<String>), String> {
    let type_ = secret.type_.as_deref().unwrap_or("Opaque");
    if type_ != TLS_SECRET {
        return Err(format!(
            "it is of type {type_}; make it anew with type {TLS_SECRET}, as `kubectl create secret tls` does"
        ));
    }
    let entry = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
        bytes.filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
            format!("it has no {key}; a Secret of type {TLS_SECRET} has {CERTIFICATE} and {KEY}")
        })
    };
    let ParsedIdentity { identity, notes } =
        Identity::read(entry(CERTIFICATE)?, entry(KEY)?).map_err(|error| error.to_string())?;
    let Identity { chain, key, names, fingerprint, not_before, not_after, staple: _ } = identity;
    let mut notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    let response = entry(STAPLE).ok();
    let staple = response.and_then(|response| {
        let read = Staple::read(response, chain.first()?);
        read.inspect_err(|why| notes.push(why.to_string())).ok()
    });
    let staple = staple.map(|Staple { der, this_update, next_update }| gateway_ir::Staple {
        der,
        this_update,
        next_update,
    });
    let key = PrivateKey(key);
    let certificate =
        Certificate { secret: name, names, not_before, not_after, fingerprint, chain, key, staple };
    Ok((certificate, notes))
}
