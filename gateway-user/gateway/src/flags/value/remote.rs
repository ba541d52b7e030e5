//! Other processes of Sluice: their addresses, and the accounts that they run as.

use std::path::PathBuf;

use super::{Value, digits, dns_name};

/// The address of a controller, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    /// None is followed.
    None,
    /// A Unix socket.
    Socket(PathBuf),
    /// A name or an address of a network, and a port.
    Remote(String, u16),
}

impl Value for Controller {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "none" => Some(Self::None),
            path if path.contains('/') => Some(Self::Socket(path.into())),
            other => match other.rsplit_once(':') {
                None => Some(Self::Socket(other.into())),
                Some((host, port)) => {
                    let port = u16::try_from(digits(port)?).ok().filter(|port| *port > 0)?;
                    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                    let is_v6 = |host: &str| host.parse::<std::net::Ipv6Addr>().is_ok();
                    let is_v4 = |host: &str| host.parse::<std::net::Ipv4Addr>().is_ok();
                    let host = match v6 {
                        Some(host) => Some(host).filter(|host| is_v6(host))?,
                        None => {
                            Some(host).filter(|host| is_v4(host) || dns_name(&host.to_ascii_lowercase()))?
                        }
                    };
                    Some(Self::Remote(host.to_owned(), port))
                }
            },
        }
    }

    fn allowed() -> String {
        "none, the path of a socket, such as /run/sluice/nodes.sock, or a name or an address with a port, such as \
         sluice-controller.sluice-system:15010"
            .to_owned()
    }
}

/// ServiceAccounts, each as namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accounts(pub(crate) Vec<(String, String)>);

impl Value for Accounts {
    fn parse(text: &str) -> Option<Self> {
        let account = |text: &str| {
            let (namespace, name) = text.trim().split_once('/')?;
            let both = dns_name(namespace) && !namespace.contains('.') && dns_name(name);
            both.then(|| (namespace.to_owned(), name.to_owned()))
        };
        text.split(',').map(account).collect::<Option<_>>().map(Self)
    }

    fn allowed() -> String {
        "namespaces and names of ServiceAccounts, such as sluice-system/sluice-node".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_a_path_a_slash() {
        let remote = |host: &str, port| Some(Controller::Remote(host.to_owned(), port));
        assert_eq!(Controller::parse("none"), Some(Controller::None));
        assert_eq!(Controller::parse("/run/nodes.sock"), Some(Controller::Socket("/run/nodes.sock".into())));
        assert_eq!(Controller::parse("./a:1"), Some(Controller::Socket("./a:1".into())));
        assert_eq!(Controller::parse("nodes.sock"), Some(Controller::Socket("nodes.sock".into())));
        assert_eq!(Controller::parse("sluice.sys.svc:15010"), remote("sluice.sys.svc", 15010));
        assert_eq!(Controller::parse("192.0.2.7:1"), remote("192.0.2.7", 1));
        assert_eq!(Controller::parse("[2001:db8::7]:1"), remote("2001:db8::7", 1));
        for wrong in ["", "a:", "a:0", "a:70000", "a b:1", "[a]:1", "2001:db8::7:1", ":1"] {
            assert_eq!(Controller::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn accounts_have_a_namespace() {
        let one = ("sys".to_owned(), "node".to_owned());
        assert_eq!(Accounts::parse("sys/node"), Some(Accounts(vec![one.clone()])));
        assert_eq!(Accounts::parse("sys/node, sys/node"), Some(Accounts(vec![one.clone(), one])));
        for wrong in ["", "node", "sys/", "/node", "a.b/node", "sys/node,"] {
            assert_eq!(Accounts::parse(wrong), None, "{wrong}");
        }
    }
}
