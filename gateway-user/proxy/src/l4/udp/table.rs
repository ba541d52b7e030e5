//! Flows: datagrams of one client's address and port to one socket, and the way back. Their number is bounded, in all and for
//! each client, and where a bound is reached the flows give way that are least likely to be anybody's: sources of datagrams can
//! be made up, and who makes them up sees no reply.

use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use slab::Slab;

pub(super) use super::class::Class;
use super::class::Group;
use super::list::{Link, Linked, List};

/// The lists of a group and class, and of a client.
const BY_CLASS: usize = 0;
const BY_CLIENT: usize = 1;

/// Silence after which a flow gives way though its client was there. Ports are used anew, as resolvers do, so that some flows
/// only seem to have a client.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(10);

/// The ends of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    pub(crate) client: SocketAddr,
    /// The socket that it sends to.
    pub(crate) socket: usize,
}

/// A flow of the table, and of no other flow that comes to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowId {
    index: usize,
    serial: u32,
}

/// Most flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowLimits {
    /// Of the table.
    pub(crate) flows: usize,
    /// Of one client.
    pub(crate) per_client: usize,
}

/// The bound for which there is no room, and none that would give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Every place is a flow's whose client is there.
    Table,
    /// The same for the client's places.
    Client,
}

/// A flow that left the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left<T> {
    pub(crate) key: FlowKey,
    pub(crate) class: Class,
    /// When a datagram of either side came last.
    pub(crate) used: Instant,
    pub(crate) flow: T,
}

/// The group that a place is counted for: a tenant's routes on a listener.
pub(crate) trait Holder: Clone + Eq + Hash {
    /// Names a tenant.
    type Tenant: Eq + Hash;

    /// The tenant, who may have several groups.
    fn tenant(&self) -> Self::Tenant;
}

/// Flows of a worker, whose places groups share.
#[derive(Debug)]
pub(crate) struct FlowTable<G: Holder, T> {
    limits: FlowLimits,
    by_key: HashMap<FlowKey, usize>,
    entries: Slab<Entry<G, T>>,
    groups: HashMap<G, Group>,
    /// Flows of each tenant.
    tenants: HashMap<G::Tenant, usize>,
    clients: HashMap<IpAddr, Client>,
    serial: u32,
}

#[derive(Debug)]
struct Entry<G, T> {
    key: FlowKey,
    serial: u32,
    group: G,
    /// The address that stands for the client's network.
    client: IpAddr,
    class: Class,
    used: Instant,
    links: [Link; 2],
    flow: T,
}

/// The flows of a client: those that may be nobody's, and the others in the order of their use.
#[derive(Debug, Default)]
struct Client {
    count: usize,
    loose: List,
    confirmed: List,
}

impl Client {
    fn list(&mut self, class: Class) -> &mut List {
        if class == Class::Confirmed { &mut self.confirmed } else { &mut self.loose }
    }
}

impl<G, T> Linked for Entry<G, T> {
    fn link(&mut self, kind: usize) -> &mut Link {
        let [by_class, by_client] = &mut self.links;
        if kind == BY_CLASS { by_class } else { by_client }
    }
}

impl FlowId {
    /// A number for it that is no other flow's until 2^31 flows later.
    pub(crate) fn token(self) -> u64 {
        u64::from(self.serial) << 32 | self.index as u64 & 0xffff_ffff
    }

    /// The flow of a number.
    pub(crate) fn of_token(token: u64) -> Self {
        Self { index: (token & 0xffff_ffff) as usize, serial: (token >> 32) as u32 }
    }
}

impl<G: Holder, T> FlowTable<G, T> {
    pub(crate) fn new(limits: FlowLimits) -> Self {
        Self {
            limits,
            by_key: HashMap::new(),
            entries: Slab::new(),
            groups: HashMap::new(),
            tenants: HashMap::new(),
            clients: HashMap::new(),
            serial: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The flow of these ends.
    pub(crate) fn find(&self, key: &FlowKey) -> Option<FlowId> {
        let index = *self.by_key.get(key)?;
        Some(FlowId { index, serial: self.entries.get(index)?.serial })
    }

    /// A flow that is still there.
    pub(crate) fn get(&mut self, id: FlowId) -> Option<(FlowKey, &mut T)> {
        let entry = self.entries.get_mut(id.index).filter(|entry| entry.serial == id.serial)?;
        Some((entry.key, &mut entry.flow))
    }

    /// Makes room for one more flow of a client and group: gives the flow that left for it, if one had to.
    ///
    /// # Errors
    /// No flow gives way.
    pub(crate) fn make_room(
        &mut self,
        group: &G,
        client: IpAddr,
        now: Instant,
    ) -> Result<Option<Left<T>>, NoRoom> {
        if self.clients.get(&client).is_some_and(|one| one.count >= self.limits.per_client) {
            let index = self.least_of_client(client, now).ok_or(NoRoom::Client)?;
            return Ok(self.take(index));
        }
        if self.entries.len() < self.limits.flows {
            return Ok(None);
        }
        let index = self.least(group, now).ok_or(NoRoom::Table)?;
        Ok(self.take(index))
    }

    /// Has a flow give way to one of a group, by the order of a table without room, for something else that all share.
    pub(crate) fn give_place(&mut self, group: &G, now: Instant) -> Option<Left<T>> {
        let index = self.least(group, now)?;
        self.take(index)
    }

    /// Has the oldest flow of a group give way that may, for something that the group has a bound of.
    pub(crate) fn give_way(&mut self, group: &G) -> Option<Left<T>> {
        let index = self.groups.get(group).and_then(Group::least)?;
        self.take(index)
    }

    /// Adds a flow for which there is room. One of the same ends is replaced.
    pub(crate) fn insert(&mut self, key: FlowKey, group: G, client: IpAddr, now: Instant, flow: T) -> FlowId {
        if let Some(index) = self.by_key.get(&key).copied() {
            self.take(index);
        }
        // Without the highest bit, which tokens have for others.
        self.serial = self.serial.wrapping_add(1) & 0x7fff_ffff;
        let (serial, class) = (self.serial, Class::Unreplied);
        let links = [Link::default(); 2];
        let entry = Entry { key, serial, group: group.clone(), client, class, used: now, links, flow };
        let index = self.entries.insert(entry);
        self.by_key.insert(key, index);
        *self.tenants.entry(group.tenant()).or_default() += 1;
        let group = self.groups.entry(group).or_default();
        group.count += 1;
        group.list(class).push(&mut self.entries, BY_CLASS, index);
        let client = self.clients.entry(client).or_default();
        client.count += 1;
        client.loose.push(&mut self.entries, BY_CLIENT, index);
        FlowId { index, serial }
    }

    /// Notes a datagram of the client.
    pub(crate) fn client_sent(&mut self, id: FlowId, now: Instant) {
        self.used(id, now, |class| if class == Class::Unreplied { class } else { Class::Confirmed });
    }

    /// Notes a datagram of the backend. True if it is the first one.
    pub(crate) fn backend_sent(&mut self, id: FlowId, now: Instant) -> bool {
        self.used(id, now, |class| class.max(Class::Replied)) == Some(Class::Unreplied)
    }

    /// Removes a flow.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Left<T>> {
        let is_it = self.entries.get(id.index).is_some_and(|entry| entry.serial == id.serial);
        if is_it { self.take(id.index) } else { None }
    }

    /// Removes one flow that was not used for so long.
    pub(crate) fn expire(&mut self, now: Instant, idle: Duration) -> Option<Left<T>> {
        let oldest = |group: &Group| Class::ALL.map(|class| group.oldest(class));
        let mut firsts = self.groups.values().flat_map(oldest).flatten();
        let is_idle = |index: &usize| {
            let entry = self.entries.get(*index);
            entry.is_some_and(|entry| now.saturating_duration_since(entry.used) >= idle)
        };
        let index = firsts.find(is_idle)?;
        self.take(index)
    }

    /// Removes every flow of which this holds.
    pub(crate) fn remove_where(&mut self, is_meant: impl Fn(&FlowKey, &T) -> bool) -> Vec<Left<T>> {
        let meant = self.entries.iter().filter(|(_, entry)| is_meant(&entry.key, &entry.flow));
        let meant: Vec<usize> = meant.map(|(index, _)| index).collect();
        meant.into_iter().filter_map(|index| self.take(index)).collect()
    }

    /// Removes so many flows at most of those of which this holds: the ones that would give way last, and of the same class
    /// those that were used last. They are in the order of their use.
    pub(crate) fn remove_most_certain(&mut self, most: usize, is_meant: impl Fn(&T) -> bool) -> Vec<Left<T>> {
        let meant = self.entries.iter().filter(|(_, entry)| is_meant(&entry.flow));
        let mut meant: Vec<_> = meant.map(|(index, entry)| (entry.class, entry.used, index)).collect();
        meant.sort_unstable_by(|one, other| other.cmp(one));
        meant.truncate(most);
        meant.sort_unstable_by_key(|(_, used, _)| *used);
        meant.into_iter().filter_map(|(_, _, index)| self.take(index)).collect()
    }

    /// Moves a flow behind all others of its class. Gives the class that it was of.
    fn used(&mut self, id: FlowId, now: Instant, next: impl Fn(Class) -> Class) -> Option<Class> {
        let entry = self.entries.get_mut(id.index).filter(|entry| entry.serial == id.serial)?;
        let before = entry.class;
        entry.used = now;
        entry.class = next(before);
        let after = entry.class;
        let client = entry.client;
        let group = self.groups.get_mut(&entry.group)?;
        group.list(before).remove(&mut self.entries, BY_CLASS, id.index);
        group.list(after).push(&mut self.entries, BY_CLASS, id.index);
        if after == Class::Confirmed
            && let Some(one) = self.clients.get_mut(&client)
        {
            one.list(before).remove(&mut self.entries, BY_CLIENT, id.index);
            one.list(after).push(&mut self.entries, BY_CLIENT, id.index);
        }
        Some(before)
    }

    /// The flow that gives way to one of `group`: of the tenant with most flows, and there of the group with most, so that none
    /// takes another's places. Where its client is there it gives way only to those that have two flows less or more.
    fn least(&self, group: &G, now: Instant) -> Option<usize> {
        let own = self.groups.get(group);
        let of_own = || {
            let silent =
                |own: &Group| own.oldest(Class::Confirmed).filter(|index| self.is_silent(*index, now));
            own.and_then(|own| own.least().or_else(|| silent(own)))
        };
        let (tenant, most) = self.tenants.iter().max_by_key(|(_, count)| **count)?;
        let own_tenant = group.tenant();
        let own_most = self.tenants.get(&own_tenant).copied().unwrap_or_default();
        let (tenant, more) = match most.saturating_sub(own_most) {
            0 => (&own_tenant, None),
            more => (tenant, Some(more)),
        };
        let groups = self.groups.iter().filter(|(group, _)| group.tenant() == *tenant);
        let largest = groups.map(|(_, group)| group).max_by_key(|group| group.count)?;
        let more = more.unwrap_or_else(|| largest.count.saturating_sub(own.map_or(0, |own| own.count)));
        match more {
            0 => of_own(),
            1 => largest.least().or_else(of_own),
            _ => largest.least().or_else(|| largest.oldest(Class::Confirmed)).or_else(of_own),
        }
    }

    fn least_of_client(&self, client: IpAddr, now: Instant) -> Option<usize> {
        let one = self.clients.get(&client)?;
        one.loose.first().or_else(|| one.confirmed.first().filter(|index| self.is_silent(*index, now)))
    }

    fn is_silent(&self, index: usize, now: Instant) -> bool {
        let entry = self.entries.get(index);
        entry.is_some_and(|entry| now.saturating_duration_since(entry.used) >= SILENT_AFTER)
    }

    fn take(&mut self, index: usize) -> Option<Left<T>> {
        let entry = self.entries.get(index)?;
        let (class, client) = (entry.class, entry.client);
        if let Some(group) = self.groups.get_mut(&entry.group) {
            group.count -= 1;
            group.list(class).remove(&mut self.entries, BY_CLASS, index);
        }
        if let Some(one) = self.clients.get_mut(&client) {
            one.count -= 1;
            one.list(class).remove(&mut self.entries, BY_CLIENT, index);
            if one.count == 0 {
                self.clients.remove(&client);
            }
        }
        let entry = self.entries.try_remove(index)?;
        let tenant = entry.group.tenant();
        if let Some(count) = self.tenants.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&tenant);
            }
        }
        if self.groups.get(&entry.group).is_some_and(|group| group.count == 0) {
            self.groups.remove(&entry.group);
        }
        self.by_key.remove(&entry.key);
        Some(Left { key: entry.key, class, used: entry.used, flow: entry.flow })
    }
}

#[cfg(test)]
#[path = "table/tests.rs"] // also for the fuzz target, which has this file elsewhere
mod tests;
