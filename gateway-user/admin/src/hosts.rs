//! The Host check of a TCP endpoint that trusts whoever reaches it: a web page whose name resolves to that
//! address (DNS rebinding) has the browser send the page's own name.

use std::net::IpAddr;

use axum::http::{HeaderMap, Version, header};

/// Names and addresses by which a request may call the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Any: the endpoint serves nothing that a browser could not be told anyway, or no browser reaches it.
    Any,
    /// `localhost`, a loopback address, or the address that the client connected to.
    Own,
}

impl Hosts {
    /// The request's Host is allowed; `local` is the server's end of the connection. HTTP/1.0 may leave it
    /// out (RFC 9112 section 3.2), which no browser does.
    pub(crate) fn allows(self, version: Version, headers: &HeaderMap, local: Option<IpAddr>) -> bool {
        if self == Self::Any {
            return true;
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (None, _) => version < Version::HTTP_11,
            (Some(host), None) => host.to_str().is_ok_and(|host| is_own(host, local)),
            (Some(_), Some(_)) => false,
        }
    }
}

fn is_own(host: &str, local: Option<IpAddr>) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(literal, _)| literal),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let address = name.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    name.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| {
            address.is_loopback() || Some(address) == local.map(|local| local.to_canonical())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_machine_itself_are_its_own() {
        let local = Some("10.0.0.7".parse().unwrap());
        for own in
            ["localhost", "LocalHost:15000", "127.0.0.1:1", "127.8.8.8", "[::1]:15000", "[::1]", "10.0.0.7:1"]
        {
            assert!(is_own(own, local), "{own}");
        }
        for strange in [
            "",
            "evil.example",
            "localhost.evil.example:15000",
            "10.0.0.8",
            "127.0.0.1.nip.io",
            "[",
            "[::2]",
            "::1:x:",
        ] {
            assert!(!is_own(strange, local), "{strange}");
        }
    }

    #[test]
    fn one_host_is_needed_but_in_http_1_0() {
        let headers = |hosts: &[&str]| -> HeaderMap {
            hosts.iter().map(|host| (header::HOST, host.parse().unwrap())).collect()
        };
        let allows = |version, hosts: &[&str]| Hosts::Own.allows(version, &headers(hosts), None);
        assert!(allows(Version::HTTP_11, &["localhost"]));
        assert!(!allows(Version::HTTP_11, &["localhost", "localhost"]));
        assert!(!allows(Version::HTTP_11, &[]));
        assert!(allows(Version::HTTP_10, &[]) && !allows(Version::HTTP_10, &["evil.example"]));
        assert!(Hosts::Any.allows(Version::HTTP_11, &headers(&["evil.example"]), None));
    }
}
