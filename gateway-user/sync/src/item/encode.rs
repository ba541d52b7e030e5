//! Items out of the representation.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use gateway_ir as ir;
use gateway_ir::{ClusterKey, HttpRule, L4Rule, ObjectName, Route, Serve};
use gateway_tls::TicketSecret;
use prost::Message as _;
use serde::Serialize;

use super::{Attached, Item, Owner, value};
use crate::capability;
use crate::key::Key;

pub(crate) fn gateway(name: &ObjectName, mark: &str) -> Item {
    let value = value::Gateway { name: name.clone(), mark: mark.to_owned() };
    Item::new(Key::gateway(name), &[], json(&value))
}

pub(crate) fn tickets(gateway: &ObjectName, secrets: &[TicketSecret]) -> Item {
    let value = value::Tickets { gateway: gateway.clone(), secrets: secrets.to_vec() };
    Item::new(Key::tickets(gateway), &[], json(&value))
}

pub(crate) fn address(address: IpAddr, owner: &Owner) -> Item {
    let Owner { gateway, node } = owner.clone();
    Item::new(Key::address(address), &[], json(&value::Address { address, gateway, node }))
}

pub(crate) fn cluster(key: &ClusterKey, addresses: &[SocketAddr]) -> Item {
    let value = value::Cluster { key: key.clone(), addresses: addresses.to_vec() };
    Item::new(Key::cluster(key), &capability::of_cluster(key), json(&value))
}

pub(crate) fn backend_tls(key: &ClusterKey, tls: &ir::BackendTls) -> Item {
    let ir::BackendTls { policy, hostname, subject_alt_names, trust, fault, refused_gateways } = tls.clone();
    let trust = trust.iter().map(|bundle| bundle.source.clone()).collect();
    let key = key.clone();
    let value =
        value::BackendTls { key, policy, hostname, subject_alt_names, trust, fault, refused_gateways };
    Item::new(Key::backend_tls(&value.key), &capability::of_cluster(&value.key), json(&value))
}

pub(crate) fn trust(bundle: &ir::TrustBundle) -> Item {
    let value = value::Trust {
        source: json(&bundle.source),
        certificates: bundle.certificates.iter().map(|one| Bytes::copy_from_slice(one)).collect(),
    };
    Item::new(Key::trust(&bundle.source), &[capability::BACKEND_TLS], value.encode_to_vec().into())
}

pub(crate) fn listener(bind: &ir::Bind, listener: &ir::Listener) -> Item {
    let key = Key::listener(bind.address, bind.port, &listener.id);
    Item::new(key, &capability::of_listener(listener), json(&listener_value(bind, listener)))
}

fn listener_value(bind: &ir::Bind, listener: &ir::Listener) -> value::Listener {
    let tls = listener.tls.as_ref().map(|tls| value::ListenerTls {
        certificates: tls.certificates.iter().map(|one| one.secret.clone()).collect(),
        min_version: tls.min_version,
        is_default: tls.is_default,
        cipher_suites: tls.cipher_suites.clone(),
        clients: tls.clients.as_ref().map(|clients| value::Clients {
            trust: clients.trust.iter().map(|bundle| bundle.source.clone()).collect(),
            mode: clients.mode,
        }),
        forward_client_cert: tls.forward_client_cert,
    });
    let (protocol, tls_use) = match listener.serve {
        other @ (Serve::TlsTerminate | Serve::TlsPassthrough) => (Serve::Https, Some(other)),
        protocol => (protocol, None),
    };
    value::Listener {
        address: bind.address,
        port: bind.port,
        protocol,
        tls_use,
        id: listener.id.clone(),
        hostname: listener.hostname.clone(),
        tls,
        settings: listener.settings,
        backend_certificate: listener.backend_certificate.as_ref().map(|one| one.secret.clone()),
    }
}

pub(crate) fn certificate(certificate: &ir::Certificate) -> Item {
    let ir::Certificate { secret, names, not_before, not_after, fingerprint, chain, key, staple } =
        certificate;
    let staple = staple.as_ref();
    let value = value::Certificate {
        namespace: secret.namespace.to_string(),
        name: secret.name.to_string(),
        names: names.clone(),
        not_before: *not_before,
        not_after: *not_after,
        fingerprint: fingerprint.clone(),
        chain: chain.iter().map(|one| Bytes::copy_from_slice(one)).collect(),
        key: Bytes::copy_from_slice(&key.0),
        staple: staple.map(|one| Bytes::copy_from_slice(&one.der)).unwrap_or_default(),
        this_update: staple.map_or(0, |one| one.this_update),
        next_update: staple.and_then(|one| one.next_update),
    };
    Item::new(Key::certificate(secret), &[], value.encode_to_vec().into())
}

pub(crate) fn route(route: &Route, attached: Vec<Attached>) -> Item {
    let head = value::RouteHead { id: route.id().clone(), created: route.created(), attached };
    let rules = match route {
        Route::Http(route) => route.rules.iter().map(rule).collect(),
        Route::L4(route) => vec![l4_rule(&route.rule)],
    };
    let value = value::Route { head: json(&head), rules };
    Item::new(Key::route(route.id()), &capability::of_route(route), value.encode_to_vec().into())
}

/// The needs are the route's: there is no more of it than the rule.
fn l4_rule(rule: &L4Rule) -> value::Rule {
    value::Rule { rest: json(rule), ..value::Rule::default() }
}

fn rule(rule: &HttpRule) -> value::Rule {
    let names = |needs: capability::Needs| needs.into_iter().map(str::to_owned).collect();
    let rest = value::RuleRest {
        name: rule.name.clone(),
        filters: rule.filters.clone(),
        action: rule.action.clone(),
        timeouts: rule.timeouts,
        retry: rule.retry.clone(),
    };
    value::Rule {
        matches: json(&rule.matches),
        match_needs: names(capability::of_matches(rule)),
        rest: json(&rest),
        needs: names(capability::of_action(rule)),
    }
}

/// Plain data without maps of structured keys, which is all that could fail.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use gateway_ir::{
        AttachedRoutes, Bind, BindAddress, Listener, ListenerId, ListenerSettings, ListenerTls,
    };

    use super::*;

    /// A node without `tls-routes` finds a listener whose host it can keep from others, which it reads as one for HTTPS.
    #[test]
    fn every_use_of_tls_is_written_as_one_that_older_nodes_can_read() {
        let listener = |serve| Listener {
            id: ListenerId::of_gateway(ObjectName::new("edge", "web"), "tls"),
            hostname: None,
            serve,
            tls: Some(ListenerTls::default()),
            settings: ListenerSettings::default(),
            backend_certificate: None,
            routes: AttachedRoutes::new(),
        };
        for (serve, tls_use, needs) in [
            (Serve::Https, None, &["tls-terminate"][..]),
            (Serve::TlsTerminate, Some("TlsTerminate"), &["tls-routes", "tls-terminate"]),
            (Serve::TlsPassthrough, Some("TlsPassthrough"), &["tls-routes"]),
        ] {
            let one = listener(serve);
            let bind = Bind { address: BindAddress::Any, port: 443, listeners: vec![one.clone()] };
            let written = serde_json::to_value(listener_value(&bind, &one)).unwrap();
            assert_eq!(written["protocol"], "Https", "{serve:?}");
            assert_eq!(written.get("tls_use").and_then(|value| value.as_str()), tls_use);
            assert_eq!(capability::of_listener(&one), needs);
        }
    }
}
