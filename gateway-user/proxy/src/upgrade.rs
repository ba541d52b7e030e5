//! Upgrades (RFC 9110 section 7.8): which ones a request is let through with, and which response makes one of them.

use gateway_http::h1::{Request, Response, list};
use gateway_http::websocket::{self, Accept, HandshakeError};

use crate::{ProxyConfig, Reason};

/// The protocol that a request is to change to, among those that are tunnelled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgrade {
    /// Its place among `upgrade_protocols`.
    protocol: usize,
    /// The accept value that a response must have, of a WebSocket handshake.
    accept: Option<Accept>,
    /// It was asked for by extended CONNECT, to which any 2xx says that the tunnel is there (RFC 8441 section 4).
    by_connect: bool,
}

impl Upgrade {
    /// The first protocol of the request's `Upgrade` that is tunnelled. `None` without one, and for a request with a body:
    /// bytes of the new protocol would follow in the same direction. Such a request goes on without `Upgrade`.
    ///
    /// # Errors
    /// A WebSocket handshake that breaks its rules.
    pub(crate) fn wanted(
        config: &ProxyConfig,
        request: &Request<'_>,
    ) -> Result<Option<Self>, HandshakeError> {
        let Some(offered) = request.upgrade() else { return Ok(None) };
        let among = |name: &[u8]| config.upgrade_protocols.iter().position(|own| is(name, own));
        let Some(protocol) = list(offered).find_map(among) else { return Ok(None) };
        let is_websocket =
            config.upgrade_protocols.get(protocol).is_some_and(|name| is(websocket::TOKEN.as_bytes(), name));
        if is_websocket {
            let accept = websocket::check_request(request)?;
            return Ok(Some(Self { protocol, accept: Some(accept), by_connect: false }));
        }
        Ok(request.framing().is_empty().then_some(Self { protocol, accept: None, by_connect: false }))
    }

    /// The protocol's name, as backend and client are told it.
    pub(crate) fn name<'c>(&self, config: &'c ProxyConfig) -> &'c str {
        config.upgrade_protocols.get(self.protocol).map_or("", |name| name)
    }

    /// The accept value that the client expects, of a WebSocket handshake.
    pub(crate) fn accept(&self) -> Option<&Accept> {
        self.accept.as_ref()
    }

    /// True if that protocol is tunnelled.
    pub(crate) fn is_tunnelled(config: &ProxyConfig, name: &str) -> bool {
        config.upgrade_protocols.iter().any(|own| is(name.as_bytes(), own))
    }

    /// The same upgrade, asked for by extended CONNECT.
    pub(crate) fn by_connect(self) -> Self {
        Self { by_connect: true, ..self }
    }

    /// True if the response of a backend makes the switch.
    ///
    /// # Errors
    /// It switches to another protocol, or its accept value is not that of the key; or it would pass for a switch.
    pub(crate) fn check(&self, config: &ProxyConfig, response: &Response<'_>) -> Result<bool, Reason> {
        match response.status() {
            101 => {}
            200..300 if self.by_connect => return Err(Reason::UpstreamNoUpgrade),
            _ => return Ok(false),
        }
        let same = response.upgrade().is_some_and(|name| is(name, self.name(config)));
        let fits = self.accept.is_none_or(|accept| websocket::check_response(response.fields(), &accept));
        if same && fits { Ok(true) } else { Err(Reason::UpstreamBadUpgrade) }
    }
}

fn is(name: &[u8], own: &str) -> bool {
    name.eq_ignore_ascii_case(own.as_bytes())
}

#[cfg(test)]
mod tests {
    use gateway_http::h1::{HeadLimits, Method, RequestHead, ResponseHead};

    use super::*;

    fn config() -> ProxyConfig {
        ProxyConfig {
            upgrade_protocols: vec!["websocket".into(), "example/2".into()],
            ..ProxyConfig::default()
        }
    }

    fn wanted(fields: &str) -> Result<Option<Upgrade>, HandshakeError> {
        let wire = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        head.parse(wire.as_bytes(), &HeadLimits::default()).unwrap();
        Upgrade::wanted(&config(), &head.view(wire.as_bytes()))
    }

    fn check(upgrade: Upgrade, fields: &str) -> Result<bool, Reason> {
        of_status(upgrade, 101, fields)
    }

    fn of_status(upgrade: Upgrade, status: u16, fields: &str) -> Result<bool, Reason> {
        let wire = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let mut head = ResponseHead::new();
        head.parse(wire.as_bytes(), &HeadLimits::default(), Method::Get).unwrap();
        upgrade.check(&config(), &head.view(wire.as_bytes()))
    }

    const HANDSHAKE: &str =
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUpgrade: WebSocket\r\n";

    #[test]
    fn only_listed_protocols_are_wanted() {
        let name = |fields: &str| wanted(fields).unwrap().map(|upgrade| upgrade.name(&config()).to_owned());
        assert_eq!(name(HANDSHAKE).as_deref(), Some("websocket"));
        assert_eq!(name("Upgrade: h2c, Example/2\r\n").as_deref(), Some("example/2"));
        assert_eq!(name("Upgrade: h2c, example/1\r\n"), None);
        assert_eq!(name("Upgrade: example/2\r\nContent-Length: 3\r\n"), None);
        assert_eq!(name("Upgrade:\r\n"), None);
        assert_eq!(wanted("Upgrade: websocket\r\n").unwrap_err(), HandshakeError::Version);
    }

    #[test]
    fn a_switch_is_to_the_protocol_that_was_asked_for() {
        let websocket = wanted(HANDSHAKE).unwrap().unwrap();
        let switch = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert_eq!(check(websocket, &[switch, accept].concat()), Ok(true));
        for fields in [switch.to_owned(), accept.to_owned(), format!("Upgrade: websocket\r\n{accept}")] {
            assert_eq!(check(websocket, &fields), Err(Reason::UpstreamBadUpgrade), "{fields}");
        }
        let other = wanted("Upgrade: example/2\r\n").unwrap().unwrap();
        assert_eq!(check(other, "Connection: upgrade\r\nUpgrade: Example/2\r\n"), Ok(true));
        assert_eq!(check(other, switch), Err(Reason::UpstreamBadUpgrade));
    }

    #[test]
    fn another_response_is_one_unless_it_would_pass_for_a_switch() {
        let websocket = wanted(HANDSHAKE).unwrap().unwrap();
        for status in [200, 204, 302, 403, 426] {
            assert_eq!(of_status(websocket, status, ""), Ok(false));
            let refused = (200..300).contains(&status);
            let want = if refused { Err(Reason::UpstreamNoUpgrade) } else { Ok(false) };
            assert_eq!(of_status(websocket.by_connect(), status, ""), want);
        }
    }
}
