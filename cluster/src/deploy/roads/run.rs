//! The roads, one after the other, on one installation whose values change between.

use std::path::Path;

use anyhow::{Result, ensure};

use super::balancer::{self, Balancer, CONNECTIONS, REQUESTS};
use super::load::Load;
use super::{Road, arrival, load_balancer, pool, removal};
use crate::chart::helm::Helm;
use crate::deploy::install::{Addresses, Installation};
use crate::deploy::scenario;
use crate::deploy::steps::Steps;
use crate::handle::Cluster;
use crate::network::{CLIENT_V4, CLIENT_V6};

/// An installation, and what stands before it.
pub(super) struct Run<'a> {
    release: Installation<'a>,
    steps: Steps,
    balancer: Option<Balancer>,
    load: Option<Load>,
}

impl<'a> Run<'a> {
    /// Sluice is not installed yet.
    pub(super) fn new(helm: &'a Helm, cluster: &'a Cluster, dir: &'a Path, steps: Steps) -> Self {
        let release = Installation { helm, cluster, dir, addresses: Addresses::Nodes, more: Vec::new() };
        Self { release, steps, balancer: None, load: None }
    }

    /// Installs it with the values of the first of these roads, goes by that, and on to the next.
    ///
    /// # Errors
    /// It is not installed, or a road does not lead where it should.
    pub(super) fn go(mut self, roads: &[Road], bench: &Path) -> Result<()> {
        for node in self.release.cluster.nodes()? {
            removal::add(self.release.cluster, &node)?;
        }
        for road in Road::ALL.into_iter().filter(|road| roads.contains(road)) {
            self.change_to(road)?;
            let done = self.by(road, bench)?;
            self.steps.done(&done);
        }
        Ok(())
    }

    fn change_to(&mut self, road: Road) -> Result<()> {
        let values = road.values();
        if self.release.more == values {
            return Ok(());
        }
        let is_first = self.release.more.is_empty();
        self.release.more = values;
        if !is_first {
            return self.release.upgrade().map(drop);
        }
        self.release.install()?;
        scenario::apply(self.release.cluster)?;
        self.steps.done("started the cluster and installed Sluice");
        Ok(())
    }

    /// Goes by one; gives a line on it.
    fn by(&mut self, road: Road, bench: &Path) -> Result<String> {
        let Installation { cluster, dir, .. } = self.release;
        match road {
            Road::Nodes => {
                by_nodes(cluster)?;
                Ok("addresses of the nodes".to_owned())
            }
            Road::LoadBalancer => {
                load_balancer::check(cluster)?;
                Ok("a Service of type LoadBalancer".to_owned())
            }
            Road::Haproxy => {
                started(&mut self.balancer, || Balancer::start(cluster, dir))?.ensure_running()?;
                by_balancer(cluster)?;
                Ok("HAProxy with the PROXY protocol".to_owned())
            }
            Road::Removal => {
                let balancer = started(&mut self.balancer, || Balancer::start(cluster, dir))?;
                let load = started(&mut self.load, || Load::new(cluster, bench, dir))?;
                let made = removal::check(cluster, balancer, load, &cluster.nodes()?[1..])?;
                Ok(format!("two nodes left and came back, 0 of {made} requests failed"))
            }
            Road::Pool => {
                let load = started(&mut self.load, || Load::new(cluster, bench, dir))?;
                let made = pool::check(cluster, load)?;
                Ok(format!(
                    "addresses of a pool, with a node lost and back; then 0 of {made} requests failed"
                ))
            }
        }
    }
}

/// The one that is there, or a new one.
fn started<T>(place: &mut Option<T>, start: impl FnOnce() -> Result<T>) -> Result<&mut T> {
    Ok(match place {
        Some(there) => there,
        None => place.insert(start()?),
    })
}

/// Each node's own addresses.
fn by_nodes(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes()? {
        for (base, client) in scenario::bases(&node).into_iter().zip([CLIENT_V4, CLIENT_V6]) {
            scenario::until_served(cluster, &base)?;
            arrival::check(cluster, &base, client)?;
            println!("{base}: client {client}");
        }
    }
    Ok(())
}

fn by_balancer(cluster: &Cluster) -> Result<()> {
    for (address, client) in
        [(balancer::V4.to_owned(), CLIENT_V4), (format!("[{}]", balancer::V6), CLIENT_V6)]
    {
        for port in [CONNECTIONS, REQUESTS] {
            let base = format!("http://{address}:{port}");
            let served = arrival::check(cluster, &base, client)?;
            ensure!(served.len() > 1, "{base}: {served:?} alone served");
            println!("{base}: client {client}, by {} nodes", served.len());
        }
    }
    Ok(())
}
