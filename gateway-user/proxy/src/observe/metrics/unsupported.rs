//! Other protocols that clients ask for and that are not there: how often, and said once.

use std::sync::atomic::{AtomicBool, Ordering};

use gateway_http::h1::list;

/// A protocol that is not supported, out of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsupportedProtocol {
    /// `Upgrade: websocket` (RFC 6455).
    WebSocket,
    /// `Upgrade: h2c` (RFC 7540 section 3.2), which Java and `curl --http2` offer on plain requests.
    H2c,
    /// `Upgrade: TLS/1.0` and the like (RFC 2817).
    Tls,
    /// `Upgrade` to anything else.
    Other,
    /// HTTP/2 with prior knowledge where it is not served.
    Http2,
    /// By ALPN, only protocols that are not served.
    Alpn,
}

/// One number for each [`UnsupportedProtocol`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnsupportedProtocols([u64; UnsupportedProtocol::ALL.len()]);

/// The protocols that the log has named: once for all workers.
static SAID: [AtomicBool; UnsupportedProtocol::ALL.len()] =
    [const { AtomicBool::new(false) }; UnsupportedProtocol::ALL.len()];

impl UnsupportedProtocol {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::WebSocket, Self::H2c, Self::Tls, Self::Other, Self::Http2, Self::Alpn];

    /// The stable name, in metrics and in the access log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::H2c => "h2c",
            Self::Tls => "tls",
            Self::Other => "other",
            Self::Http2 => "http2_prior_knowledge",
            Self::Alpn => "alpn",
        }
    }

    /// The protocol of an `Upgrade` field that a client wants most among those with a name here. `None` if it names none.
    pub(crate) fn of_upgrade(value: &[u8]) -> Option<Self> {
        let named = list(value).map(|protocol| {
            let name = protocol.split(|b| *b == b'/').next().unwrap_or_default();
            match () {
                () if name.eq_ignore_ascii_case(b"websocket") => Self::WebSocket,
                () if name.eq_ignore_ascii_case(b"h2c") => Self::H2c,
                () if name.eq_ignore_ascii_case(b"tls") => Self::Tls,
                () => Self::Other,
            }
        });
        named.min_by_key(|protocol| *protocol == Self::Other)
    }

    fn consequence(self) -> &'static str {
        match self {
            Self::WebSocket => {
                "WebSocket is not among --upgrade-protocols: requests for it are forwarded without Upgrade, and backends respond 400 or 426"
            }
            Self::H2c => {
                "Upgrade to HTTP/2 is not supported: requests that offer it are served over HTTP/1.1"
            }
            Self::Tls | Self::Other => {
                "Upgrade to protocols that --upgrade-protocols does not list is ignored: requests that offer it are served over HTTP/1.1"
            }
            Self::Http2 => {
                "HTTP/2 is not served here: clients that begin with it, as those of gRPC do, get 505"
            }
            Self::Alpn => "clients that offer no HTTP by ALPN are refused in the handshake",
        }
    }
}

impl UnsupportedProtocols {
    /// Counts a client that asked for it; the first of all is told in the log.
    pub(crate) fn count(&mut self, protocol: UnsupportedProtocol) {
        if let Some(count) = self.0.get_mut(protocol as usize) {
            *count += 1;
        }
        let said = SAID.get(protocol as usize);
        if said.is_some_and(|said| !said.swap(true, Ordering::Relaxed)) {
            tracing::warn!(
                protocol = protocol.name(),
                "{}; sluice_unsupported_protocols_total counts them, and this is said once",
                protocol.consequence()
            );
        }
    }

    /// Adds another worker's numbers.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Every protocol's name and number.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        UnsupportedProtocol::ALL.iter().zip(self.0).map(|(protocol, count)| (protocol.name(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_a_number_of_its_own() {
        let mut counts = UnsupportedProtocols::default();
        for (times, protocol) in UnsupportedProtocol::ALL.iter().enumerate() {
            (0..times).for_each(|_| counts.count(*protocol));
        }
        let mut twice = counts;
        twice.merge(&counts);
        for (at, (name, count)) in twice.each().enumerate() {
            assert_eq!((name, count), (UnsupportedProtocol::ALL[at].name(), 2 * at as u64));
        }
    }

    #[test]
    fn protocols_are_named_out_of_a_fixed_set() {
        use UnsupportedProtocol::{H2c, Other, Tls, WebSocket};
        for (value, want) in [
            ("websocket", Some(WebSocket)),
            ("WebSocket", Some(WebSocket)),
            ("h2c", Some(H2c)),
            ("TLS/1.2, HTTP/1.1", Some(Tls)),
            ("tailscale-control-protocol", Some(Other)),
            ("made-up/7, websocket", Some(WebSocket)),
            (", ,", None),
        ] {
            assert_eq!(UnsupportedProtocol::of_upgrade(value.as_bytes()), want, "{value}");
        }
    }
}
