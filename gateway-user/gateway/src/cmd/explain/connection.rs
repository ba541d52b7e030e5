//! The way of a connection that is not looked into.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, bail};
use gateway_snapshot::explain_connection;

use super::result::Outcome;
use super::{backends, compiled, note_errors, settings_of};
use crate::cmd::resources::Resources;
use crate::cmd::{End, print};
use crate::flags::Settings;

/// Says what becomes of one connection that is not looked into.
pub(super) fn run(dir: &Path, address: IpAddr, url: &str, settings: &Settings) -> anyhow::Result<End> {
    let (host, port) = target(url)?;
    let resources = Resources::read(&[dir.to_owned()], settings)?;
    let snapshot = compiled(&resources, settings);
    let local = SocketAddr::new(host.unwrap_or(address), port);
    let explanation = explain_connection(&snapshot, local);
    let outcome = explanation
        .hit
        .as_ref()
        .map(|hit| Outcome::of_connection(&hit.rule, backends(&snapshot, &resources, &hit.listener)));
    let lines = explanation.steps.iter().chain(outcome.iter().flat_map(|outcome| &outcome.lines));
    let mut text: String = lines.map(|line| format!("{line}\n")).collect();
    text.push_str(&settings_of(&explanation, &resources));
    text.push_str(&note_errors(&resources));
    print(&text)?;
    Ok(if outcome.is_some_and(|outcome| outcome.serves) { End::Done } else { End::Found })
}

/// The address, if there is one, and the port of `tcp://HOST:PORT`.
fn target(url: &str) -> anyhow::Result<(Option<IpAddr>, u16)> {
    let Some(rest) = url.strip_prefix("tcp://") else {
        match url.starts_with("http://") || url.starts_with("https://") {
            true => bail!("{url:?}: write the request's method before it, such as GET {url}"),
            false => bail!("{url:?}: write METHOD and URL of a request, or tcp://HOST:PORT"),
        }
    };
    let authority = rest.trim_end_matches('/');
    let (host, port) = authority
        .rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && !port.contains(']'))
        .with_context(|| format!("{url:?}: write a port, such as tcp://10.0.0.1:5432"))?;
    let port = port.parse().with_context(|| format!("{url:?}: {port:?} is no port"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']').parse().ok(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_named_by_address_and_port() {
        let of = |url: &str| target(url).map_err(|error| error.to_string());
        assert_eq!(of("tcp://10.0.0.1:5432"), Ok((Some([10, 0, 0, 1].into()), 5432)));
        assert_eq!(of("tcp://[::1]:53/"), Ok((Some(std::net::Ipv6Addr::LOCALHOST.into()), 53)));
        assert_eq!(of("tcp://db.example:5432"), Ok((None, 5432)));
        for (url, said) in [
            ("tcp://db.example", "write a port"),
            ("tcp://[::1]", "write a port"),
            ("tcp://:80", "write a port"),
            ("tcp://db:x", "is no port"),
            ("http://a/", "method before it"),
            ("db:80", "METHOD and URL"),
        ] {
            assert!(of(url).unwrap_err().contains(said), "{url}");
        }
    }
}
