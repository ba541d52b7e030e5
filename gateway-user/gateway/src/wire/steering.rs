//! Settings of steering, and the ports that endpoints must not lead to.

use gateway_control::own_ports::OwnPorts;
use gateway_steer::{SteerOptions, SteeringPath};

use crate::admin::metrics_address;
use crate::flags::{AddressMode, NodeEndpoints, Settings, SteeringMode};
use crate::node;

/// Ports that endpoints must not lead to on this node, which is reached on this steering path. The ports of
/// the node's other services are guarded from those who may write EndpointSlices, and not from its own
/// operator's files.
pub(crate) fn own_ports(settings: &Settings, path: &SteeringPath, over_cluster: bool) -> OwnPorts {
    let offset = match path {
        SteeringPath::ReusePort { unprivileged_offset: Some(offset), lowest_port, .. } => {
            Some((*offset, *lowest_port))
        }
        _ => None,
    };
    let reserved = settings.reserved_ports.0.iter().copied().filter(|_| over_cluster).collect();
    OwnPorts {
        internal_port: path.internal_port(),
        offset,
        reserved,
        addresses: Some(node::own_addresses),
        ..listens(settings, over_cluster)
    }
}

/// The part of that which the settings alone say.
pub(crate) fn listens(settings: &Settings, over_cluster: bool) -> OwnPorts {
    let metrics = metrics_address(settings, over_cluster);
    let addresses = [settings.health_address, metrics, settings.admin_address];
    OwnPorts {
        listens: addresses.into_iter().filter_map(|address| address.0).collect(),
        refuse_all: settings.node_endpoints == NodeEndpoints::Refuse,
        ..OwnPorts::default()
    }
}

/// Most placeholder sockets: a sixty-fourth of the descriptors, so that they are in no connection's way.
pub(super) fn placeholders(settings: &Settings, open_files: u64) -> usize {
    if settings.placeholders.on() {
        usize::try_from(open_files / 64).unwrap_or(usize::MAX).clamp(16, 4096)
    } else {
        0
    }
}

/// Version of the maps' layout.
pub(crate) fn layout() -> u32 {
    crate::handoff::injected_number("layout").unwrap_or(gateway_steer::LAYOUT_VERSION)
}

/// Options of steering for so many workers of the instance of that name.
pub(crate) fn steer_options(
    settings: &Settings,
    workers: usize,
    instance: String,
    open_files: u64,
) -> SteerOptions {
    let usual = SteerOptions::new(workers, instance);
    SteerOptions {
        layout: layout(),
        bpffs: settings.bpffs.0.clone(),
        backlog: settings.backlog.small(),
        reserved_ports: settings.reserved_ports.0.iter().copied().collect(),
        allowed_ports: settings.allowed_ports.0.as_ref().map(|ports| ports.iter().copied().collect()),
        pool: match settings.address_mode {
            AddressMode::Pool => settings.address_pool.0.clone(),
            AddressMode::Node => Vec::new(),
        },
        placeholders: placeholders(settings, open_files),
        unprivileged_offset: u16::try_from(settings.unprivileged_offset.get())
            .ok()
            .filter(|offset| *offset > 0),
        ..usual
    }
}

/// The mode of steering.
pub(crate) fn steering_mode(mode: SteeringMode) -> gateway_steer::SteeringMode {
    match mode {
        SteeringMode::Auto => gateway_steer::SteeringMode::Auto,
        SteeringMode::Ebpf => gateway_steer::SteeringMode::Ebpf,
        SteeringMode::ReusePort => gateway_steer::SteeringMode::ReusePort,
    }
}
