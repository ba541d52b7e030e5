//! The URL of a request.

use anyhow::{Context as _, bail};
use gateway_snapshot::rewrite::Scheme;

/// The parts of an `http://` or `https://` URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) query: Option<String>,
}

impl Target {
    /// Host and port as a client sends them.
    pub(super) fn authority(&self) -> String {
        match self.port == self.scheme.well_known_port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
        let parts = schemes.iter().find_map(|(prefix, scheme)| Some((url.strip_prefix(prefix)?, *scheme)));
        let Some((rest, scheme)) = parts else {
            bail!("{url:?}: write an absolute URL such as http://www.example.com/cart");
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let after = after.split_once('#').map_or(after, |(before, _)| before);
        let (path, query) = match after.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (after, None),
        };
        // A bracket after the last colon means that the colon is inside an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().with_context(|| format!("{url:?}: {port:?} is no port"))?)
            }
            _ => (authority, scheme.well_known_port()),
        };
        if host.is_empty() || host.contains('@') {
            bail!("{url:?}: write a host and no user, such as http://www.example.com/cart");
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        Ok(Self { scheme, host, port, path, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, Option<String>) {
        let Target { host, port, path, query, .. } = Target::parse(url).unwrap();
        (host, port, path, query)
    }

    #[test]
    fn urls_come_apart() {
        let want = |host: &str, port, path: &str, query: Option<&str>| {
            (host.to_owned(), port, path.to_owned(), query.map(str::to_owned))
        };
        assert_eq!(parts("http://A.example.com./x?y=1#z"), want("a.example.com", 80, "/x", Some("y=1")));
        assert_eq!(parts("http://a:8080"), want("a", 8080, "/", None));
        assert_eq!(parts("http://[::1]:81?q"), want("[::1]", 81, "/", Some("q")));
        assert_eq!(parts("https://a/b"), want("a", 443, "/b", None));
        assert_eq!(Target::parse("https://a").unwrap().scheme, Scheme::Https);
        assert_eq!(parts("http://[::1]/"), want("[::1]", 80, "/", None));
        for bad in ["a/b", "ftp://a/", "http:///x", "http://a:x/", "http://u@a/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
