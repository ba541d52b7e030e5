//! Origins of web pages (RFC 6454), as the `Origin` field carries them, and patterns of them (`CORSOrigin` of the Gateway
//! API).

use crate::Scheme;
use crate::authority::Authority;
use crate::token::eq_ignore_case;

/// The origin of a page that came by HTTP. Others (`null`, `moz-extension://…`) have no parts to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Scheme of the page's URL.
    pub scheme: Scheme,
    /// Host as written.
    pub host: &'a [u8],
    /// Port, that of the scheme if none is written.
    pub port: u16,
}

/// A set of origins of one scheme and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern<H> {
    /// The scheme that an origin must have.
    pub scheme: Scheme,
    /// The hosts.
    pub host: HostPattern<H>,
    /// The port that an origin must have.
    pub port: u16,
}

/// The hosts of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern<H> {
    /// `*`: every host.
    Any,
    /// `*.example.com`: every host below it, however many labels are in front. Begins with the dot.
    Under(H),
    /// This one.
    Exact(H),
}

impl<'a> Origin<'a> {
    /// Reads `scheme://host[:port]`; `None` if it is anything else.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (scheme, authority) = scheme(bytes)?;
        let Authority { host, port } = Authority::parse(authority)?;
        Some(Self { scheme, host, port: port.unwrap_or_else(|| scheme.well_known_port()) })
    }
}

impl<'a> OriginPattern<&'a [u8]> {
    /// Reads `http://` or `https://`, a host that may be `*` or have `*.` in front, and a port from 1 to 65535 that may be
    /// left out; `None` if it is anything else. `*` alone is no pattern but all origins, those without parts included.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = scheme(text.as_bytes())?;
        let Authority { host, port } = Authority::parse(authority)?;
        let has_port = authority.contains(&b':');
        if port == Some(0) || (has_port && port.is_none()) {
            return None;
        }
        let host = match host {
            b"*" => HostPattern::Any,
            [b'*', below @ ..] => {
                HostPattern::Under(below.strip_prefix(b".").filter(is_name).map(|_| below)?)
            }
            exact => HostPattern::Exact(Some(exact).filter(is_name)?),
        };
        Some(Self { scheme, host, port: port.unwrap_or_else(|| scheme.well_known_port()) })
    }

    /// The same pattern with storage of its own.
    pub fn into_owned(self) -> OriginPattern<Box<[u8]>> {
        let host = match self.host {
            HostPattern::Any => HostPattern::Any,
            HostPattern::Under(below) => HostPattern::Under(below.into()),
            HostPattern::Exact(host) => HostPattern::Exact(host.into()),
        };
        OriginPattern { scheme: self.scheme, host, port: self.port }
    }
}

impl<H: AsRef<[u8]>> OriginPattern<H> {
    /// True if the origin is one of the set. Hosts compare without case.
    pub fn matches(&self, origin: &Origin<'_>) -> bool {
        self.scheme == origin.scheme
            && self.port == origin.port
            && match &self.host {
                HostPattern::Any => true,
                HostPattern::Exact(host) => eq_ignore_case(host.as_ref(), origin.host),
                HostPattern::Under(below) => {
                    let below = below.as_ref();
                    let front = origin.host.len().checked_sub(below.len()).filter(|front| *front > 0);
                    front
                        .and_then(|front| origin.host.get(front..))
                        .is_some_and(|end| eq_ignore_case(end, below))
                }
            }
    }
}

/// The scheme and what follows `://`.
fn scheme(bytes: &[u8]) -> Option<(Scheme, &[u8])> {
    [Scheme::Http, Scheme::Https].into_iter().find_map(|scheme| {
        let rest = bytes.strip_prefix(scheme.as_str().as_bytes())?;
        Some((scheme, rest.strip_prefix(b"://")?))
    })
}

/// True for labels of letters, digits and `-`, none of them empty.
fn is_name(host: &&[u8]) -> bool {
    let is_label =
        |label: &[u8]| !label.is_empty() && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    host.split(|b| *b == b'.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_origins_by_scheme_host_and_port() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "https://www.foo.com",
                &["https://www.foo.com", "https://WWW.foo.com", "https://www.foo.com:443"],
                &[
                    "http://www.foo.com",
                    "https://www.foo.com:8443",
                    "https://foo.com",
                    "https://a.www.foo.com",
                    "null",
                    "",
                ],
            ),
            (
                "https://*.bar.com",
                &["https://www.bar.com", "https://xpto.www.bar.com", "https://a.BAR.com:443"],
                &[
                    "https://bar.com",
                    "https://.bar.com.",
                    "https://evilbar.com",
                    "https://a.bar.com.evil.com",
                    "https://.bar.com:1",
                ],
            ),
            (
                "http://*",
                &["http://a", "http://a.b:80", "http://[::1]"],
                &["https://a", "http://a:8080", "ftp://a"],
            ),
            ("http://*:8080", &["http://a:8080"], &["http://a", "http://a:80"]),
            ("http://a.b:443", &["http://a.b:443"], &["http://a.b", "https://a.b"]),
        ];
        for (pattern, taken, others) in table {
            let pattern = OriginPattern::parse(pattern).unwrap();
            let owned = pattern.clone().into_owned();
            let is_taken = |origin: &str| {
                let origin = Origin::parse(origin.as_bytes());
                let taken = origin.is_some_and(|origin| pattern.matches(&origin));
                assert_eq!(taken, origin.is_some_and(|origin| owned.matches(&origin)));
                taken
            };
            assert!(taken.iter().all(|origin| is_taken(origin)), "{pattern:?}");
            assert!(!others.iter().any(|origin| is_taken(origin)), "{pattern:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "*",
            "https://",
            "https://*.",
            "https://*a.com",
            "https://a.*.com",
            "https://a..com",
            "https://a.com/",
            "https://a.com:",
            "https://a.com:0",
            "https://a.com:65536",
            "https://a.com:x",
            "ftp://a.com",
            "HTTPS://a.com",
            "https://u@a.com",
            "https://[::1]",
            "https://a_b.com",
            "a.com",
            "null",
            "https://**",
            "https://a.com.",
        ] {
            assert_eq!(OriginPattern::parse(text), None, "{text}");
        }
    }
}
