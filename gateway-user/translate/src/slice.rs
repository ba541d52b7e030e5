//! The addresses of one EndpointSlice, read without the objects around it.

use std::net::IpAddr;

use gateway_ir::Transport;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::endpoint_policy::{AddressRefusal, EndpointPolicy};

/// The addresses of a slice that are refused, in the order of its endpoints.
pub(crate) fn refused<'s>(
    slice: &'s EndpointSlice,
    policy: &'s EndpointPolicy,
) -> impl Iterator<Item = (IpAddr, AddressRefusal)> + 's {
    let addresses = slice.endpoints.iter().flatten().filter_map(|endpoint| address(slice, endpoint));
    addresses.filter_map(|address| Some((address, policy.refuses(address)?)))
}

/// The endpoint's first address: no meaning is defined for more. `None` if it is no address of the slice's
/// family.
pub(crate) fn address(slice: &EndpointSlice, endpoint: &Endpoint) -> Option<IpAddr> {
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    match (slice.address_type.as_str(), address) {
        ("IPv4", IpAddr::V4(_)) | ("IPv6", IpAddr::V6(_)) => Some(address.to_canonical()),
        _ => None,
    }
}

/// True if a port of a Service or slice with this `protocol` is one of that transport. TCP is the default.
pub(crate) fn is_of(transport: Transport, protocol: Option<&str>) -> bool {
    match protocol {
        None | Some("") => transport.is_tcp(),
        Some(protocol) => protocol == transport.name(),
    }
}
