//! Connections of strangers: whoever has not shown who it is has a place among few, and its address among fewer, so that
//! nobody keeps nodes out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections that have not shown who they are, of all addresses and of one.
const MAX_ALL: usize = 512;
const MAX_OF_ONE: usize = 16;

/// Places by address.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<IpAddr, usize>>);

/// A place, which is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pending: Arc<Pending>,
    source: IpAddr,
}

impl Pending {
    /// A place for a connection of this address; `None` if there is none left.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = source(address);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.values().sum::<usize>() >= MAX_ALL {
            return None;
        }
        let of_one = places.entry(source).or_default();
        if *of_one >= MAX_OF_ONE {
            return None;
        }
        *of_one += 1;
        Some(Place { pending: Arc::clone(self), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.pending.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_one) = places.get_mut(&self.source) {
            *of_one -= 1;
            if *of_one == 0 {
                places.remove(&self.source);
            }
        }
    }
}

/// The address, or the network of one host: IPv6 gives each 64 bits to choose from.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_few_places_and_gives_them_back() {
        let pending = Arc::new(Pending::default());
        let v6 = |host: u128| IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) + host));
        let mut held: Vec<Place> = (0..16).map(|host| pending.enter(v6(host)).unwrap()).collect();
        assert!(pending.enter(v6(99)).is_none());
        assert!(pending.enter("192.0.2.1".parse().unwrap()).is_some());
        held.pop();
        assert!(pending.enter(v6(99)).is_some());
        let net = |net: u32, host: u8| IpAddr::from([10, 0, u8::try_from(net).unwrap(), host]);
        let others: Vec<_> = (0..100)
            .flat_map(|n| (0..5).map(move |host| (n, host)))
            .filter_map(|(n, host)| pending.enter(net(n, host)))
            .collect();
        assert_eq!(others.len() + held.len(), 512, "of all of them");
        drop((held, others));
        assert!(pending.0.lock().unwrap().is_empty());
    }
}
