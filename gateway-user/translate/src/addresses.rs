//! Addresses that a Gateway asks for, and which of them it may have.

use std::net::IpAddr;

use gateway_api_types::{AddressType, GatewaySpecAddress};
use gateway_ir::{BindAddress, ObjectName};
use ipnet::IpNet;

use crate::assignment::{Assignments, is_ours_to_choose};
use crate::diagnostics::ConfigError;
use crate::reason;

/// The rules by which Gateways have addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressRules<'a> {
    /// Addresses of the pool, if there is one.
    pub(crate) assignments: Option<&'a Assignments>,
    /// Networks of the addresses that Gateways may name; `None` is all.
    pub(crate) named: Option<&'a [IpNet]>,
}

impl AddressRules<'_> {
    /// The usable addresses, sorted, and what is wrong with the others. Where the Gateway leaves the choice to
    /// us, it is served on every address of the node, or on what it was assigned if there is a pool.
    pub(crate) fn of(
        self,
        gateway: &ObjectName,
        wanted: &[GatewaySpecAddress],
    ) -> (Vec<BindAddress>, Vec<ConfigError>) {
        let (mut usable, mut errors) = (Vec::new(), Vec::new());
        let mut choose = |field: String| match self.chosen(gateway, wanted, field) {
            Ok(chosen) => usable.extend(chosen),
            Err(error) => errors.push(error),
        };
        if wanted.is_empty() {
            choose("addresses".to_owned());
        }
        if let Some(index) = wanted.iter().position(is_ours_to_choose) {
            choose(format!("addresses[{index}]"));
        }
        for (index, address) in wanted.iter().enumerate() {
            let field = format!("addresses[{index}]");
            match one_address(address, &field).and_then(|ip| self.permit(gateway, ip, &field)) {
                Ok(ip) => usable.extend(ip.map(BindAddress::Ip)),
                Err(error) => errors.push(error),
            }
        }
        usable.sort();
        usable.dedup();
        (usable, errors)
    }

    /// The addresses of a Gateway that names none.
    fn chosen(
        self,
        gateway: &ObjectName,
        wanted: &[GatewaySpecAddress],
        field: String,
    ) -> Result<Vec<BindAddress>, ConfigError> {
        let Some(assignments) = self.assignments else { return Ok(vec![BindAddress::Any]) };
        let given = assignments.free_of(gateway, wanted);
        if given.is_empty() {
            let why =
                assignments.problems.get(gateway).map_or("no address has been assigned yet", String::as_str);
            return Err(ConfigError::new(reason::ADDRESS_NOT_ASSIGNED, field, why));
        }
        Ok(given.into_iter().map(BindAddress::Ip).collect())
    }

    /// An error if a Gateway may not have the address that it names.
    fn permit(
        self,
        gateway: &ObjectName,
        ip: Option<IpAddr>,
        field: &str,
    ) -> Result<Option<IpAddr>, ConfigError> {
        let Some(ip) = ip else { return Ok(None) };
        let refuse = |why| Err(ConfigError::new(reason::ADDRESS_NOT_USABLE, format!("{field}.value"), why));
        if let Some(networks) = self.named
            && !networks.iter().any(|network| network.contains(&ip))
        {
            return refuse(match networks {
                [] => format!("{ip} may not be named: --gateway-addresses allows no address; leave it out"),
                _ => format!(
                    "{ip} is not among the addresses that Gateways may name; choose one of {}, or have the operator add it to \
                     --gateway-addresses",
                    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
            });
        }
        match self.assignments.and_then(|all| all.holder(ip)).filter(|holder| *holder != gateway) {
            None => Ok(Some(ip)),
            Some(holder) => refuse(format!("{ip} is Gateway {holder}'s; choose another one")),
        }
    }
}

/// The address that is named; `None` if none is.
fn one_address(address: &GatewaySpecAddress, field: &str) -> Result<Option<IpAddr>, ConfigError> {
    let not_usable =
        |why: String| ConfigError::new(reason::ADDRESS_NOT_USABLE, format!("{field}.value"), why);
    if address.type_ != AddressType::IpAddress {
        return Err(ConfigError::new(
            reason::UNSUPPORTED_ADDRESS,
            format!("{field}.type"),
            format!("type {} is not supported; use IPAddress", address.type_),
        ));
    }
    if let Some(routability) = address.routability.as_deref().filter(|text| !text.is_empty()) {
        return Err(ConfigError::new(
            reason::ADDRESS_NOT_ASSIGNED,
            format!("{field}.routability"),
            format!("routability {routability:?} is not supported; leave it out"),
        ));
    }
    let Some(value) = address.value.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    let ip: IpAddr = value.parse().map_err(|_| not_usable(format!("{value:?} is not an IP address")))?;
    // A v4-mapped IPv6 address is the IPv4 address: accepted sockets report it that way.
    match ip.to_canonical() {
        ip if ip.is_unspecified() => {
            Err(not_usable(format!("{value} stands for every address; leave addresses out for that")))
        }
        ip if ip.is_multicast() => Err(not_usable(format!("{value} is a multicast address"))),
        ip => Ok(Some(ip)),
    }
}
