//! Addresses on the interface, and the connections that asked for each.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::info;

/// Work that other crates do for the helper.
pub trait Duties: fmt::Debug + Send + Sync {
    /// Makes the state directory and what is in it the gateway's.
    ///
    /// # Errors
    /// The system refuses, or others have files there.
    fn give_state_dir(&self) -> io::Result<()>;

    /// Begins to look whether another host has an address that is about to be put on the interface.
    ///
    /// # Errors
    /// The network cannot be asked; one line for people.
    fn expect_address(&self, ip: IpAddr) -> Result<(), String>;

    /// Puts an address on the interface; false if somebody else has, who is no helper.
    ///
    /// # Errors
    /// Another host has it, or the kernel refuses; one line for people.
    fn put_address(&self, ip: IpAddr) -> Result<bool, String>;

    /// Takes an address off the interface.
    ///
    /// # Errors
    /// The kernel refuses; one line for people.
    fn remove_address(&self, ip: IpAddr) -> Result<(), String>;

    /// Tells the interface's network that an address is here.
    ///
    /// # Errors
    /// The kernel refuses; one line for people.
    fn announce(&self, ip: IpAddr) -> Result<(), String>;
}

/// Addresses that the helper has put on the interface, and the connections that asked for each.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<BTreeMap<IpAddr, Vec<u64>>>);

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Vec<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an address on the interface, and gives true if it is there by a helper then. One that was there
    /// before is nobody's.
    pub(crate) fn put(&self, connection: u64, ip: IpAddr, duties: &dyn Duties) -> Result<bool, String> {
        let mut all = self.lock();
        // Though it is ours somebody may have taken it off.
        let by_helper = duties.put_address(ip)?;
        match all.get_mut(&ip) {
            Some(owners) if owners.contains(&connection) => {}
            Some(owners) => owners.push(connection),
            None if by_helper => {
                all.insert(ip, vec![connection]);
                info!(connection, "{ip} is on the interface");
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Takes an address off, unless other connections asked for it as well. It may be there by a process that
    /// had the right itself: the pool is the gateway's.
    pub(crate) fn remove(&self, connection: u64, ip: IpAddr, duties: &dyn Duties) -> Result<bool, String> {
        let mut all = self.lock();
        if let Some(owners) = all.get_mut(&ip).filter(|owners| owners.iter().any(|one| *one != connection)) {
            owners.retain(|owner| *owner != connection);
            return Ok(false);
        }
        duties.remove_address(ip)?;
        all.remove(&ip);
        Ok(true)
    }

    /// Leaves all addresses of a connection where they are.
    pub(crate) fn forget(&self, connection: u64) {
        self.leave(connection);
    }

    /// Addresses that are nobody's once this connection is gone.
    pub(crate) fn leave(&self, connection: u64) -> Vec<IpAddr> {
        let mut all = self.lock();
        all.values_mut().for_each(|owners| owners.retain(|owner| *owner != connection));
        all.extract_if(.., |_, owners| owners.is_empty()).map(|(ip, _)| ip).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// An interface, as a set of addresses and of those among them that a helper has put there.
    #[derive(Debug, Default)]
    struct Interface(Mutex<(BTreeSet<IpAddr>, BTreeSet<IpAddr>)>);

    impl Interface {
        fn has(&self, ip: IpAddr) -> bool {
            self.0.lock().unwrap().0.contains(&ip)
        }
    }

    impl Duties for Interface {
        fn give_state_dir(&self) -> io::Result<()> {
            Ok(())
        }

        fn expect_address(&self, _: IpAddr) -> Result<(), String> {
            Ok(())
        }

        fn put_address(&self, ip: IpAddr) -> Result<bool, String> {
            let (all, by_helper) = &mut *self.0.lock().unwrap();
            Ok((all.insert(ip) && by_helper.insert(ip)) || by_helper.contains(&ip))
        }

        fn remove_address(&self, ip: IpAddr) -> Result<(), String> {
            let (all, by_helper) = &mut *self.0.lock().unwrap();
            by_helper.remove(&ip);
            if all.remove(&ip) { Ok(()) } else { Err("it is not there".to_owned()) }
        }

        fn announce(&self, _: IpAddr) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn an_address_goes_with_the_last_connection_that_asked_for_it() {
        let (addresses, interface) = (Addresses::default(), Interface::default());
        let (ours, others) = ("192.0.2.7".parse().unwrap(), "192.0.2.9".parse().unwrap());
        interface.0.lock().unwrap().0.insert(others);
        assert_eq!(addresses.put(1, ours, &interface), Ok(true));
        assert_eq!(addresses.put(1, others, &interface), Ok(false), "it was there before");
        assert_eq!(addresses.put(2, ours, &interface), Ok(true));
        assert_eq!(addresses.remove(3, ours, &interface), Ok(false), "it is another's");
        assert_eq!(addresses.leave(1), Vec::<IpAddr>::new());
        assert!(interface.has(ours) && interface.has(others));
        assert_eq!(addresses.leave(2), [ours], "for its caller to take off");
        assert_eq!(addresses.put(3, ours, &interface), Ok(true));
        assert_eq!(addresses.remove(3, ours, &interface), Ok(true));
        assert_eq!(addresses.leave(3), Vec::<IpAddr>::new());
        assert!(!interface.has(ours) && interface.has(others));
    }

    #[test]
    fn what_a_helper_before_put_there_is_known_by_the_interface() {
        let interface = Interface::default();
        let ip = "192.0.2.7".parse().unwrap();
        assert_eq!(Addresses::default().put(1, ip, &interface), Ok(true));
        let addresses = Addresses::default();
        assert_eq!(addresses.put(7, ip, &interface), Ok(true));
        addresses.forget(7);
        assert_eq!(addresses.leave(7), Vec::<IpAddr>::new());
        assert!(interface.has(ip), "another process serves it");
    }
}
