//! Certificates that are out of date, or will be soon. They are served all the same: clients decide.

use std::collections::BTreeMap;

use gateway_api_types::load::Severity;
use gateway_api_types::{Kind, ObjectKey, ResourceSet};
use gateway_ir::{Certificate, Ir, ObjectName};
use gateway_translate::{Diagnostic, ObjectRef};
use jiff::Timestamp;

/// A certificate that ends within so many seconds is told of: 30 days, in which people can have another one.
const SOON: i64 = 30 * 86_400;
/// Unless that is more than this part of its life: those that are made by machines for days or weeks are renewed at a third of it.
const SOON_PART: i64 = 3;

/// Every certificate that is served, once, by its Secret.
pub fn certificates(ir: &Ir) -> impl Iterator<Item = &Certificate> {
    let listeners = ir.binds.iter().flat_map(|bind| &bind.listeners);
    let all = listeners.filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificates);
    let by_secret: BTreeMap<&ObjectName, &Certificate> = all.map(|one| (&one.secret, &**one)).collect();
    by_secret.into_values()
}

/// Findings for certificates that are not valid at `now`.
pub fn findings(ir: &Ir, resources: &ResourceSet, now: Timestamp) -> Vec<Diagnostic> {
    let finding = |certificate: &Certificate, field: &str, message: Option<String>| {
        let message = message?;
        let key = ObjectKey::new(&*certificate.secret.namespace, &*certificate.secret.name);
        let origin = resources.origin(Kind::Secret, &key).cloned();
        let object = ObjectRef { kind: Kind::Secret, key };
        Some(Diagnostic { severity: Severity::Warning, object, field: field.to_owned(), message, origin })
    };
    let both = |one| {
        let now = now.as_second();
        [
            finding(one, "data[tls.crt]", message(one, now)),
            finding(one, "data[tls.ocsp-staple]", message_of_staple(one, now)),
        ]
    };
    certificates(ir).flat_map(both).flatten().collect()
}

fn message_of_staple(certificate: &Certificate, now: i64) -> Option<String> {
    let staple = certificate.staple.as_ref()?;
    match staple.next_update {
        Some(end) if end <= now => Some(format!(
            "the OCSP response is out of date since {}, and no longer stapled; ask the responder for another",
            date(end)
        )),
        _ => (staple.this_update > now).then(|| {
            format!("the OCSP response is valid from {} on, and not stapled before", date(staple.this_update))
        }),
    }
}

fn date(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}

fn message(certificate: &Certificate, now: i64) -> Option<String> {
    if certificate.not_after < now {
        let date = date(certificate.not_after);
        return Some(format!("the certificate expired at {date}, and clients refuse it; renew it"));
    }
    if certificate.not_before > now {
        let date = date(certificate.not_before);
        return Some(format!("the certificate is valid from {date} on, and clients refuse it before"));
    }
    let life = certificate.not_after.saturating_sub(certificate.not_before);
    (certificate.not_after - now < SOON.min(life / SOON_PART)).then(|| {
        format!(
            "the certificate expires at {}, and clients refuse it then; renew it",
            date(certificate.not_after)
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gateway_ir::{
        Bind, BindAddress, Listener, ListenerId, ListenerSettings, ListenerTls, PrivateKey, Serve, SharedMap,
        Staple,
    };

    use super::*;

    fn ir(valid: &[(&str, i64, i64)]) -> Ir {
        let certificate = |(name, not_before, not_after): &(&str, i64, i64)| {
            Arc::new(Certificate {
                secret: ObjectName::new("edge", *name),
                names: Vec::new(),
                not_before: *not_before,
                not_after: *not_after,
                fingerprint: String::new(),
                chain: Vec::new(),
                key: PrivateKey(Vec::new()),
                staple: None,
            })
        };
        let tls =
            ListenerTls { certificates: valid.iter().map(certificate).collect(), ..ListenerTls::default() };
        let id = ListenerId::of_gateway(ObjectName::new("edge", "gw"), "https");
        let listener = Listener {
            id,
            hostname: None,
            serve: Serve::Https,
            tls: Some(tls),
            settings: ListenerSettings::default(),
            backend_certificate: None,
            routes: SharedMap::new(),
        };
        let bind = |port| Bind { address: BindAddress::Any, port, listeners: vec![listener.clone()] };
        Ir { binds: vec![bind(443), bind(8443)], ..Ir::default() }
    }

    #[test]
    fn a_staple_has_a_time_of_its_own() {
        let mut ir = ir(&[("one", 0, 2_000)]);
        let mut said = |this_update, next_update| {
            let staple = Some(Staple { der: Vec::new(), this_update, next_update });
            for listener in ir.binds.iter_mut().flat_map(|bind| &mut bind.listeners) {
                let one = Certificate::clone(&listener.tls.as_ref().unwrap().certificates[0]);
                let certificates = vec![Arc::new(Certificate { staple: staple.clone(), ..one })];
                listener.tls = Some(ListenerTls { certificates, ..ListenerTls::default() });
            }
            let now = Timestamp::from_second(1_000).unwrap();
            findings(&ir, &ResourceSet::default(), now).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said(1_000, Some(1_001)), [""; 0]);
        assert_eq!(said(0, None), [""; 0]);
        assert_eq!(
            said(0, Some(1_000)),
            [
                "Secret edge/one: data[tls.ocsp-staple]: the OCSP response is out of date since 1970-01-01T00:16:40Z, and no \
              longer stapled; ask the responder for another"
            ]
        );
        assert_eq!(
            said(1_001, None),
            [
                "Secret edge/one: data[tls.ocsp-staple]: the OCSP response is valid from 1970-01-01T00:16:41Z on, and not \
              stapled before"
            ]
        );
    }

    #[test]
    fn an_end_that_is_near_is_told_by_the_length_of_a_life() {
        const DAY: i64 = 86_400;
        let said = |not_after: i64, now: i64| {
            let now = Timestamp::from_second(now).unwrap();
            findings(&ir(&[("one", 0, not_after)]), &ResourceSet::default(), now).len()
        };
        // A year, three months, a week.
        for (life, silent_until) in [(365 * DAY, 335 * DAY), (90 * DAY, 60 * DAY), (6 * DAY, 4 * DAY)] {
            assert_eq!(said(life, silent_until), 0, "{life}");
            assert_eq!(said(life, silent_until + 1), 1, "{life}");
        }
    }

    #[test]
    fn what_is_out_of_date_is_said_once() {
        let ir = ir(&[("good", 0, 2_000), ("old", 0, 999), ("new", 1_001, 2_000), ("edge", 1_000, 1_000)]);
        assert_eq!(certificates(&ir).count(), 4);
        let now = Timestamp::from_second(1_000).unwrap();
        let said: Vec<_> =
            findings(&ir, &ResourceSet::default(), now).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "Secret edge/new: data[tls.crt]: the certificate is valid from 1970-01-01T00:16:41Z on, and clients \
                 refuse it before",
                "Secret edge/old: data[tls.crt]: the certificate expired at 1970-01-01T00:16:39Z, and clients refuse it; \
                 renew it",
            ]
        );
    }
}
