//! Edits of items, put into the configuration that the others make: an edit of a route changes its listeners and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_ir::{Bind, Endpoints, Ir, Listener, ObjectName};
use gateway_tls::TicketSecret;

use super::assemble::shared;
use crate::item::{Attached, Desired, Value};
use crate::key::{Key, Kind};

/// Items that are others than before.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// Everything is put together anew: this is a first connection, or a listener or a certificate is another one.
    whole: bool,
    /// Routes, clusters and secrets of session tickets, as they were and as they are.
    edited: Vec<(Option<Value>, Option<Value>)>,
}

impl Edits {
    /// Everything may be another one.
    pub(super) fn all(&mut self) {
        *self = Self { whole: true, edited: Vec::new() };
    }

    /// Notes an item that was this, and is that.
    pub(super) fn note(&mut self, key: &Key, before: Option<&Value>, now: Option<&Value>) {
        match Kind::of(key.kind) {
            _ if self.whole => {}
            Some(Kind::Route | Kind::Cluster | Kind::Tickets) => {
                self.edited.push((before.cloned(), now.cloned()))
            }
            _ => self.all(),
        }
    }

    /// The configuration with the edits in it; `None` if it has to be put together anew. `is_open` tells whether a listener
    /// serves routes.
    pub(super) fn put_into(&self, before: &Desired, is_open: impl Fn(&Attached) -> bool) -> Option<Desired> {
        if self.whole {
            return None;
        }
        let (mut ir, mut endpoints, mut tickets) = (None, None, None);
        for (old, new) in &self.edited {
            for value in old.iter().chain(new) {
                match value {
                    Value::Route(..) if ir.is_none() => ir = Some(Ir::clone(&before.ir)),
                    Value::Cluster(..) if endpoints.is_none() => {
                        endpoints = Some(Endpoints::clone(&before.endpoints));
                    }
                    Value::Tickets(..) if tickets.is_none() => {
                        tickets = Some(BTreeMap::clone(&before.tickets));
                    }
                    Value::Route(..) | Value::Cluster(..) | Value::Tickets(..) => {}
                    _ => return None,
                }
            }
            if let Some(ir) = &mut ir {
                remove_route(ir, old.as_ref(), new.as_ref());
                add_route(ir, new.as_ref(), &is_open);
            }
            if let Some(endpoints) = &mut endpoints {
                edit_cluster(endpoints, old.as_ref(), new.as_ref());
            }
            if let Some(tickets) = &mut tickets {
                edit_tickets(tickets, old.as_ref(), new.as_ref());
            }
        }
        Some(Desired {
            ir: ir.map_or_else(|| Arc::clone(&before.ir), |now| shared(&before.ir, now)),
            endpoints: endpoints
                .map_or_else(|| Arc::clone(&before.endpoints), |now| shared(&before.endpoints, now)),
            tickets: tickets.map_or_else(|| Arc::clone(&before.tickets), |now| shared(&before.tickets, now)),
            ..before.clone()
        })
    }
}

/// Takes a route off the listeners on which it is no more.
fn remove_route(ir: &mut Ir, old: Option<&Value>, new: Option<&Value>) {
    let Some(Value::Route(route, attached)) = old else { return };
    let stays: &[Attached] = match new {
        Some(Value::Route(_, attached)) => attached,
        _ => &[],
    };
    let same =
        |a: &Attached, b: &Attached| (a.address, a.port, &a.listener) == (b.address, b.port, &b.listener);
    for gone in attached.iter().filter(|one| !stays.iter().any(|other| same(one, other))) {
        if let Some(listener) = find(ir, gone) {
            listener.routes.remove(route.id());
        }
    }
    if stays.is_empty() {
        ir.routes.remove(route.id());
    }
}

fn add_route(ir: &mut Ir, new: Option<&Value>, is_open: impl Fn(&Attached) -> bool) {
    let Some(Value::Route(route, attached)) = new else { return };
    let mut is_served = false;
    for one in attached.iter().filter(|one| is_open(one)) {
        is_served = true;
        let Some(listener) = find(ir, one) else { continue };
        if listener.routes.get(route.id()) != Some(&one.hostnames) {
            listener.routes.insert(route.id().clone(), Arc::clone(&one.hostnames));
        }
    }
    match is_served {
        true => drop(ir.routes.insert(route.id().clone(), Arc::clone(route))),
        false => drop(ir.routes.remove(route.id())),
    }
}

fn find<'i>(ir: &'i mut Ir, place: &Attached) -> Option<&'i mut Listener> {
    let at = |bind: &Bind| (bind.port, bind.address);
    let place_of = (place.port, place.address);
    let first = ir.binds.partition_point(|bind| at(bind) < place_of);
    // One for each transport at most.
    let here = ir.binds.iter_mut().skip(first).take_while(|bind| at(bind) == place_of);
    here.flat_map(|bind| &mut bind.listeners).find(|listener| listener.id == place.listener)
}

fn edit_cluster(endpoints: &mut Endpoints, old: Option<&Value>, new: Option<&Value>) {
    match (old, new) {
        (_, Some(Value::Cluster(key, addresses))) => {
            endpoints.clusters.insert(key.clone(), Arc::clone(addresses));
        }
        (Some(Value::Cluster(key, _)), _) => drop(endpoints.clusters.remove(key)),
        _ => {}
    }
}

fn edit_tickets(
    tickets: &mut BTreeMap<ObjectName, Vec<TicketSecret>>,
    old: Option<&Value>,
    new: Option<&Value>,
) {
    match (old, new) {
        (_, Some(Value::Tickets(gateway, secrets))) => {
            tickets.insert(gateway.clone(), secrets.clone());
        }
        (Some(Value::Tickets(gateway, _)), _) => drop(tickets.remove(gateway)),
        _ => {}
    }
}
