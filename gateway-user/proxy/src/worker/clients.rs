//! How many connections the clients of one network hold, where that is bounded.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use hashbrown::HashMap;
use ipnet::IpNet;

/// Grouping of clients by prefix, and the most connections of one group in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimit {
    /// Most connections of one prefix; 0 bounds nothing.
    pub connections: usize,
    /// Bits of an IPv4 address that tell clients apart.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that do: one customer usually has a /64 at least (RFC 6177).
    pub ipv6_prefix: u8,
}

impl Default for ClientLimit {
    fn default() -> Self {
        Self { connections: 0, ipv4_prefix: 32, ipv6_prefix: 64 }
    }
}

/// Connections by prefix.
pub(crate) type ClientCounts = Rc<RefCell<HashMap<IpAddr, usize>>>;

/// A connection counted for its prefix until it is dropped.
#[derive(Debug)]
pub(crate) struct ClientSlot {
    counts: ClientCounts,
    prefix: IpAddr,
}

/// The prefix has its maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientFull;

impl ClientLimit {
    /// The address that stands for all of the client's prefix.
    pub(crate) fn prefix(&self, client: IpAddr) -> IpAddr {
        let bits = if client.is_ipv4() { self.ipv4_prefix } else { self.ipv6_prefix };
        IpNet::new(client, bits).map_or(client, |net| net.network())
    }

    /// Counts a connection; `None` where nothing is bounded.
    ///
    /// # Errors
    /// One more would be too many.
    pub(crate) fn enter(
        &self,
        counts: &ClientCounts,
        client: IpAddr,
    ) -> Result<Option<ClientSlot>, ClientFull> {
        if self.connections == 0 {
            return Ok(None);
        }
        let prefix = self.prefix(client);
        let mut all = counts.borrow_mut();
        let count = all.entry(prefix).or_insert(0);
        if *count >= self.connections {
            return Err(ClientFull);
        }
        *count += 1;
        drop(all);
        Ok(Some(ClientSlot { counts: Rc::clone(counts), prefix }))
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut all = self.counts.borrow_mut();
        if let Some(count) = all.get_mut(&self.prefix) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_its_maximum_and_places_come_back() {
        let limit = ClientLimit { connections: 2, ..ClientLimit::default() };
        let counts = ClientCounts::default();
        let enter = |client: &str| limit.enter(&counts, client.parse().unwrap());
        let one = enter("192.0.2.7").unwrap();
        let _two = enter("192.0.2.7").unwrap();
        assert_eq!(enter("192.0.2.7").unwrap_err(), ClientFull);
        assert!(enter("192.0.2.8").is_ok(), "another client");
        drop(one);
        assert!(enter("192.0.2.7").is_ok());
        // All of a /64 are one client.
        let _v6 = (enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:1").unwrap());
        assert!(enter("2001:db8::2").is_err());
        assert!(enter("2001:db8:0:1::2").is_ok());
    }

    #[test]
    fn who_has_gone_is_forgotten_and_no_limit_counts_nothing() {
        let limit = ClientLimit { connections: 9, ipv4_prefix: 24, ..ClientLimit::default() };
        let counts = ClientCounts::default();
        let slots = [1, 2, 3].map(|host| limit.enter(&counts, [192, 0, 2, host].into()).unwrap());
        assert_eq!(counts.borrow().len(), 1);
        drop(slots);
        assert!(counts.borrow().is_empty());
        let none = ClientLimit::default().enter(&counts, [192, 0, 2, 1].into());
        assert!(none.unwrap().is_none() && counts.borrow().is_empty());
    }
}
