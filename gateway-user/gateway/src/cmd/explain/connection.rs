//! The way of a connection or datagram that is not looked into.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, bail};
use gateway_snapshot::{explain_connection, explain_datagram, explain_tls};

use super::result::Outcome;
use super::{backends, compiled, report};
use crate::cli::Document;
use crate::cmd::End;
use crate::cmd::resources::{Input, Resources};
use crate::flags::Settings;

/// A connection or datagram to explain.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    scheme: Scheme,
    /// An address without brackets, or a name.
    host: &'a str,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Its host is the local address that the connection arrives at, if it is an address.
    Tcp,
    /// Its host is the name that the client asks for.
    Tls,
    /// A datagram; its host is as for TCP.
    Udp,
}

/// Says what becomes of one connection or datagram that is not looked into.
pub(super) fn run(
    (input, address): (&Input<'_>, Option<IpAddr>),
    url: &str,
    settings: &Settings,
    output: Option<Document>,
) -> anyhow::Result<End> {
    let Target { scheme, host, port } = Target::parse(url)?;
    let resources = Resources::read(input, settings)?;
    let snapshot = compiled(&resources, settings);
    let named = match scheme {
        Scheme::Tls => None,
        Scheme::Tcp | Scheme::Udp => host.parse().ok(),
    };
    let address = named.or(address).map_or_else(|| resources.address(port), Ok)?;
    let local = SocketAddr::new(address, port);
    let explanation = match scheme {
        Scheme::Tcp => explain_connection(&snapshot, local),
        Scheme::Udp => explain_datagram(&snapshot, local),
        Scheme::Tls => explain_tls(&snapshot, local, &host.to_ascii_lowercase()),
    };
    let outcome = explanation
        .hit
        .as_ref()
        .map(|hit| Outcome::of_connection(&hit.rule, backends(&snapshot, &resources, &hit.listener)));
    report(&explanation, outcome, &resources).print(output)
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> anyhow::Result<Self> {
        let schemes = [("tcp://", Scheme::Tcp), ("tls://", Scheme::Tls), ("udp://", Scheme::Udp)];
        let parts = schemes.iter().find_map(|(prefix, scheme)| Some((url.strip_prefix(prefix)?, *scheme)));
        let Some((rest, scheme)) = parts else {
            match url.starts_with("http://") || url.starts_with("https://") {
                true => bail!("{url:?}: write the request's method before it, such as GET {url}"),
                false => bail!(
                    "{url:?}: write METHOD and URL of a request, tcp://HOST:PORT or tls://HOST:PORT of a connection, or \
                     udp://HOST:PORT of a datagram"
                ),
            }
        };
        let authority = rest.trim_end_matches('/');
        let (host, port) = authority
            .rsplit_once(':')
            .filter(|(host, port)| !host.is_empty() && !port.contains(']'))
            .with_context(|| format!("{url:?}: write a port, such as tcp://10.0.0.1:5432"))?;
        let port = port.parse().with_context(|| format!("{url:?}: {port:?} is no port"))?;
        Ok(Self { scheme, host: host.trim_start_matches('[').trim_end_matches(']'), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_named_by_host_and_port() {
        let of = |url| Target::parse(url).map_err(|error| error.to_string());
        let target = |scheme, host, port| Ok(Target { scheme, host, port });
        assert_eq!(of("tcp://10.0.0.1:5432"), target(Scheme::Tcp, "10.0.0.1", 5432));
        assert_eq!(of("tcp://[::1]:53/"), target(Scheme::Tcp, "::1", 53));
        assert_eq!(of("udp://[::1]:53"), target(Scheme::Udp, "::1", 53));
        assert_eq!(of("tls://db.example:5432"), target(Scheme::Tls, "db.example", 5432));
        for (url, said) in [
            ("tcp://db.example", "write a port"),
            ("tls://[::1]", "write a port"),
            ("tcp://:80", "write a port"),
            ("tcp://db:x", "is no port"),
            ("http://a/", "method before it"),
            ("db:80", "METHOD and URL"),
        ] {
            assert!(of(url).unwrap_err().contains(said), "{url}");
        }
    }
}
