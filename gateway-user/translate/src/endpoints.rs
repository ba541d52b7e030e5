//! EndpointSlices: the addresses behind a port of a Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway_ir::{BackendProtocol, ClusterKey, Transport};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::endpoint_policy::{self, AddressRefusal};
use crate::read::Reader;
use crate::slice::{address, is_of};
use crate::suggest::{self, SearchBudget};

/// The endpoints of a cluster.
#[derive(Debug)]
pub(crate) struct ClusterState {
    /// Sorted, without repeats.
    pub(crate) addresses: Arc<[SocketAddr]>,
    /// The message if there are none, or if some are refused.
    pub(crate) note: Option<String>,
}

/// Finds the addresses of a cluster.
///
/// Slices belong to a Service by label and namespace, and their ports to its ports by name, never by number
/// (`discovery.k8s.io/v1`). With no ready endpoint at all, those that terminate but still serve are used, as
/// kube-proxy does: better a closing endpoint than none.
pub(crate) fn evaluate(reader: &Reader<'_, '_>, cluster: &ClusterKey) -> ClusterState {
    let (namespace, name) = (&*cluster.service.namespace, &*cluster.service.name);
    let slices = reader.slices(namespace, name);
    let (transport, port_name) = (cluster.protocol.transport(), port_name(reader, cluster));
    let policy = reader.endpoint_policy();
    let (mut ready, mut closing) = (BTreeSet::new(), BTreeSet::new());
    let mut refused: BTreeMap<IpAddr, AddressRefusal> = BTreeMap::new();
    for slice in slices {
        for port in ports(slice, transport, &port_name) {
            for endpoint in slice.endpoints.iter().flatten() {
                let Some(address) = address(slice, endpoint) else { continue };
                if let Some(why) = policy.refuses(address) {
                    refused.insert(address, why);
                    continue;
                }
                match state(endpoint) {
                    State::Ready => ready.insert(SocketAddr::new(address, port)),
                    State::Closing => closing.insert(SocketAddr::new(address, port)),
                    State::Out => false,
                };
            }
        }
    }
    let chosen = if ready.is_empty() { closing } else { ready };
    let refused: Vec<_> = refused.into_iter().collect();
    let note = match (chosen.is_empty(), refused.is_empty()) {
        (true, true) => Some(why_none(slices, &port_name, cluster)),
        (true, false) => Some(format!(
            "Service \"{}\" has no endpoint for port {} that may be used; {}; {}",
            cluster.service,
            cluster.port,
            fate(cluster),
            endpoint_policy::describe(&refused)
        )),
        (false, false) => {
            Some(format!("Service \"{}\": {}", cluster.service, endpoint_policy::describe(&refused)))
        }
        (false, true) => None,
    };
    ClusterState { addresses: chosen.into_iter().collect(), note }
}

enum State {
    Ready,
    /// Terminating, and still serving.
    Closing,
    Out,
}

/// Absent conditions count as the API says: ready and serving yes, terminating no.
fn state(endpoint: &Endpoint) -> State {
    let conditions = endpoint.conditions.as_ref();
    let condition = |value: Option<bool>, absent: bool| value.unwrap_or(absent);
    let ready = condition(conditions.and_then(|c| c.ready), true);
    let serving = condition(conditions.and_then(|c| c.serving), true);
    let terminating = condition(conditions.and_then(|c| c.terminating), false);
    match (ready, serving && terminating) {
        (true, _) => State::Ready,
        (false, true) => State::Closing,
        (false, false) => State::Out,
    }
}

/// The name of the Service's port, empty if it has none, as slices write it.
fn port_name(reader: &Reader<'_, '_>, cluster: &ClusterKey) -> String {
    let service = reader.service(&cluster.service.namespace, &cluster.service.name);
    let transport = cluster.protocol.transport();
    let ports = service.and_then(|service| service.spec.as_ref()?.ports.as_ref());
    ports
        .into_iter()
        .flatten()
        .find(|port| port.port == i32::from(cluster.port) && is_of(transport, port.protocol.as_deref()))
        .and_then(|port| port.name.clone())
        .unwrap_or_default()
}

/// Port numbers of that name. A port without a number means all ports, which no Service port is; it is left
/// out.
fn ports<'s>(
    slice: &'s EndpointSlice,
    transport: Transport,
    name: &'s str,
) -> impl Iterator<Item = u16> + 's {
    slice
        .ports
        .iter()
        .flatten()
        .filter(move |port| port.name.as_deref().unwrap_or_default() == name)
        .filter(move |port| is_of(transport, port.protocol.as_deref()))
        .filter_map(|port| u16::try_from(port.port?).ok().filter(|number| *number > 0))
}

/// True if its addresses are of a kind that is connected to. Names of hosts (FQDN) are not looked up.
fn is_served_family(slice: &EndpointSlice) -> bool {
    matches!(slice.address_type.as_str(), "IPv4" | "IPv6")
}

/// The fate of requests, connections or datagrams to a cluster without endpoints.
fn fate(cluster: &ClusterKey) -> &'static str {
    match cluster.protocol {
        BackendProtocol::Http1 | BackendProtocol::Http2 => "requests are answered with 503",
        BackendProtocol::Tcp | BackendProtocol::TcpProxyV1 | BackendProtocol::TcpProxyV2 => {
            "connections are reset"
        }
        BackendProtocol::Udp => "datagrams are dropped",
    }
}

fn why_none(slices: &[&EndpointSlice], port_name: &str, cluster: &ClusterKey) -> String {
    let service = &cluster.service;
    let (transport, answer) = (cluster.protocol.transport(), fate(cluster));
    if slices.is_empty() {
        return format!(
            "Service \"{service}\" has no EndpointSlice (label kubernetes.io/service-name: {}); {answer}",
            service.name
        );
    }
    if slices.iter().all(|slice| !is_served_family(slice)) {
        let kinds: BTreeSet<&str> = slices.iter().map(|slice| slice.address_type.as_str()).collect();
        return format!(
            "the EndpointSlices of Service \"{service}\" have addressType {}, of which none is used: write IP addresses \
             (IPv4 or IPv6); {answer}",
            kinds.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    if slices.iter().all(|slice| ports(slice, transport, port_name).next().is_none()) {
        let names: BTreeSet<&str> = slices
            .iter()
            .flat_map(|slice| slice.ports.iter().flatten())
            .map(|port| port.name.as_deref().unwrap_or_default())
            .collect();
        let hint = suggest::did_you_mean(port_name, names.iter().copied(), &SearchBudget::default());
        let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        let names = if names.is_empty() { "no ports at all".to_owned() } else { names.join(", ") };
        return format!(
            "port {} of Service \"{service}\" is named {port_name:?}, and no EndpointSlice of it has a numbered \
             {} port of that name; they have {}; {answer}{hint}",
            cluster.port,
            transport.name(),
            names
        );
    }
    format!("Service \"{service}\" has no ready endpoint for port {}; {answer}", cluster.port)
}
