//! Hostnames as listeners and routes write them: exact, or a wildcard for everything below a suffix.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Gateway API `Hostname`: RFC 1123 name in lower case, or `*.suffix`.
///
/// `*.example.com` matches `a.example.com` and `a.b.example.com`, never `example.com` itself
/// (gateway-api `HTTPRouteSpec.hostnames`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Hostname {
    /// A full name.
    Exact(String),
    /// The suffix after `*.`, without the dot.
    Wildcard(String),
}

/// A string that is no [`Hostname`], and the reason, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostnameError(pub String);

impl fmt::Display for HostnameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a hostname: write an RFC 1123 name such as example.com or *.example.com",
            self.0
        )
    }
}

impl std::error::Error for HostnameError {}

impl Hostname {
    /// Reads `example.com` or `*.example.com`; upper case is folded, since names compare without case (RFC
    /// 4343).
    ///
    /// # Errors
    /// [`HostnameError`] for an empty label, a character outside `[a-z0-9-]`, a label that starts or ends
    /// with `-`, a name over 253 characters, an IP address, or a `*` anywhere but as the whole first label.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let fail = || HostnameError(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let (wildcard, rest) = match lower.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, lower.as_str()),
        };
        if rest.is_empty() || lower.len() > 253 || rest.parse::<std::net::IpAddr>().is_ok() {
            return Err(fail());
        }
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !rest.split('.').all(label_ok) {
            return Err(fail());
        }
        Ok(if wildcard { Self::Wildcard(rest.to_owned()) } else { Self::Exact(rest.to_owned()) })
    }

    /// True if this pattern covers `host`, which must be in lower case and without a port.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(suffix) => is_below(host, suffix),
        }
    }

    /// The narrower of two patterns if one covers the other: what a route hostname means on a listener with a
    /// hostname of its own. `None` if no host matches both.
    pub fn intersect<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        match (self, other) {
            (Self::Exact(a), _) if other.matches(a) => Some(self),
            (_, Self::Exact(b)) if self.matches(b) => Some(other),
            (Self::Wildcard(a), Self::Wildcard(b)) if a == b || is_below(a, b) => Some(self),
            (Self::Wildcard(a), Self::Wildcard(b)) if is_below(b, a) => Some(other),
            _ => None,
        }
    }
}

fn is_below(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;
    fn try_from(text: String) -> Result<Self, HostnameError> {
        Self::parse(&text)
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[test]
    fn wildcards_cover_every_depth_but_not_their_own_suffix() {
        let any = host("*.example.com");
        assert!(any.matches("a.example.com") && any.matches("a.b.example.com"));
        assert!(!any.matches("example.com") && !any.matches(".example.com") && !any.matches("xexample.com"));
    }

    #[test]
    fn intersection_is_the_narrower_pattern_in_either_order() {
        let cases = [
            ("*.example.com", "a.example.com", Some("a.example.com")),
            ("*.example.com", "*.b.example.com", Some("*.b.example.com")),
            ("*.example.com", "*.example.com", Some("*.example.com")),
            ("a.example.com", "a.example.com", Some("a.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "*.example.net", None),
            ("a.example.com", "b.example.com", None),
        ];
        for (a, b, want) in cases {
            let want = want.map(host);
            assert_eq!(host(a).intersect(&host(b)).cloned(), want, "{a} with {b}");
            assert_eq!(host(b).intersect(&host(a)).cloned(), want, "{b} with {a}");
        }
    }

    #[test]
    fn refuses_what_the_schema_refuses() {
        for bad in
            ["", "*", "*.", "a..b", "-a.com", "a-.com", "a_b.com", "10.0.0.1", "::1", "a.*.com", "*a.com"]
        {
            assert!(Hostname::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(host("EXAMPLE.com").to_string(), "example.com");
    }

    #[test]
    fn every_exact_hostname_can_stand_in_a_host_field() {
        for name in ["a", "a.b.example", "xn--bcher-kva.example", "0.a", &"a.".repeat(126), "1.2.3.4.5"] {
            let name = name.trim_end_matches('.');
            assert_eq!(host(name), Hostname::Exact(name.to_owned()));
            assert!(gateway_grammar::Authority::parse(name.as_bytes()).is_some(), "{name}");
        }
    }
}
