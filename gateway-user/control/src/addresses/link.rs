//! Addresses that we put on an interface, and their record.
//!
//! An address is recorded before it is added, so that a process that dies leaves nothing that nobody knows
//! of: the next one, or `sluice cleanup`, takes it off. An address that was there before us is used and never
//! taken off.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_helper::HelperClient;
use gateway_steer::AddressCheck;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use super::assignment_store::replace;
use super::netlink::{Netlink, is_missing};

/// The process that changes an interface.
#[derive(Clone, Debug, Default)]
pub enum LinkAccess {
    /// This one, with CAP_NET_ADMIN, which cannot ask the network.
    #[default]
    Own,
    /// This one, which looks before it puts an address there whether another host has it, and announces it after.
    Checked(Arc<Mutex<AddressCheck>>),
    /// A helper, for this one.
    Helper(Arc<HelperClient>),
}

/// Addresses that we have put on an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    interface: String,
    addresses: BTreeSet<IpAddr>,
}

/// Contents of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Records {
    #[serde(flatten)]
    here: Record,
    /// Addresses of earlier processes on other interfaces, until they are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<Record>,
}

/// An interface of this network namespace, and what we put on it.
#[derive(Debug)]
pub struct Link {
    /// Where the records are.
    path: PathBuf,
    records: Records,
    /// True if the file is behind them.
    unsaved: bool,
    /// Addresses that are known to be on it.
    present: BTreeSet<IpAddr>,
    /// True if this process may take addresses off: not while another one serves with the same record.
    alone: bool,
    access: LinkAccess,
    /// The helper's connection, by number, over which it was asked for what is present.
    connection: u64,
}

impl Link {
    /// The interface of that name, with the record of what an earlier process put there.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn open(interface: &str, path: PathBuf) -> io::Result<Self> {
        let mut left = load(&path)?.map(Records::all).unwrap_or_default();
        let is_here = |record: &mut Record| record.interface == interface;
        let addresses = left.extract_if(.., is_here).flat_map(|record| record.addresses).collect();
        let here = Record { interface: interface.to_owned(), addresses };
        let records = Records { here, elsewhere: left };
        Ok(Self {
            path,
            records,
            unsaved: false,
            present: BTreeSet::new(),
            alone: true,
            access: LinkAccess::Own,
            connection: 0,
        })
    }

    /// Says if another process may have put addresses there that it still serves.
    #[must_use]
    pub fn shared(self, shared: bool) -> Self {
        Self { alone: !shared, ..self }
    }

    /// Has somebody else change the interface.
    #[must_use]
    pub fn by(self, access: LinkAccess) -> Self {
        Self { access, ..self }
    }

    /// Nothing is known any more to be there.
    pub(super) fn forget(&mut self) {
        self.present.clear();
    }

    /// Puts these there, but for those that are.
    ///
    /// # Errors
    /// All that failed, in one text. An error with one address does not affect the others.
    pub(super) async fn add(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<(), String> {
        let is_asked_for = self.access.connection() == self.connection;
        if wanted.is_subset(&self.present) && is_asked_for {
            return Ok(());
        }
        let netlink = Netlink::open(&self.records.here.interface)?;
        self.connection = self.access.connection();
        self.present = netlink.addresses().await?;
        if !is_asked_for {
            // A helper takes off with the connection what nobody else asked it for.
            let ours = &self.records.here.addresses;
            self.present.retain(|address| !ours.contains(address));
        }
        let missing: BTreeSet<_> = wanted.difference(&self.present).copied().collect();
        let new: BTreeSet<_> = missing.difference(&self.records.here.addresses).copied().collect();
        self.records.here.addresses.extend(&new);
        self.save()?;
        let (mut others, mut failed) = (BTreeSet::new(), Vec::new());
        let interface = self.records.here.interface.clone();
        missing.iter().for_each(|address| self.access.expect(&interface, *address));
        for address in missing {
            let put = match self.access.put(&netlink, &interface, address).await {
                Ok(put) => put,
                Err(error) => {
                    failed.push(error);
                    others.insert(address);
                    continue;
                }
            };
            self.present.insert(address);
            if !put {
                others.insert(address);
            }
        }
        // An address that we did not add is not ours to remove.
        let others: Vec<_> = others.intersection(&new).collect();
        if !others.is_empty() {
            self.records.here.addresses.retain(|address| !others.contains(&address));
            failed.extend(self.save().err());
        }
        join(failed)
    }

    /// Takes off what we put there, but for these.
    ///
    /// # Errors
    /// All that failed, in one text. Addresses that cannot be removed stay on record and are retried.
    pub(super) async fn retain(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<(), String> {
        if !self.alone {
            return Ok(());
        }
        let here = &self.records.here.addresses;
        let gone: BTreeSet<_> = here.difference(wanted).copied().collect();
        if gone.is_empty() && self.records.elsewhere.is_empty() && !self.unsaved {
            return Ok(());
        }
        let mut failed = Vec::new();
        for record in &mut self.records.elsewhere {
            let all = record.addresses.clone();
            failed.extend(take_off(record, &all, &self.access).await);
        }
        self.records.elsewhere.retain(|record| !record.addresses.is_empty());
        if !gone.is_empty() {
            failed.extend(take_off(&mut self.records.here, &gone, &self.access).await);
            let here = &self.records.here.addresses;
            self.present.retain(|address| !gone.contains(address) || here.contains(address));
        }
        failed.extend(self.save().err());
        join(failed)
    }

    /// From here on nobody else serves with this record.
    pub fn settle(&mut self) {
        self.alone = true;
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    fn save(&mut self) -> Result<(), String> {
        let text = serde_json::to_string(&self.records).unwrap_or_default();
        let saved = replace(&self.path, &text);
        self.unsaved = saved.is_err();
        saved.map_err(|error| format!("write {}: {error}", self.path.display()))
    }
}

impl LinkAccess {
    /// The number of the helper's connection; always the same where there is none.
    fn connection(&self) -> u64 {
        match self {
            Self::Own | Self::Checked(_) => 0,
            Self::Helper(helper) => helper.state().connections,
        }
    }

    /// Begins to look whether another host has an address that is about to be put there: all together take no longer than
    /// one.
    fn expect(&self, interface: &str, address: IpAddr) {
        // An error shows when the address is put there.
        match self {
            Self::Own => {}
            Self::Checked(check) => drop(lock(check).begin(interface, address)),
            Self::Helper(helper) => drop(helper.expect_address(address)),
        }
    }

    /// Puts an address there. False if somebody else had.
    async fn put(&self, netlink: &Netlink, interface: &str, address: IpAddr) -> Result<bool, String> {
        let helper = match self {
            Self::Own => return netlink.add(address).await,
            Self::Checked(check) => {
                must_be_free(&mut lock(check), interface, address)?;
                let put = netlink.add(address).await?;
                // It may have been on another node until now, and neighbours remember that.
                if let Err(error) = lock(check).announce(interface, address) {
                    debug!("{address} is here, and its network is not told: {error}");
                }
                return Ok(put);
            }
            Self::Helper(helper) => helper,
        };
        let put = helper.put_address(address).map_err(|error| format!("add {address}: {error}"))?;
        // It may have been on another node until now, and neighbours remember that.
        if let Err(error) = helper.announce(address) {
            warn!("{address} is here, and its network is not told: {error}");
        }
        Ok(put)
    }

    async fn remove(&self, netlink: &Netlink, interface: &str, address: IpAddr) -> Result<(), String> {
        let helper = match self {
            Self::Own | Self::Checked(_) => return netlink.remove(address).await,
            Self::Helper(helper) => helper,
        };
        if helper.policy().interface.as_deref() != Some(interface) {
            return Err(format!("interface {interface}: the helper changes another one"));
        }
        helper.remove_address(address).map(drop).map_err(|error| format!("remove {address}: {error}"))
    }
}

/// Looks for another host that has an address, for one that is about to have it.
///
/// # Errors
/// There is one; the text says which. Where the network cannot be asked, nobody is found.
pub fn must_be_free(check: &mut AddressCheck, interface: &str, address: IpAddr) -> Result<(), String> {
    let found = check.finish(interface, address).unwrap_or_else(|error| {
        debug!("asking on {interface} for {address}: {error}");
        None
    });
    let Some(hardware) = found else { return Ok(()) };
    let hardware = hardware.map(|byte| format!("{byte:02x}")).join(":");
    Err(format!(
        "{address} is not put on {interface}: the host with {hardware} has it there; tried again until it has not"
    ))
}

fn lock(check: &Mutex<AddressCheck>) -> MutexGuard<'_, AddressCheck> {
    check.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Records {
    fn all(self) -> Vec<Record> {
        let mut all = self.elsewhere;
        all.push(self.here);
        all.retain(|record| !record.addresses.is_empty());
        all
    }
}

fn join(failed: Vec<String>) -> Result<(), String> {
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn load(path: &Path) -> io::Result<Option<Records>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            io::Error::other(format!("{}: {error}; take its addresses off and delete it", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Takes off its interface everything that the record at `path` names, and removes the record. Gives the
/// addresses.
///
/// # Errors
/// The record cannot be read, or the kernel refuses; then it names what is left.
pub fn release(path: &Path, access: &LinkAccess) -> io::Result<Vec<IpAddr>> {
    let Some(records) = load(path)? else { return Ok(Vec::new()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut all = records.all();
    let addresses = all.iter().flat_map(|record| record.addresses.iter().copied()).collect();
    let mut failed = Vec::new();
    for record in &mut all {
        let gone = record.addresses.clone();
        failed.extend(runtime.block_on(take_off(record, &gone, access)));
    }
    join(failed).map_err(io::Error::other)?;
    fs::remove_file(path)?;
    Ok(addresses)
}

/// Takes these off, and out of the record; gives what failed.
async fn take_off(record: &mut Record, gone: &BTreeSet<IpAddr>, access: &LinkAccess) -> Vec<String> {
    if is_missing(&record.interface) {
        // With the interface went its addresses.
        record.addresses.retain(|address| !gone.contains(address));
        return Vec::new();
    }
    let netlink = match Netlink::open(&record.interface) {
        Ok(netlink) => netlink,
        Err(error) => return vec![error],
    };
    let present = match netlink.addresses().await {
        Ok(present) => present,
        Err(error) => return vec![error],
    };
    let mut failed = Vec::new();
    for address in gone {
        let removed = match present.contains(address) {
            true => access.remove(&netlink, &record.interface, *address).await,
            false => Ok(()),
        };
        match removed {
            Ok(()) => drop(record.addresses.remove(address)),
            Err(error) => failed.push(error),
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use gateway_testkit::netns;
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn is_here(address: &str) -> bool {
        TcpListener::bind((address.parse::<IpAddr>().unwrap(), 0)).is_ok()
    }

    #[test]
    fn what_was_put_on_an_interface_is_taken_off_and_nothing_else() {
        netns::run("link", |_| {
            let dir = Scratch::new("link").unwrap();
            let path = dir.join("record");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (four, six, other) = ("192.0.2.7", "2001:db8::7", "192.0.2.9");
            runtime.block_on(async {
                // Somebody else's, and wanted as well.
                let netlink = Netlink::open("lo").unwrap();
                netlink.add(other.parse().unwrap()).await.unwrap();
                let mut link = Link::open("lo", path.clone()).unwrap();
                link.add(&set(&[four, six, other])).await.unwrap();
                assert!(is_here(four) && is_here(six) && is_here(other));
                link.retain(&set(&[four])).await.unwrap();
                assert!(is_here(four) && !is_here(six) && is_here(other));
                // A process that died here: the next one knows what is its own, and takes off what it does
                // not want.
                let mut next = Link::open("lo", path.clone()).unwrap().shared(true);
                next.add(&set(&[six])).await.unwrap();
                next.retain(&set(&[six])).await.unwrap();
                assert!(is_here(four), "another process may serve it");
                next.settle();
                next.retain(&set(&[six])).await.unwrap();
                assert!(!is_here(four) && is_here(six));
                let error = Link::open("none0", path.clone()).unwrap().add(&set(&[four])).await.unwrap_err();
                assert!(error.contains("none0") && error.contains("there are lo"), "{error}");
            });
            assert_eq!(release(&path, &LinkAccess::Own).unwrap(), [six.parse::<IpAddr>().unwrap()]);
            assert!(!is_here(six) && is_here(other) && !path.exists());
        });
    }

    #[test]
    fn what_is_on_an_interface_of_before_is_not_forgotten() {
        netns::run("link", |_| {
            let dir = Scratch::new("link").unwrap();
            let path = dir.join("record");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut first = Link::open("lo", path.clone()).unwrap();
                first.add(&set(&["192.0.2.7"])).await.unwrap();
                // The settings name another interface, and the process dies before it has taken anything off.
                for addresses in [["192.0.2.8"], ["192.0.2.9"]] {
                    let mut next = Link::open("none0", path.clone()).unwrap();
                    next.add(&set(&addresses)).await.unwrap_err();
                    next.save().unwrap();
                }
                let mut again = Link::open("lo", path.clone()).unwrap();
                again.retain(&set(&["192.0.2.7"])).await.unwrap();
                assert!(is_here("192.0.2.7"));
                drop(Link::open("none0", path.clone()).unwrap().save());
            });
            assert_eq!(release(&path, &LinkAccess::Own).unwrap(), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
            assert!(!is_here("192.0.2.7"));
        });
    }

    #[test]
    fn what_others_do_meanwhile_is_no_failure_and_what_fails_stays_on_record() {
        netns::run("link", |_| {
            let dir = Scratch::new("link").unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ours: IpAddr = "192.0.2.7".parse().unwrap();
            runtime.block_on(async {
                let netlink = Netlink::open("lo").unwrap();
                assert_eq!((netlink.add(ours).await, netlink.add(ours).await), (Ok(true), Ok(false)));
                assert_eq!((netlink.remove(ours).await, netlink.remove(ours).await), (Ok(()), Ok(())));
                // One that the kernel does not take keeps none of the others away, and is not called ours.
                let mut link = Link::open("lo", dir.join("record")).unwrap();
                let error = link.add(&set(&["::", "192.0.2.7"])).await.unwrap_err();
                assert!(error.contains("interface lo: add ::"), "{error}");
                assert!(is_here("192.0.2.7"));
                assert_eq!(link.records.here.addresses, set(&["192.0.2.7"]));
            });
        });
    }
}
