//! Addresses on an interface, by rtnetlink.
//!
//! What we put there is written down before it is put, so that a process that dies leaves nothing that nobody knows of: the
//! next one, or `sluice cleanup`, takes it off. An address that was there before us is used and never taken off.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::{AddressMessageBuilder, Handle};
use serde::{Deserialize, Serialize};

use super::book::replace;

/// What we have put on an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    interface: String,
    addresses: BTreeSet<IpAddr>,
}

/// An interface of this network namespace, and what we put on it.
#[derive(Debug)]
pub struct Link {
    /// Where the record is.
    path: PathBuf,
    record: Record,
    /// Addresses that are known to be on it.
    present: BTreeSet<IpAddr>,
    /// What an earlier process put on another interface.
    elsewhere: Option<Record>,
    /// Whether this process may take addresses off: not while another one serves with the same record.
    alone: bool,
}

impl Link {
    /// The interface of that name, with the record of what an earlier process put there.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn open(interface: &str, path: PathBuf) -> io::Result<Self> {
        let fresh = Record { interface: interface.to_owned(), addresses: BTreeSet::new() };
        let (record, elsewhere) = match load(&path)? {
            Some(record) if record.interface == interface => (record, None),
            other => (fresh, other),
        };
        Ok(Self { path, record, present: BTreeSet::new(), elsewhere, alone: true })
    }

    /// Whether another process may have put addresses there that it still serves.
    #[must_use]
    pub fn shared(self, shared: bool) -> Self {
        Self { alone: !shared, ..self }
    }

    /// Nothing is known any more to be there.
    pub(super) fn forget(&mut self) {
        self.present.clear();
    }

    /// Puts these there, but for those that are.
    pub(super) async fn add(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<(), String> {
        if wanted.is_subset(&self.present) {
            return Ok(());
        }
        let netlink = Netlink::open(&self.record.interface)?;
        let present = netlink.addresses().await?;
        let missing: BTreeSet<_> = wanted.difference(&present).copied().collect();
        self.record.addresses.extend(&missing);
        self.save().map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.present = present;
        for address in missing {
            netlink.add(address).await?;
            self.present.insert(address);
        }
        Ok(())
    }

    /// Takes off what we put there, but for these.
    pub(super) async fn retain(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<(), String> {
        if !self.alone {
            return Ok(());
        }
        if let Some(elsewhere) = &self.elsewhere {
            take_off(elsewhere, &elsewhere.addresses).await?;
            self.elsewhere = None;
        }
        let gone: BTreeSet<_> = self.record.addresses.difference(wanted).copied().collect();
        if gone.is_empty() {
            return Ok(());
        }
        take_off(&self.record, &gone).await?;
        self.record.addresses.retain(|address| !gone.contains(address));
        self.present.retain(|address| !gone.contains(address));
        self.save().map_err(|error| format!("{}: {error}", self.path.display()))
    }

    /// From here on nobody else serves with this record.
    pub fn settle(&mut self) {
        self.alone = true;
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    fn save(&self) -> io::Result<()> {
        replace(&self.path, &serde_json::to_string(&self.record).unwrap_or_default())
    }
}

fn load(path: &Path) -> io::Result<Option<Record>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            io::Error::other(format!("{}: {error}; take its addresses off and delete it", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Takes off its interface everything that the record at `path` names, and removes the record. Gives the addresses.
///
/// # Errors
/// The record cannot be read, or the kernel refuses.
pub fn release(path: &Path) -> io::Result<Vec<IpAddr>> {
    let Some(record) = load(path)? else { return Ok(Vec::new()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(take_off(&record, &record.addresses)).map_err(io::Error::other)?;
    fs::remove_file(path)?;
    Ok(record.addresses.into_iter().collect())
}

async fn take_off(record: &Record, gone: &BTreeSet<IpAddr>) -> Result<(), String> {
    let netlink = match Netlink::open(&record.interface) {
        Ok(netlink) => netlink,
        // With the interface went its addresses.
        Err(_) if is_missing(&record.interface) => return Ok(()),
        Err(error) => return Err(error),
    };
    let present = netlink.addresses().await?;
    for address in gone.intersection(&present) {
        netlink.remove(*address).await?;
    }
    Ok(())
}

fn is_missing(interface: &str) -> bool {
    if_nametoindex(interface) == Err(Errno::ENODEV)
}

/// One conversation with the kernel about one interface.
struct Netlink {
    handle: Handle,
    interface: String,
    index: u32,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    fn open(interface: &str) -> Result<Self, String> {
        let index =
            if_nametoindex(interface).map_err(|error| missing(interface, &error.desc().to_lowercase()))?;
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| format!("rtnetlink: {error}"))?;
        let connection = tokio::spawn(connection);
        Ok(Self { handle, interface: interface.to_owned(), index, connection })
    }

    async fn addresses(&self) -> Result<BTreeSet<IpAddr>, String> {
        let listed = self.handle.address().get().set_link_index_filter(self.index).execute();
        let listed: Vec<AddressMessage> = listed.try_collect().await.map_err(|error| self.explain(&error))?;
        let address = |message: AddressMessage| {
            let local = message.attributes.iter().find_map(|one| match one {
                AddressAttribute::Local(ip) => Some(*ip),
                _ => None,
            });
            local.or_else(|| {
                message.attributes.iter().find_map(|one| match one {
                    AddressAttribute::Address(ip) => Some(*ip),
                    _ => None,
                })
            })
        };
        Ok(listed.into_iter().filter_map(address).collect())
    }

    /// The address alone, as a host's: no route to a network comes with it. IPv6 ones are usable at once: nobody else
    /// was given them.
    async fn add(&self, address: IpAddr) -> Result<(), String> {
        let mut request = self.handle.address().add(self.index, address, width(address));
        if address.is_ipv6() {
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request.execute().await.map_err(|error| format!("{address}: {}", self.explain(&error)))
    }

    async fn remove(&self, address: IpAddr) -> Result<(), String> {
        let message = match address {
            IpAddr::V4(ip) => {
                AddressMessageBuilder::<std::net::Ipv4Addr>::new().index(self.index).address(ip, 32).build()
            }
            IpAddr::V6(ip) => {
                AddressMessageBuilder::<std::net::Ipv6Addr>::new().index(self.index).address(ip, 128).build()
            }
        };
        let removed = self.handle.address().del(message).execute().await;
        removed.map_err(|error| format!("{address}: {}", self.explain(&error)))
    }

    fn explain(&self, error: &rtnetlink::Error) -> String {
        let hint = match error {
            rtnetlink::Error::NetlinkError(message) if message.raw_code() == -(Errno::EPERM as i32) => {
                "; give the process CAP_NET_ADMIN"
            }
            _ => "",
        };
        format!("interface {}: {error}{hint}", self.interface)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn missing(interface: &str, why: &str) -> String {
    format!("interface {interface}: {why}; name one of this network namespace with --address-interface")
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
                // A process that died here: the next one knows what is its own, and takes off what it does not want.
                let mut next = Link::open("lo", path.clone()).unwrap().shared(true);
                next.add(&set(&[six])).await.unwrap();
                next.retain(&set(&[six])).await.unwrap();
                assert!(is_here(four), "another process may serve it");
                next.settle();
                next.retain(&set(&[six])).await.unwrap();
                assert!(!is_here(four) && is_here(six));
                let error = Link::open("none0", path.clone()).unwrap().add(&set(&[four])).await.unwrap_err();
                assert!(error.contains("none0") && error.contains("--address-interface"), "{error}");
            });
            assert_eq!(release(&path).unwrap(), [six.parse::<IpAddr>().unwrap()]);
            assert!(!is_here(six) && is_here(other) && !path.exists());
        });
    }
}
