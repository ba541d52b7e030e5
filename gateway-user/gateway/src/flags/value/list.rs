//! Lists: ports, CPUs, networks, names.

use std::net::IpAddr;

use gateway_grammar::token::is_token;
use ipnet::IpNet;
use rustix::thread::CapabilitySet;

use super::{Value, digits, dns_name};

/// A set of ports: single ones and ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) Vec<u16>);

impl Value for Ports {
    fn parse(text: &str) -> Option<Self> {
        let mut ports = Vec::new();
        for (first, last) in ranges(text)? {
            let (first, last) = (u16::try_from(first).ok()?, u16::try_from(last).ok()?);
            if first == 0 {
                return None;
            }
            ports.extend(first..=last);
        }
        ports.sort_unstable();
        ports.dedup();
        Some(Self(ports))
    }

    fn allowed() -> String {
        "none or ports from 1 to 65535 and ranges of them, such as 22,10248-10259".to_owned()
    }
}

/// Ports that listeners may have; `None` is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowedPorts(pub(crate) Option<Vec<u16>>);

impl Value for AllowedPorts {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self(None)),
            // That would serve nothing.
            "none" | "" => None,
            list => Ports::parse(list).map(|ports| Self(Some(ports.0))),
        }
    }

    fn allowed() -> String {
        "all or ports from 1 to 65535 and ranges of them, such as 80,443,8000-8999".to_owned()
    }
}

/// Users, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uids(pub(crate) Vec<u32>);

impl Value for Uids {
    fn parse(text: &str) -> Option<Self> {
        let uids =
            text.split(',').map(|uid| u32::try_from(digits(uid.trim())?).ok().filter(|uid| *uid < u32::MAX));
        uids.collect::<Option<_>>().map(Self)
    }

    fn allowed() -> String {
        "numbers of users, such as 65532,65533".to_owned()
    }
}

/// Namespaces of a cluster; empty is all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespaces(pub(crate) Vec<String>);

impl Value for Namespaces {
    fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self(Vec::new()));
        }
        let mut names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        // A DNS label (RFC 1123), as the API server asks for.
        names
            .iter()
            .all(|name| dns_name(name) && !name.contains('.') && name.len() <= 63)
            .then_some(Self(names))
    }

    fn allowed() -> String {
        "all or names of namespaces, such as shop,team-a".to_owned()
    }
}

/// IP addresses, in the order written; none is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses(pub(crate) Vec<IpAddr>);

impl Value for Addresses {
    fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self(Vec::new()));
        }
        let address = |text: &str| text.trim().parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified());
        text.split(',').map(address).collect::<Option<_>>().map(Self)
    }

    fn allowed() -> String {
        "none or IP addresses, such as 192.0.2.7,2001:db8::7".to_owned()
    }
}

/// The CPUs that workers are pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cpus {
    /// Those that the process may run on.
    Auto,
    /// Workers are not pinned.
    Unpinned,
    /// These, by the kernel's number.
    List(Vec<usize>),
}

impl Value for Cpus {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => return Some(Self::Auto),
            "none" => return Some(Self::Unpinned),
            _ => {}
        }
        let mut cpus = Vec::new();
        for (first, last) in ranges(text)? {
            // The kernel's own limit on x86-64 is 8192 (CONFIG_NR_CPUS); this also bounds the list.
            if last >= 8192 {
                return None;
            }
            cpus.extend(usize::try_from(first).ok()?..=usize::try_from(last).ok()?);
        }
        cpus.sort_unstable();
        cpus.dedup();
        (!cpus.is_empty()).then_some(Self::List(cpus))
    }

    fn allowed() -> String {
        "auto, none, or CPU numbers and ranges of them, such as 0-3,6".to_owned()
    }
}

/// Networks; a bare address is one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cidrs(pub(crate) Vec<IpNet>);

impl Value for Cidrs {
    fn parse(text: &str) -> Option<Self> {
        items(text).map(cidr).collect::<Option<Vec<_>>>().map(Self)
    }

    fn allowed() -> String {
        "none or addresses and CIDR ranges, such as 10.0.0.0/8,fd00::/8,192.0.2.7".to_owned()
    }
}

/// Networks of clients; `None` is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Networks(pub(crate) Option<Vec<IpNet>>);

impl Value for Networks {
    fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self(None));
        }
        items(text).map(cidr).collect::<Option<Vec<_>>>().map(|networks| Self(Some(networks)))
    }

    fn allowed() -> String {
        "all, none or addresses and CIDR ranges, such as 10.0.0.0/8,fd00::/8,192.0.2.7".to_owned()
    }
}

fn cidr(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Capabilities that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Capabilities {
    /// All that the process was started with.
    All,
    /// These, besides what is needed anyway.
    Listed(CapabilitySet),
}

impl Value for Capabilities {
    fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        let each = items(text).map(|name| CapabilitySet::from_name(name.strip_prefix("CAP_")?));
        Some(Self::Listed(each.collect::<Option<Vec<_>>>()?.into_iter().collect()))
    }

    fn allowed() -> String {
        "none, all or names from capabilities(7), such as CAP_SYS_PTRACE".to_owned()
    }
}

/// Protocols that requests may change to, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpgradeProtocols(pub(crate) Vec<Box<str>>);

impl Value for UpgradeProtocols {
    fn parse(text: &str) -> Option<Self> {
        let protocol = |text: &str| {
            let (name, version) = text.split_once('/').unwrap_or((text, "1"));
            let is_token = |part: &str| is_token(part.as_bytes());
            // Requests behind such an upgrade would be seen by no route and no filter.
            let is_http =
                ["h2", "h2c", "h3", "http", "tls"].iter().any(|http| name.eq_ignore_ascii_case(http));
            (is_token(name) && is_token(version) && !is_http).then(|| text.to_ascii_lowercase().into())
        };
        items(text).map(protocol).collect::<Option<Vec<_>>>().map(Self)
    }

    fn allowed() -> String {
        "none or names of protocols (RFC 9110 section 7.8) other than h2c, http and tls, such as websocket,example/2"
            .to_owned()
    }
}

/// Comma-separated items without blanks; `none` and the empty text are no items.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let text = if text == "none" { "" } else { text };
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// `1,5-7` as inclusive ranges.
fn ranges(text: &str) -> Option<Vec<(u64, u64)>> {
    items(text)
        .map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (digits(first)?, digits(last)?);
            (first <= last).then_some((first, last))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_ranges_blanks_and_none() {
        assert_eq!(Ports::parse("22, 6443,10-12"), Some(Ports(vec![10, 11, 12, 22, 6443])));
        assert_eq!(Ports::parse("none"), Some(Ports(vec![])));
        for bad in ["0", "70000", "9-8", "x", "+1", "1-"] {
            assert_eq!(Ports::parse(bad), None, "{bad:?}");
        }
        assert_eq!(AllowedPorts::parse("all"), Some(AllowedPorts(None)));
        assert_eq!(AllowedPorts::parse("443, 80"), Some(AllowedPorts(Some(vec![80, 443]))));
        for bad in ["none", "", "0", "80-79"] {
            assert_eq!(AllowedPorts::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Cpus::parse("0-2,5"), Some(Cpus::List(vec![0, 1, 2, 5])));
        assert_eq!(Cpus::parse("0-99999999"), None);
        assert_eq!(Cpus::parse(""), None);
    }

    #[test]
    fn namespaces_are_labels_each_once() {
        let names = |text| Namespaces::parse(text).map(|names| names.0.join(" "));
        assert_eq!(names("shop, team-a,shop").as_deref(), Some("shop team-a"));
        assert_eq!(names("all").as_deref(), Some(""));
        for bad in ["", "a,", "Shop", "a.b", "-a", "a b"] {
            assert_eq!(names(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn protocols_are_names_of_which_none_is_http() {
        let names = |text| UpgradeProtocols::parse(text).map(|protocols| protocols.0.join(" "));
        assert_eq!(names("WebSocket, example/2").as_deref(), Some("websocket example/2"));
        assert_eq!(names("none").as_deref(), Some(""));
        for bad in ["h2c", "websocket,H2C", "TLS/1.2", "HTTP/2.0", "a b", "a/", "/1", "a/b/c", "\u{e4}"] {
            assert_eq!(names(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn capabilities_are_spelled_as_their_manual_does() {
        assert_eq!(Capabilities::parse("none"), Some(Capabilities::Listed(CapabilitySet::empty())));
        assert_eq!(Capabilities::parse("all"), Some(Capabilities::All));
        let two = CapabilitySet::SYS_PTRACE | CapabilitySet::NET_ADMIN;
        assert_eq!(Capabilities::parse("CAP_SYS_PTRACE, CAP_NET_ADMIN"), Some(Capabilities::Listed(two)));
        for bad in ["SYS_PTRACE", "cap_net_admin", "CAP_", "CAP_X", "all,CAP_BPF"] {
            assert_eq!(Capabilities::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn networks_are_all_or_listed() {
        assert_eq!(Networks::parse("all"), Some(Networks(None)));
        assert_eq!(Networks::parse("none"), Some(Networks(Some(Vec::new()))));
        assert_eq!(Networks::parse("10.0.0.0/8,::1").unwrap().0.unwrap().len(), 2);
        assert_eq!(Networks::parse("10.0.0.0/8,all"), None);
    }

    #[test]
    fn cidrs_check_the_width_of_the_family() {
        let parsed = Cidrs::parse("10.0.0.0/8, fd00::/8,192.0.2.7").unwrap().0;
        assert_eq!(parsed.iter().map(IpNet::prefix_len).collect::<Vec<_>>(), [8, 8, 32]);
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/+8"] {
            assert_eq!(Cidrs::parse(bad), None, "{bad:?}");
        }
    }
}
