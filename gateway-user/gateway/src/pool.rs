//! Addresses of a pool, as the settings ask for them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use gateway_control::addresses::assignment_store::{AssignmentFile, LocalAssignmentStore};
use gateway_control::addresses::follower_store::FollowerAssignmentStore;
use gateway_control::addresses::link::{self, Link, LinkAccess};
use gateway_control::addresses::{
    Assigner, AssignmentStore, ClusterAssignmentStore, OwnAddresses, Pool, netlink,
};
use gateway_control::cluster::pool::{self, ObservedAssignments, Wants};
use gateway_control::cluster::{PoolDuty, ReportsBy};
use gateway_control::engine::Engine;
use gateway_control::publish::Workers;
use gateway_control::reconcile::{Distributor, Reconciler};
use gateway_control::source::kube::Cluster;
use gateway_control::steer::Steer;
use gateway_control::stream::Nodes;
use gateway_steer::AddressCheck;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::flags::{AddressMode, Settings};
use crate::instance::Instance;
use crate::node;

/// A pool of a cluster, before anybody is woken by it.
pub(crate) struct Shared {
    cluster: Cluster,
    duty: PoolDuty,
}

/// Finds settings that do not fit together.
///
/// # Errors
/// The mode wants a pool and an interface, and one of them is missing or not there; or one is set and nothing
/// is done with it.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    let (pool, interface) = (&settings.address_pool.0, &settings.address_interface.0);
    if settings.address_mode == AddressMode::Node {
        let unused = [(!pool.is_empty(), "--address-pool"), (interface.is_some(), "--address-interface")];
        if let Some((_, flag)) = unused.into_iter().find(|(set, _)| *set) {
            bail!("{flag} does nothing with --address-mode node: set --address-mode pool, or leave it out");
        }
        return Ok(());
    }
    has_networks(settings)?;
    let Some(interface) = interface else {
        bail!("--address-mode pool: name the interface to put addresses on with --address-interface");
    };
    if let Err(why) = netlink::check(interface) {
        bail!("--address-interface: {why}");
    }
    Ok(())
}

/// The part of [`check`] that is a controller's, which has no interface.
///
/// # Errors
/// The mode wants a pool, and there is none.
pub(crate) fn has_networks(settings: &Settings) -> anyhow::Result<()> {
    if settings.address_mode == AddressMode::Pool && settings.address_pool.0.is_empty() {
        bail!("--address-mode pool: name the networks to give addresses of with --address-pool");
    }
    Ok(())
}

/// The node's own addresses, where a controller says which they are; `None` without a pool.
///
/// # Errors
/// As [`open`].
pub(crate) fn own_addresses(
    settings: &Settings,
    instance: &Instance,
    takes_over: bool,
    access: LinkAccess,
) -> anyhow::Result<Option<OwnAddresses>> {
    let record = instance.interface_addresses();
    let Some(interface) = interface(settings) else {
        if !takes_over {
            release(&record, &access)?;
        }
        return Ok(None);
    };
    let link = Link::open(interface, record).context("--address-interface")?.shared(takes_over).by(access);
    Ok(Some(OwnAddresses::new(link, node::name(settings)?)))
}

/// Looks for other hosts with addresses that are about to be put on the interface; without the right to, none is found.
pub(crate) fn address_check(interface: &str) -> Option<AddressCheck> {
    let opened = AddressCheck::open();
    opened
        .inspect_err(|error| {
            warn!(
                "addresses are put on {interface} without asking whether another host has them, and not announced: {error}; \
                 give the process CAP_NET_RAW"
            );
        })
        .ok()
}

/// The way to change addresses of the interface, where this process has the right to.
pub(crate) fn own_access(settings: &Settings) -> LinkAccess {
    let check = interface(settings).and_then(address_check);
    check.map_or(LinkAccess::Own, |check| LinkAccess::Checked(Arc::new(Mutex::new(check))))
}

fn interface(settings: &Settings) -> Option<&str> {
    settings.address_interface.0.as_deref().filter(|_| settings.address_mode == AddressMode::Pool)
}

fn release(record: &Path, access: &LinkAccess) -> anyhow::Result<()> {
    let left = link::release(record, access).context("addresses that an earlier process left")?;
    left.iter().for_each(|address| info!("took {address} off its interface: an earlier process left it"));
    Ok(())
}

/// Lets the reconciler give addresses, if the settings say so. Addresses that an earlier process left on an
/// interface are taken off: at once without a pool, and once it is clear that nobody has it with one.
///
/// # Errors
/// The record of an earlier process cannot be read, or the node has no name.
pub(crate) fn open<W: Workers, S: Steer>(
    settings: &Settings,
    instance: &Instance,
    cluster: Option<&Cluster>,
    takes_over: bool,
    access: LinkAccess,
    reconciler: Reconciler<W, S>,
) -> anyhow::Result<(Reconciler<W, S>, Option<Shared>)> {
    let record = instance.interface_addresses();
    let Some(interface) = interface(settings) else {
        if !takes_over {
            release(&record, &access)?;
        }
        return Ok((reconciler, None));
    };
    let node = node::name(settings)?;
    let link = Link::open(interface, record).context("--address-interface")?.shared(takes_over).by(access);
    let Some(cluster) = cluster else {
        let store = local(settings, instance, &node);
        return Ok((reconciler.with_pool(Pool::new(store, link, node)), None));
    };
    let (store, shared) = of_cluster(settings, instance, cluster);
    Ok((reconciler.with_pool(Pool::new(store, link, node)), Some(shared)))
}

/// Lets a controller give addresses, if the settings say so.
///
/// # Errors
/// The node has no name.
pub(crate) fn assign(
    settings: &Settings,
    instance: &Instance,
    cluster: Option<&Cluster>,
    nodes: (&Arc<Nodes>, ReportsBy),
    distributor: Distributor,
) -> anyhow::Result<(Distributor, Option<Shared>)> {
    if settings.address_mode != AddressMode::Pool {
        return Ok((distributor, None));
    }
    let (nodes, reports_by) = nodes;
    if reports_by == ReportsBy::Streams {
        nodes.keep_evidence(settings.probe_address.0.map_or(0, |address| address.port()));
    }
    let (store, shared) = match cluster {
        Some(cluster) => {
            let (store, shared) = of_cluster(settings, instance, cluster);
            (store, Some(shared))
        }
        None if reports_by == ReportsBy::Streams => (among(settings, instance, nodes), None),
        None => (local(settings, instance, &node::name(settings)?), None),
    };
    Ok((distributor.assigning(Assigner::new(store)), shared))
}

/// Addresses that this process gives alone, all of them to one node.
fn local(settings: &Settings, instance: &Instance, node: &str) -> AssignmentStore {
    let networks = settings.address_pool.0.clone();
    let (book, why) = LocalAssignmentStore::open(instance.addresses(), networks, node);
    why.into_iter().for_each(|why| warn!("{why}"));
    AssignmentStore::Local(book)
}

/// Addresses that this process gives alone, to nodes that follow it.
fn among(settings: &Settings, instance: &Instance, nodes: &Arc<Nodes>) -> AssignmentStore {
    let networks = settings.address_pool.0.clone();
    let (book, why) = FollowerAssignmentStore::open(instance.addresses(), networks, Arc::clone(nodes));
    why.into_iter().for_each(|why| warn!("{why}"));
    AssignmentStore::Followers(book)
}

/// Addresses that the leader of the cluster gives.
fn of_cluster(settings: &Settings, instance: &Instance, cluster: &Cluster) -> (AssignmentStore, Shared) {
    let (file, kept, why) = AssignmentFile::open(instance.cluster_addresses());
    why.into_iter().for_each(|why| warn!("{why}"));
    let (wants, wanted) = watch::channel(Wants::None);
    let (gives, given) = watch::channel(ObservedAssignments::kept(kept));
    cluster.spawn(pool::follow(cluster.client(), node::namespace(settings), gives));
    let store = AssignmentStore::Shared(ClusterAssignmentStore::new(wants, given.clone(), file));
    let duty = PoolDuty { pool: settings.address_pool.0.clone(), wants: wanted, given };
    (store, Shared { cluster: cluster.clone(), duty })
}

impl Shared {
    /// Has the compiler thread take new assignments as they come.
    pub(crate) fn follow<E: Send + 'static>(self, engine: &Engine<E>) -> PoolDuty {
        let assigned = engine.assigner();
        let mut given = self.duty.given.clone();
        self.cluster.spawn(async move {
            while given.changed().await.is_ok() {
                given.borrow_and_update();
                assigned();
            }
        });
        self.duty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    #[test]
    fn an_interface_that_is_not_there_is_a_mistake_in_the_settings() {
        let with = |name| {
            let pool =
                [("address-mode", "pool"), ("address-pool", "192.0.2.0/24"), ("address-interface", name)];
            check(&settings(&pool)).map_err(|error| error.to_string())
        };
        assert_eq!(with("lo"), Ok(()));
        let error = with("none0").unwrap_err();
        assert!(error.starts_with("--address-interface: no interface \"none0\""), "{error}");
        assert!(error.contains("there are lo"), "{error}");
        assert!(with("none").unwrap_err().contains("name the interface"));
    }

    #[test]
    fn a_pool_that_nothing_is_done_with_is_a_mistake_in_the_settings() {
        let of = |set: &[(&str, &str)]| check(&settings(set)).map_err(|error| error.to_string());
        assert_eq!(of(&[]), Ok(()));
        let error = of(&[("address-pool", "192.0.2.0/24")]).unwrap_err();
        assert!(error.starts_with("--address-pool does nothing"), "{error}");
        assert!(of(&[("address-interface", "lo")]).unwrap_err().contains("--address-interface"));
    }
}
