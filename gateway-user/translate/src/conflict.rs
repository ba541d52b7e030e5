//! Listeners that cannot be told apart.
//!
//! Within one Gateway every listener of a conflict loses: the specification forbids picking a winner
//! (`GatewaySpec. listeners`, "Handling indistinct Listeners"). Across Gateways that share an address the
//! older Gateway keeps what it has and the younger one's listener is Conflicted, so that nobody takes traffic
//! away from somebody else by creating an object; that is the precedence GEP-1713 gives listeners of several
//! owners. ListenerSets are ordered in among the Gateways by [`GatewayState::precedence`]. See decisions 080 and 337.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::ProtocolType;
use gateway_ir::{BindAddress, Hostname, ListenerId, Opening, Serve, Transport};

use crate::diagnostics::{ConfigError, Diagnostics};
use crate::gateway::GatewayState;
use crate::listener::ListenerState;
use crate::parent::{ParentKey, listener_text};
use crate::sets::room::Rooms;
use crate::{AddressOwnership, HostOwnership, Severity, TranslateOptions, hosts, listener_tls, reason, sets};

/// Most addresses of others that are named for one listener.
const KEPT_APART_MAX: usize = 4;

/// The claims on each address and port, filled from the oldest Gateway on.
type Claims = BTreeMap<(BindAddress, Port), Claim>;

/// The number of a port, and its transport.
type Port = (u16, Transport);

struct Claim {
    opening: Opening,
    hosts: BTreeMap<Option<Hostname>, ListenerId>,
    /// The first listener of the Gateways of each namespace: sets bring thousands, which are not gone through.
    first: BTreeMap<Arc<str>, ListenerId>,
    /// The listener that takes handshakes without a server name.
    nameless: Option<Nameless>,
}

struct Nameless {
    listener: ListenerId,
    /// By its option, and not for want of a hostname.
    marked: bool,
}

/// Marks every listener that is in conflict, and refuses those of sets for which there is no room.
pub(crate) fn resolve(
    gateways: &mut [GatewayState<'_>],
    options: &TranslateOptions,
    host_claims: &hosts::Claims,
    diagnostics: &mut Diagnostics,
) {
    // Listeners of one set are in the merged list one after the other, and the first of those in conflict has what they want
    // (`ListenerSetSpec.listeners`).
    for gateway in gateways.iter_mut().filter(|one| one.set.is_none()) {
        within(&mut gateway.listeners);
    }
    let mut rooms = Rooms::of(gateways);
    let mut order: Vec<&mut GatewayState<'_>> = gateways.iter_mut().collect();
    order.sort_by(|a, b| a.precedence(b));
    let mut claims = Claims::new();
    for gateway in order {
        across(gateway, options, host_claims, (&mut claims, &mut rooms), diagnostics);
    }
    for gateway in gateways.iter() {
        for conflict in gateway.listeners.iter().filter_map(|listener| listener.conflict.as_ref()) {
            diagnostics.error(&gateway.key.object(), conflict);
        }
    }
    sets::tell_all(gateways, diagnostics);
}

fn within(listeners: &mut [ListenerState<'_>]) {
    let conflicts: Vec<Option<ConfigError>> = listeners
        .iter()
        .map(|one| {
            let others = listeners.iter().filter(|other| other.id != one.id);
            others
                .clone()
                .find_map(|other| protocol_conflict(one, other))
                .or_else(|| others.clone().find_map(|other| hostname_conflict(one, other)))
        })
        .collect();
    for (listener, conflict) in listeners.iter_mut().zip(conflicts) {
        listener.conflict = conflict;
    }
}

/// Listeners share a port if the first thing on a connection tells them apart: HTTP in the clear and TLS cannot, and a TCP
/// listener with none at all (same section of the specification). HTTPS and TLS, in either mode, are told apart by server
/// name, so that of two with one hostname both are in conflict, as two HTTPS listeners are. UDP ports are ports of their own, of
/// which each has one listener.
fn protocol_conflict(one: &ListenerState<'_>, other: &ListenerState<'_>) -> Option<ConfigError> {
    let (own, others) = (opening(&one.spec.protocol)?, opening(&other.spec.protocol)?);
    let same_port = one.spec.port == other.spec.port && own.transport() == others.transport();
    let clash = same_port && (own != others || own.has_one_listener());
    clash.then(|| {
        let (port, name) = (one.spec.port, &other.spec.name);
        let message = match own == others {
            true => {
                format!(
                    "port {port} is taken by listener {name:?}, and {} cannot be told apart",
                    traffic(own)
                )
            }
            false => format!(
                "port {port} cannot speak {} here and {} for listener {name:?}",
                one.spec.protocol, other.spec.protocol
            ),
        };
        ConfigError::new(
            reason::PROTOCOL_CONFLICT,
            format!("{}.protocol", one.field),
            format!("{message}; give them different ports"),
        )
    })
}

/// The words for all that comes to a port of one listener.
fn traffic(opening: Opening) -> &'static str {
    match opening.transport() {
        Transport::Tcp => "TCP connections",
        Transport::Udp => "UDP datagrams",
    }
}

/// The first thing on connections of a protocol, also of one that is not served; `None` for protocols that share a port with
/// any other.
fn opening(protocol: &ProtocolType) -> Option<Opening> {
    match protocol {
        ProtocolType::Http => Some(Opening::Request),
        ProtocolType::Https | ProtocolType::Tls => Some(Opening::ClientHello),
        ProtocolType::Tcp => Some(Opening::Bytes),
        ProtocolType::Udp => Some(Opening::Datagram),
        ProtocolType::Other(_) => None,
    }
}

fn hostname_conflict(one: &ListenerState<'_>, other: &ListenerState<'_>) -> Option<ConfigError> {
    let opening = |listener: &ListenerState<'_>| listener.serve.map(Serve::opening);
    let same = one.spec.port == other.spec.port
        && opening(one) == opening(other)
        && one.serve.is_some()
        && one.refused.is_none()
        && other.refused.is_none()
        && one.hostname == other.hostname;
    same.then(|| hostname_fault(one, &format!("listener {:?}", other.spec.name)))
}

fn hostname_fault(one: &ListenerState<'_>, other: &str) -> ConfigError {
    if let Some(opening) = one.serve.map(Serve::opening).filter(|opening| opening.has_one_listener()) {
        let message = format!(
            "port {} is taken by {other}, and {} cannot be told apart; change port or address of one of them",
            one.spec.port,
            traffic(opening)
        );
        return ConfigError::new(reason::PROTOCOL_CONFLICT, format!("{}.port", one.field), message);
    }
    let host = match &one.hostname {
        Some(host) => format!("hostname \"{host}\""),
        None => "every hostname".to_owned(),
    };
    ConfigError::new(
        reason::HOSTNAME_CONFLICT,
        format!("{}.hostname", one.field),
        format!(
            "{host} on port {} is served by {other}; change hostname, port or address of one of them",
            one.spec.port
        ),
    )
}

/// Takes what is free for a Gateway's listeners. A listener that finds any of its addresses taken takes none:
/// listeners are served on all addresses of their Gateway or not at all.
fn across(
    gateway: &mut GatewayState<'_>,
    options: &TranslateOptions,
    host_claims: &hosts::Claims,
    (claims, rooms): (&mut Claims, &mut Rooms),
    diagnostics: &mut Diagnostics,
) {
    let set = gateway.set.map(|_| (gateway.key.name().clone(), gateway.name.clone()));
    let served: Vec<bool> = gateway.listeners.iter().map(|listener| gateway.serves(listener)).collect();
    let addresses = gateway.addresses.clone();
    let object = gateway.key.object();
    for (listener, _) in gateway.listeners.iter_mut().zip(served).filter(|(_, served)| *served) {
        let Some(opening) = listener.serve.map(Serve::opening) else { continue };
        let port = (listener.spec.port, opening.transport());
        let carved = || match options.address_ownership {
            AddressOwnership::Shared => None,
            AddressOwnership::OldestNamespace => carved_out(listener, opening, &addresses, claims),
        };
        let within = || match options.host_ownership {
            HostOwnership::Shared => None,
            HostOwnership::OldestNamespace => within_anothers(listener, &addresses, claims, host_claims),
        };
        let taken = addresses.iter().find_map(|address| {
            let claim = claims.get(&(*address, port))?;
            if claim.opening != opening {
                return Some(across_protocol_fault(listener, claim));
            }
            let owner = claim.hosts.get(&listener.hostname)?;
            Some(hostname_fault(listener, &listener_text(owner)))
        });
        let taken = taken.or_else(carved).or_else(within);
        if taken.is_some() {
            listener.conflict = taken;
            continue;
        }
        if let Some(error) = set.as_ref().and_then(|(set, of)| rooms.take(set, of, listener).err()) {
            listener.refused = Some(error);
            continue;
        }
        if addresses.contains(&BindAddress::Any) {
            for message in kept_apart(listener, claims) {
                diagnostics.push(Severity::Note, &object, &listener.field, &message);
            }
        }
        for address in &addresses {
            let claim = claims.entry((*address, port)).or_insert_with(|| Claim {
                opening,
                hosts: BTreeMap::new(),
                first: BTreeMap::new(),
                nameless: None,
            });
            let namespace = &listener.id.gateway.namespace;
            claim.first.entry(Arc::clone(namespace)).or_insert_with(|| listener.id.clone());
            claim.hosts.insert(listener.hostname.clone(), listener.id.clone());
        }
        if let Some(other) = take_nameless(listener, &addresses, claims) {
            let field = format!("{}.tls.options[{:?}]", listener.field, listener_tls::DEFAULT);
            diagnostics.push(Severity::Warning, &object, &field, &other);
        }
    }
}

/// Takes the handshakes without a server name, if the listener is marked for them or has no hostname. The
/// first to have them keeps them, but for a listener of the same object that is not marked. Gives a line on
/// a mark that has no effect.
fn take_nameless(
    listener: &mut ListenerState<'_>,
    addresses: &[BindAddress],
    claims: &mut Claims,
) -> Option<String> {
    let port = port_of(listener);
    let marked = listener.tls.as_ref().is_some_and(|tls| tls.is_default);
    if !marked && listener.hostname.is_some() {
        return None;
    }
    let places = || addresses.iter().map(|address| (*address, port));
    let keeps = |has: &&Nameless| !marked || has.marked || !has.listener.is_beside(&listener.id);
    let taken = places().find_map(|place| claims.get(&place)?.nameless.as_ref().filter(keeps));
    if let Some(Nameless { listener: owner, .. }) = taken {
        let message = format!(
            "handshakes without a server name on port {} are taken by {} already, so the option has no effect; \
             take it away from one of them",
            port.0,
            listener_text(owner)
        );
        if let Some(tls) = &mut listener.tls {
            tls.is_default = false;
        }
        return marked.then_some(message);
    }
    for place in places() {
        if let Some(claim) = claims.get_mut(&place) {
            claim.nameless = Some(Nameless { listener: listener.id.clone(), marked });
        }
    }
    None
}

fn across_protocol_fault(listener: &ListenerState<'_>, claim: &Claim) -> ConfigError {
    let owner = claim.hosts.values().next().map(|owner| ParentKey::of(owner).to_string());
    let owner = owner.unwrap_or_default();
    ConfigError::new(
        reason::PROTOCOL_CONFLICT,
        format!("{}.protocol", listener.field),
        format!("port {} of {owner} speaks another protocol; use another port", listener.spec.port),
    )
}

/// A listener that would take an address of its own out of an every-address that an older Gateway of another
/// namespace serves on the port. Connections to the address would all come here, whatever the hostnames of
/// either.
fn carved_out(
    listener: &ListenerState<'_>,
    opening: Opening,
    addresses: &[BindAddress],
    claims: &Claims,
) -> Option<ConfigError> {
    let port = port_of(listener);
    let own = addresses.iter().find_map(|address| match address {
        BindAddress::Ip(ip) => Some(ip),
        BindAddress::Any => None,
    })?;
    let claim = claims.get(&(BindAddress::Any, port))?;
    let namespace = &listener.id.gateway.namespace;
    let (_, owner) = claim.first.iter().find(|(other, _)| *other != namespace)?;
    let reason = if claim.opening == opening { reason::HOSTNAME_CONFLICT } else { reason::PROTOCOL_CONFLICT };
    Some(ConfigError::new(
        reason,
        format!("{}.port", listener.field),
        format!(
            "Gateway \"{}\" would take {own} from listener {:?} of the older Gateway \"{}\", which serves port {} \
             on every address; use another port, take addresses away here, or give the older Gateway addresses of \
             its own",
            listener.id.gateway, owner.listener, owner.gateway, port.0
        ),
    ))
}

/// A listener that would take a host out of those that an older Gateway of another namespace serves on one of
/// its addresses: the owner's routes are there, and none of their requests would reach them. A label is leave
/// to do so.
fn within_anothers(
    listener: &ListenerState<'_>,
    addresses: &[BindAddress],
    claims: &Claims,
    host_claims: &hosts::Claims,
) -> Option<ConfigError> {
    let host = listener.hostname.as_ref()?;
    let namespace = listener.id.namespace();
    if host_claims.has(host, namespace) {
        return None;
    }
    let port = port_of(listener);
    let older = addresses.iter().filter_map(|address| claims.get(&(*address, port)));
    let wider: Vec<_> = wider(host).collect();
    let mut owners = older.flat_map(|one| wider.iter().filter_map(|wider| one.hosts.get(wider)));
    let owner = owners.find(|owner| owner.namespace() != namespace)?;
    Some(ConfigError::new(
        reason::HOSTNAME_CONFLICT,
        format!("{}.hostname", listener.field),
        format!(
            "{} would take host \"{host}\" on port {} from listener {:?} of the older {}; have a cluster admin label \
             Namespace {namespace:?} with {}, or use another port or address",
            ParentKey::of(&listener.id),
            port.0,
            owner.listener,
            ParentKey::of(owner),
            hosts::label(host)
        ),
    ))
}

/// Every hostname that covers all of a host, from the widest on.
fn wider(host: &Hostname) -> impl Iterator<Item = Option<Hostname>> {
    let (Hostname::Exact(text) | Hostname::Wildcard(text)) = host;
    let above = text.rmatch_indices('.').filter_map(|(at, _)| text.get(at + 1..));
    let above = above.map(|suffix| Some(Hostname::Wildcard(suffix.to_owned())));
    std::iter::once(None).chain(above).chain(std::iter::once(Some(host.clone())))
}

fn port_of(listener: &ListenerState<'_>) -> Port {
    (listener.spec.port, listener.serve.map_or_else(Transport::default, Serve::transport))
}

/// Addresses that older Gateways of other namespaces have for themselves on the port of a listener that is
/// served on every address: connections to them never come here.
fn kept_apart(listener: &ListenerState<'_>, claims: &Claims) -> Vec<String> {
    let port = port_of(listener);
    let others =
        claims.iter().filter(|((_, claimed), _)| *claimed == port).filter_map(|((address, _), claim)| {
            let BindAddress::Ip(ip) = address else { return None };
            let namespace = &listener.id.gateway.namespace;
            let (_, owner) = claim.first.iter().find(|(other, _)| *other != namespace)?;
            Some((ip, owner))
        });
    let text = |(ip, owner): (&std::net::IpAddr, &ListenerId)| {
        format!(
            "listener {:?} is not reached on {ip}: the older Gateway \"{}\" has port {} of that address for its \
             listener {:?}",
            listener.spec.name, owner.gateway, port.0, owner.listener
        )
    };
    let mut said: Vec<_> = others.take(KEPT_APART_MAX + 1).map(text).collect();
    if said.len() > KEPT_APART_MAX {
        said.truncate(KEPT_APART_MAX);
        said.push(format!("listener {:?} is not reached on further addresses", listener.spec.name));
    }
    said
}
