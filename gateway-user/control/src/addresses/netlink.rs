//! One interface's addresses, by rtnetlink.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use nix::errno::Errno;
use nix::net::if_::{if_nameindex, if_nametoindex};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol};
use rtnetlink::{AddressMessageBuilder, Handle};

/// Checks that the network namespace has an interface of that name.
///
/// # Errors
/// It has none; the text, one line, names those that exist.
pub fn check(interface: &str) -> Result<(), String> {
    let Err(error) = if_nametoindex(interface) else { return Ok(()) };
    let all =
        if_nameindex().map(|all| all.iter().map(|one| one.name().to_string_lossy().into_owned()).collect());
    let all: Vec<_> = all.unwrap_or_default();
    Err(format!(
        "no interface {interface:?} in this network namespace ({}); there are {}",
        error.desc().to_lowercase(),
        all.join(", ")
    ))
}

pub(super) fn is_missing(interface: &str) -> bool {
    if_nametoindex(interface) == Err(Errno::ENODEV)
}

/// Mark of an address that a helper has put on an interface (`IFA_PROTO`, Linux 5.18): the kernel remembers it
/// for a helper that was started again.
const BY_HELPER: u8 = b'S';

/// True if an interface has an address.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn has(interface: &str, address: IpAddr) -> Result<bool, String> {
    alone(async { Ok(Netlink::open(interface)?.addresses().await?.contains(&address)) })
}

/// Puts an address on an interface, for a helper. False if somebody else had, who is no helper.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn put(interface: &str, address: IpAddr) -> Result<bool, String> {
    alone(async {
        let netlink = Netlink::open(interface)?;
        Ok(netlink.add_as(address, Some(BY_HELPER)).await? || netlink.marked().await?.contains(&address))
    })
}

/// Takes an address off an interface, unless it is not there.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn take_off(interface: &str, address: IpAddr) -> Result<(), String> {
    alone(async { Netlink::open(interface)?.remove(address).await })
}

fn alone<T>(body: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("rtnetlink: {error}"))?.block_on(body)
}

/// One conversation with the kernel about one interface.
pub(super) struct Netlink {
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
    /// A connection to the kernel (rtnetlink(7)) about the interface of that name.
    ///
    /// # Errors
    /// There is no such interface, or no socket is to be had.
    pub(super) fn open(interface: &str) -> Result<Self, String> {
        let index = if_nametoindex(interface)
            .map_err(|_| check(interface).err().unwrap_or_else(|| format!("interface {interface}: gone")))?;
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| format!("open rtnetlink: {error}"))?;
        let connection = tokio::spawn(connection);
        Ok(Self { handle, interface: interface.to_owned(), index, connection })
    }

    /// All addresses of the interface.
    ///
    /// # Errors
    /// The kernel refuses to list them.
    pub(super) async fn addresses(&self) -> Result<BTreeSet<IpAddr>, String> {
        Ok(self.list().await?.iter().filter_map(address_of).collect())
    }

    /// Those that a helper has put there.
    async fn marked(&self) -> Result<BTreeSet<IpAddr>, String> {
        let mark = AddressAttribute::Protocol(AddressProtocol::from(BY_HELPER));
        let listed = self.list().await?;
        let marked = listed.iter().filter(|message| message.attributes.contains(&mark));
        Ok(marked.filter_map(address_of).collect())
    }

    async fn list(&self) -> Result<Vec<AddressMessage>, String> {
        let listed = self.handle.address().get().set_link_index_filter(self.index).execute();
        listed.try_collect().await.map_err(|error| self.explain("list addresses", &error))
    }

    /// Adds the address alone, as a host's: no route to a network comes with it. IPv6 ones are usable at
    /// once: whoever asks for this has looked for others. Gives true if this process put it there: somebody else may have done
    /// so since we looked.
    ///
    /// # Errors
    /// The kernel refuses, most often for lack of CAP_NET_ADMIN.
    pub(super) async fn add(&self, address: IpAddr) -> Result<bool, String> {
        self.add_as(address, None).await
    }

    async fn add_as(&self, address: IpAddr, mark: Option<u8>) -> Result<bool, String> {
        let mut request = self.handle.address().add(self.index, address, width(address));
        let mark = mark.map(|mark| AddressAttribute::Protocol(AddressProtocol::from(mark)));
        request.message_mut().attributes.extend(mark);
        if address.is_ipv6() {
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        match request.execute().await {
            Ok(()) => Ok(true),
            Err(error) if is(&error, Errno::EEXIST) => Ok(false),
            Err(error) => Err(self.explain(&format!("add {address}"), &error)),
        }
    }

    /// Takes it off, unless somebody else has since we looked.
    ///
    /// # Errors
    /// The kernel refuses, most often for lack of CAP_NET_ADMIN.
    pub(super) async fn remove(&self, address: IpAddr) -> Result<(), String> {
        let message = match address {
            IpAddr::V4(ip) => {
                AddressMessageBuilder::<std::net::Ipv4Addr>::new().index(self.index).address(ip, 32).build()
            }
            IpAddr::V6(ip) => {
                AddressMessageBuilder::<std::net::Ipv6Addr>::new().index(self.index).address(ip, 128).build()
            }
        };
        match self.handle.address().del(message).execute().await {
            Err(error) if !is(&error, Errno::EADDRNOTAVAIL) => {
                Err(self.explain(&format!("remove {address}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Operation, interface and error.
    fn explain(&self, what: &str, error: &rtnetlink::Error) -> String {
        let hint = if is(error, Errno::EPERM) { "; give the process CAP_NET_ADMIN" } else { "" };
        format!("interface {}: {what}: {error}{hint}", self.interface)
    }
}

/// The address of the interface, and not of its other end, if it has one.
fn address_of(message: &AddressMessage) -> Option<IpAddr> {
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
}

fn is(error: &rtnetlink::Error, errno: Errno) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -(errno as i32))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
