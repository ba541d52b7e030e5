//! Sockets that listen in this network namespace already.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway_ir::BindAddress;

use crate::sockets;

/// A TCP socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    /// Its address; v4-mapped ones as IPv4.
    pub(crate) address: IpAddr,
    /// Its port.
    pub(crate) port: u16,
    /// Its inode.
    pub(crate) inode: u64,
    /// The user it belongs to.
    pub(crate) uid: u32,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) program: String,
}

impl Listening {
    /// True if connections to `bind` would reach this socket.
    pub(crate) fn overlaps(&self, bind: BindAddress) -> bool {
        match (bind, self.address) {
            (BindAddress::Any, _) => true,
            // A [::] socket may or may not take IPv4; /proc does not say, so assume it does.
            (BindAddress::Ip(_), IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => true,
            (BindAddress::Ip(ip), IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => ip.is_ipv4(),
            (BindAddress::Ip(ip), held) => ip == held,
        }
    }
}

/// Reason why nobody in the calling thread's network namespace can be reached over IPv6, for people; `None`
/// where somebody can. Addresses may come later: sockets for every address are open to both wherever the
/// system makes such.
pub fn without_ipv6() -> Option<String> {
    if let Err(error) = sockets::is_local(Ipv6Addr::UNSPECIFIED.into()) {
        return Some(format!("this system makes no IPv6 sockets: {error}"));
    }
    let addresses = fs::read_to_string("/proc/thread-self/net/if_inet6").ok()?;
    addresses.trim().is_empty().then(|| {
        "no interface had an IPv6 address at the start (net.ipv6.conf.all.disable_ipv6 turns them off)"
            .to_owned()
    })
}

/// Every listening TCP socket of the calling thread's network namespace.
pub(crate) fn listening() -> io::Result<Vec<Listening>> {
    let mut found = read("/proc/thread-self/net/tcp")?;
    match read("/proc/thread-self/net/tcp6") {
        Ok(more) => found.extend(more),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {} // a kernel without IPv6
        Err(e) => return Err(e),
    }
    Ok(found)
}

fn read(file: &str) -> io::Result<Vec<Listening>> {
    let explain = |e: io::Error| io::Error::new(e.kind(), format!("{file}: {e}"));
    let mut found = Vec::new();
    for line in BufReader::new(File::open(file).map_err(explain)?).lines().skip(1) {
        // Listening sockets come first (tcp_seq_start in net/ipv4/tcp_ipv4.c); reading on would cost a line
        // per connection of the whole node.
        match parse(&line.map_err(explain)?) {
            Some(socket) => found.push(socket),
            None => break,
        }
    }
    Ok(found)
}

/// A line of `/proc/net/tcp`: `sl local_address rem_address st queues timers retrnsmt uid timeout inode …`,
/// addresses in hexadecimal words of the machine's byte order. `None` unless in state 0A, LISTEN.
fn parse(line: &str) -> Option<Listening> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != "0A" {
        return None;
    }
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let mut words = [0_u8; 16];
    for (word, text) in words.chunks_exact_mut(4).zip(address.as_bytes().chunks_exact(8)) {
        let value = u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()?;
        word.copy_from_slice(&value.to_ne_bytes());
    }
    let address = if address.len() == 8 {
        IpAddr::V4(Ipv4Addr::new(words[0], words[1], words[2], words[3]))
    } else {
        Ipv6Addr::from(words).to_canonical()
    };
    Some(Listening { address, port: u16::from_str_radix(port, 16).ok()?, inode, uid })
}

/// A process that holds the socket, as far as this one may look.
pub(crate) fn holder(inode: u64) -> Option<Holder> {
    let socket = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc").ok()?.flatten();
    for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let mut links = files.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        if links.any(|link| link.as_os_str() == socket.as_str()) {
            let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            return Some(Holder { pid, program: program.trim_end().to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn our_own_listeners_are_found_with_their_holder() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = TcpListener::bind(address).unwrap();
            let local = socket.local_addr().unwrap();
            let all = listening().unwrap();
            let found = all.iter().find(|l| l.port == local.port() && l.address == local.ip()).unwrap();
            assert_eq!(found.inode, sockets::inode(&socket).unwrap());
            assert_eq!(found.uid, std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()));
            assert_eq!(holder(found.inode).unwrap().pid, std::process::id());
        }
    }

    #[test]
    fn a_connection_is_no_listener() {
        let line =
            "  9: 0100007F:0050 0100007F:C3A8 01 00000000:00000000 00:00000000 00000000     0 0 4711 1";
        assert_eq!(parse(line), None);
    }

    #[test]
    fn wildcards_overlap_addresses_of_their_family() {
        let held =
            |address: &str| Listening { address: address.parse().unwrap(), port: 80, inode: 1, uid: 0 };
        let bind = |address: &str| BindAddress::Ip(address.parse().unwrap());
        assert!(held("127.0.0.1").overlaps(BindAddress::Any));
        assert!(held("0.0.0.0").overlaps(bind("127.0.0.1")));
        assert!(!held("0.0.0.0").overlaps(bind("::1")));
        assert!(held("::").overlaps(bind("127.0.0.1")));
        assert!(!held("127.0.0.2").overlaps(bind("127.0.0.1")));
    }
}
