//! The client's address out of `X-Forwarded-For`, believed only from trusted proxies.

use std::net::{IpAddr, SocketAddr};

use crate::ProxyConfig;

/// Lines of the field that are looked at, from the last one.
const MAX_LINES: usize = 8;

/// The client that a request is from: the right-most address of `X-Forwarded-For` that is no trusted proxy, if the
/// peer is one; else the peer itself. The walk ends at an element that is no address, because nothing left of it
/// can be vouched for; empty elements say nothing (RFC 9110 section 5.6.1.2). `lines` are the field's lines in order.
pub(crate) fn client_address<'a>(
    config: &ProxyConfig,
    peer: IpAddr,
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> IpAddr {
    if !config.trusts(peer) {
        return peer;
    }
    let mut client = peer;
    let elements = lines.rev().flat_map(|line| line.rsplit(|b| *b == b',')).map(<[u8]>::trim_ascii);
    for element in elements.filter(|element| !element.is_empty()) {
        let Some(address) = parse_address(element) else { break };
        client = address;
        if !config.trusts(address) {
            break;
        }
    }
    client
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; some proxies add the port.
fn parse_address(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

/// The last lines of `X-Forwarded-For`, which have to be walked backwards.
pub(crate) struct Lines<'a> {
    lines: [&'a [u8]; MAX_LINES],
    count: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn collect(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut kept = Self { lines: [b""; MAX_LINES], count: 0 };
        for line in lines {
            if kept.count == MAX_LINES {
                kept.lines.rotate_left(1);
                kept.count -= 1;
            }
            if let Some(slot) = kept.lines.get_mut(kept.count) {
                *slot = line;
            }
            kept.count += 1;
        }
        kept
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + '_ {
        self.lines.iter().take(self.count).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ProxyConfig {
        ProxyConfig {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            ..ProxyConfig::default()
        }
    }

    fn client(peer: &str, lines: &[&str]) -> String {
        let lines = lines.iter().map(|line| line.as_bytes());
        client_address(&config(), peer.parse().unwrap(), lines).to_string()
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        assert_eq!(client("192.0.2.9", &["203.0.113.7"]), "192.0.2.9");
        assert_eq!(client("10.1.1.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn the_right_most_stranger_is_the_client() {
        assert_eq!(client("10.1.1.1", &["6.6.6.6, 203.0.113.7 , 10.2.2.2"]), "203.0.113.7");
        assert_eq!(client("10.1.1.1", &["6.6.6.6", "203.0.113.7,10.3.3.3", "10.2.2.2"]), "203.0.113.7");
        assert_eq!(client("10.1.1.1", &["10.9.9.9, 10.2.2.2"]), "10.9.9.9", "all trusted: the left-most");
        assert_eq!(client("fd00::1", &["[2001:db8::5]:4711"]), "2001:db8::5");
        assert_eq!(client("10.1.1.1", &["192.0.2.4:80"]), "192.0.2.4");
    }

    #[test]
    fn nothing_left_of_nonsense_counts() {
        assert_eq!(client("10.1.1.1", &["203.0.113.7, unknown, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(client("10.1.1.1", &["garbage"]), "10.1.1.1");
        assert_eq!(client("10.1.1.1", &["203.0.113.7,unknown,,10.2.2.2"]), "10.2.2.2");
    }

    #[test]
    fn empty_elements_say_nothing() {
        for lines in [
            &["203.0.113.7,,10.2.2.2"][..],
            &["203.0.113.7,,"],
            &["203.0.113.7", "", ","],
            &[" , 203.0.113.7\t, ,\t10.2.2.2 ,"],
        ] {
            assert_eq!(client("10.1.1.1", lines), "203.0.113.7", "{lines:?}");
        }
        assert_eq!(client("10.1.1.1", &[",, ,"]), "10.1.1.1");
    }
}
