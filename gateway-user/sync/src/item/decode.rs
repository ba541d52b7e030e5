//! The representation out of items, as far as this node knows what they need.

use std::sync::Arc;

use bytes::Bytes;
use gateway_ir::{
    Action, BackendTls, Certificate, HttpRoute, HttpRule, L4Route, L4Rule, ObjectName, PrivateKey,
    RouteMatch, RuleError, RuleErrorKind, Staple, TrustBundle,
};
use prost::Message as _;
use serde::de::DeserializeOwned;

use super::{BackendTlsItem, ClientsItem, ListenerItem, ListenerTlsItem, Owner, Value, value};
use crate::capability::Capabilities;
use crate::frame::{Closed, Put};
use crate::key::Kind;

/// An item that this version of the schema should be able to read and cannot.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {name} cannot be read: {why}")]
pub struct DecodeError {
    kind: u32,
    name: String,
    why: String,
}

/// An item as far as it is known here.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// `None` if nothing of it can be served.
    pub value: Option<Value>,
    /// The parts that are served closed.
    pub closed: Vec<Closed>,
}

/// Reads an item. Parts that need what `known` does not have are closed: a rule responds 500, a listener serves nothing, a
/// cluster has no endpoints.
///
/// # Errors
/// It is no item of this schema.
pub fn decode(put: &Put, known: &Capabilities) -> Result<Decoded, DecodeError> {
    let Some(kind) = Kind::of(put.kind) else {
        return Ok(Decoded { value: None, closed: vec![closed(put, &format!("kind-{}", put.kind))] });
    };
    let missing = known.missing(&put.needs);
    let whole = |value| Decoded { value: Some(value), closed: Vec::new() };
    let decoded = match (kind, missing) {
        (Kind::Listener, _) => listener(put, missing),
        (_, Some(need)) => Ok(Decoded { value: None, closed: vec![closed(put, need)] }),
        (Kind::Certificate, None) => certificate(&put.value).map(whole),
        (Kind::Gateway, None) => {
            json(&put.value).map(|value::Gateway { name, mark }| whole(Value::Gateway(name, mark)))
        }
        (Kind::Address, None) => json(&put.value).map(|value::Address { address, gateway, node }| {
            whole(Value::Address(address, Owner { gateway, node }))
        }),
        (Kind::Route, None) => route(put, known),
        (Kind::Cluster, None) => json(&put.value)
            .map(|value::Cluster { key, addresses }| whole(Value::Cluster(key, addresses.into()))),
        (Kind::BackendTls, None) => json(&put.value).map(backend_tls).map(whole),
        (Kind::Trust, None) => trust(&put.value).map(whole),
        (Kind::Tickets, None) => json(&put.value)
            .map(|value::Tickets { gateway, secrets }| whole(Value::Tickets(gateway, secrets))),
    };
    decoded.map_err(|why| DecodeError { kind: put.kind, name: put.name.clone(), why })
}

fn closed(put: &Put, needs: &str) -> Closed {
    Closed { kind: put.kind, name: put.name.clone(), needs: needs.to_owned() }
}

fn json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// A listener that cannot be served stays where its hosts can be told: another one of the bind, with a wildcard, must not
/// get its clients.
fn listener(put: &Put, missing: Option<&str>) -> Result<Decoded, String> {
    let read = json::<value::Listener>(&put.value);
    let closed: Vec<_> = missing.iter().map(|need| closed(put, need)).collect();
    let listener = match (read, missing) {
        (Ok(listener), _) => listener,
        (Err(_), Some(_)) => return Ok(Decoded { value: None, closed }),
        (Err(why), None) => return Err(why),
    };
    let value::Listener {
        address,
        port,
        protocol,
        tls_use,
        id,
        hostname,
        tls,
        settings,
        backend_certificate,
    } = listener;
    let tls = tls.map(|tls| ListenerTlsItem {
        certificates: if missing.is_some() { Vec::new() } else { tls.certificates },
        min_version: tls.min_version,
        is_default: tls.is_default,
        cipher_suites: tls.cipher_suites,
        clients: tls.clients.map(|value::Clients { trust, mode }| ClientsItem { trust, mode }),
        forward_client_cert: tls.forward_client_cert,
    });
    let is_closed = missing.is_some();
    let serve = tls_use.unwrap_or(protocol);
    let item =
        ListenerItem { address, port, serve, id, hostname, tls, settings, backend_certificate, is_closed };
    Ok(Decoded { value: Some(Value::Listener(Box::new(item))), closed })
}

fn certificate(bytes: &Bytes) -> Result<Value, String> {
    let value = value::Certificate::decode(bytes.clone()).map_err(|error| error.to_string())?;
    Ok(Value::Certificate(Arc::new(Certificate {
        secret: ObjectName::new(value.namespace, value.name),
        names: value.names,
        not_before: value.not_before,
        not_after: value.not_after,
        fingerprint: value.fingerprint,
        chain: value.chain.into_iter().map(Vec::from).collect(),
        key: PrivateKey(value.key.into()),
        staple: (!value.staple.is_empty()).then(|| Staple {
            der: value.staple.into(),
            this_update: value.this_update,
            next_update: value.next_update,
        }),
    })))
}

fn backend_tls(value: value::BackendTls) -> Value {
    let value::BackendTls { key, policy, hostname, subject_alt_names, trust, fault, refused_gateways } =
        value;
    let settings =
        BackendTls { policy, hostname, subject_alt_names, trust: Vec::new(), fault, refused_gateways };
    Value::BackendTls(key, Box::new(BackendTlsItem { settings, trust }))
}

fn trust(bytes: &Bytes) -> Result<Value, String> {
    let value = value::Trust::decode(bytes.clone()).map_err(|error| error.to_string())?;
    let certificates = value.certificates.into_iter().map(Vec::from).collect();
    Ok(Value::Trust(Arc::new(TrustBundle { source: json(&value.source)?, certificates })))
}

fn route(put: &Put, known: &Capabilities) -> Result<Decoded, String> {
    let value = value::Route::decode(put.value.clone()).map_err(|error| error.to_string())?;
    let value::RouteHead { id, created, mut attached } = json(&value.head)?;
    exact(&mut attached);
    if id.kind.is_for_connections() {
        let rule = value.rules.first().ok_or("it has no rule")?;
        let mut rule: L4Rule = json(&rule.rest)?;
        exact(&mut rule.backends);
        let route = Arc::new(L4Route { id, created, rule }.into());
        return Ok(Decoded { value: Some(Value::Route(route, attached)), closed: Vec::new() });
    }
    let mut closed_parts = Vec::new();
    let mut rules = Vec::with_capacity(value.rules.len());
    for rule in value.rules {
        let (rule, missing) = self::rule(&rule, known)?;
        closed_parts.extend(missing.map(|need| closed(put, &need)));
        rules.push(rule);
    }
    let route = Arc::new(HttpRoute { id, created, rules }.into());
    Ok(Decoded { value: Some(Value::Route(route, attached)), closed: closed_parts })
}

/// A rule, or one that responds 500 in its place, with the capability that is missing. If the missing one is needed to tell
/// the rule's requests, every request of the route's hosts that no other rule is closer to may be meant.
fn rule(rule: &value::Rule, known: &Capabilities) -> Result<(HttpRule, Option<String>), String> {
    let unknown_matches = known.missing(&rule.match_needs);
    let matches = match unknown_matches {
        Some(_) => vec![RouteMatch::default()],
        None => matches(&rule.matches)?,
    };
    if let Some(need) = unknown_matches.or_else(|| known.missing(&rule.needs)) {
        let message = format!(
            "this node does not know {need}, which the rule needs: the node's version is older than its controller's; \
             wait for the rollout, or update the node"
        );
        let error = RuleError { kind: RuleErrorKind::UnknownCapability, message };
        let closed = HttpRule {
            name: None,
            matches,
            filters: Vec::new(),
            action: Action::Fail(error),
            timeouts: gateway_ir::Timeouts::default(),
            retry: None,
        };
        return Ok((closed, Some(need.to_owned())));
    }
    let value::RuleRest { name, mut filters, mut action, timeouts, retry } = json(&rule.rest)?;
    exact(&mut filters);
    if let Action::Forward(backends) = &mut action {
        exact(backends);
        backends.iter_mut().for_each(|backend| exact(&mut backend.filters));
    }
    Ok((HttpRule { name, matches, filters, action, timeouts, retry }, None))
}

fn matches(bytes: &Bytes) -> Result<Vec<RouteMatch>, String> {
    let mut matches: Vec<RouteMatch> = json(bytes)?;
    exact(&mut matches);
    for one in &mut matches {
        exact(&mut one.headers);
        exact(&mut one.query);
    }
    Ok(matches)
}

/// Gives back room that nobody will use: a list out of JSON begins with room for four, and most have one.
fn exact<T>(list: &mut Vec<T>) {
    list.shrink_to_fit();
}
