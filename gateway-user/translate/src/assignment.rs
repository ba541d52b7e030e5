//! Addresses that Gateways are given by us: an input of translation, which never chooses one itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gateway_api_types::{AddressType, GatewaySpecAddress, ResourceSet};
use gateway_ir::ObjectName;

use crate::{TranslateOptions, age, parameters, view};

/// An address that one Gateway has, and the node that puts it on its interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Assignment {
    /// The address.
    pub address: IpAddr,
    /// The node's name.
    pub node: String,
}

/// Addresses of the pool and their Gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignments {
    /// The addresses of each Gateway; no address is in here twice.
    pub given: BTreeMap<ObjectName, Vec<Assignment>>,
    /// Reasons for which Gateways do not have the addresses that they ask for, with what to do.
    pub problems: BTreeMap<ObjectName, String>,
}

/// A Gateway's request for addresses of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressWant {
    /// The Gateway.
    pub gateway: ObjectName,
    /// `metadata.creationTimestamp` in seconds since 1970: the older one comes first.
    pub created: Option<i64>,
    /// The addresses that it names.
    pub fixed: Vec<IpAddr>,
    /// True if it asks for any other.
    pub free: bool,
    /// Names of the nodes that it is served on; `None` stands for all.
    pub nodes: Option<BTreeSet<String>>,
}

impl Assignments {
    /// The Gateway that has this address.
    pub fn holder(&self, address: IpAddr) -> Option<&ObjectName> {
        self.given.iter().find(|(_, all)| all.iter().any(|one| one.address == address)).map(|(name, _)| name)
    }

    /// The addresses that a Gateway did not name and was given.
    pub(crate) fn free_of(&self, gateway: &ObjectName, wanted: &[GatewaySpecAddress]) -> Vec<IpAddr> {
        let named: Vec<_> = wanted.iter().filter_map(named).collect();
        let given = self.given.get(gateway).into_iter().flatten().map(|one| one.address);
        given.filter(|address| !named.contains(address)).collect()
    }

    /// The node of each address.
    pub(crate) fn owners(&self) -> BTreeMap<IpAddr, String> {
        self.given.values().flatten().map(|one| (one.address, one.node.clone())).collect()
    }
}

/// The requests of every Gateway of our classes, oldest first; of the same age, by namespace and name.
pub fn address_wants(resources: &ResourceSet, options: &TranslateOptions) -> Vec<AddressWant> {
    let ours = |class: &str| {
        let mut classes = resources.gateway_classes.values();
        classes.any(|one| {
            one.metadata.name.as_deref() == Some(class) && one.spec.controller_name == options.controller_name
        })
    };
    let gateways = resources.gateways.values().filter(|gateway| ours(&gateway.spec.gateway_class_name));
    let mut wants: Vec<_> = gateways
        .map(|gateway| {
            let wanted = &gateway.spec.addresses;
            AddressWant {
                gateway: view::name_of(&gateway.metadata),
                created: age::created(&gateway.metadata),
                fixed: wanted.iter().filter_map(named).collect(),
                free: wanted.is_empty() || wanted.iter().any(is_ours_to_choose),
                nodes: parameters::allowed(resources, gateway),
            }
        })
        .collect();
    // Without a time it is youngest, as everywhere.
    let age = |want: &AddressWant| (want.created.is_none(), want.created);
    wants.sort_by(|a, b| age(a).cmp(&age(b)).then_with(|| a.gateway.alphabetical(&b.gateway)));
    wants
}

/// True if an entry leaves the choice of the address to us.
pub(crate) fn is_ours_to_choose(address: &GatewaySpecAddress) -> bool {
    address.type_ == AddressType::IpAddress && address.value.as_deref().unwrap_or_default().is_empty()
}

fn named(address: &GatewaySpecAddress) -> Option<IpAddr> {
    let value = address.value.as_deref().filter(|_| address.type_ == AddressType::IpAddress)?;
    value.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}
