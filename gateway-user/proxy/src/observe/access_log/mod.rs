//! The access log: one JSON object a line, formatted into the worker's batch, which goes to the file thread whole.

mod batch;
mod json;

use std::net::{IpAddr, SocketAddr};

pub(crate) use batch::Batch;

use crate::Reason;
use crate::tls::layer::TlsInfo;

/// All that is written about one request. Field names on the page follow the names here; times are in
/// microseconds here and milliseconds there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Milliseconds since 1970 when the head's first byte was seen.
    pub(crate) start_ms: u64,
    pub(crate) method: &'a [u8],
    /// Path and query as the client wrote them.
    pub(crate) path: &'a [u8],
    pub(crate) protocol: &'a [u8],
    /// 0 if no response could be sent.
    pub(crate) response_code: u16,
    /// Set for local replies and for exchanges that broke.
    pub(crate) reason: Option<Reason>,
    /// The other protocol that the client offered, if it did; it was left out.
    pub(crate) ignored_upgrade: Option<&'static str>,
    /// The protocol that client and backend changed to, if they did.
    pub(crate) upgrade: Option<&'a str>,
    /// Names of request fields that were dropped because of an `_`, separated by commas, if any were.
    pub(crate) dropped_headers: Option<&'a [u8]>,
    /// The sentence behind a reason, where the configuration has one.
    pub(crate) detail: Option<&'a str>,
    /// Bytes of the request's body, without framing.
    pub(crate) bytes_received: u64,
    /// Bytes of the response's body, without framing.
    pub(crate) bytes_sent: u64,
    pub(crate) duration_us: u64,
    /// From the upstream connection in hand to the head of its response.
    pub(crate) upstream_us: Option<u64>,
    /// Attempts, of a request whose rule has retries, and why no other one followed.
    pub(crate) retried: Option<(u8, Option<&'static str>)>,
    pub(crate) x_forwarded_for: Option<&'a [u8]>,
    pub(crate) user_agent: Option<&'a [u8]>,
    pub(crate) request_id: &'a [u8],
    pub(crate) authority: &'a [u8],
    pub(crate) upstream_host: Option<SocketAddr>,
    pub(crate) route: Option<&'a str>,
    pub(crate) rule: Option<u32>,
    pub(crate) listener: Option<&'a str>,
    /// How the connection is secured, if it is.
    pub(crate) tls: Option<&'a TlsInfo>,
    /// The peer.
    pub(crate) peer: SocketAddr,
    /// The client, if a trusted proxy names it.
    pub(crate) client: IpAddr,
    pub(crate) local: SocketAddr,
}

impl Record<'_> {
    /// Appends the line; `second` is `start_ms`' second as text.
    fn write(&self, out: &mut Vec<u8>, second: &[u8]) {
        use json::{decimals, ip, millis, name, number, optional, socket, string};
        out.extend_from_slice(b"{\"start_time\":\"");
        out.extend_from_slice(second);
        out.push(b'.');
        decimals(out, self.start_ms % 1000);
        out.extend_from_slice(b"Z\"");
        name!(out, "method");
        string(out, self.method);
        name!(out, "path");
        string(out, self.path);
        name!(out, "protocol");
        string(out, self.protocol);
        name!(out, "response_code");
        number(out, u64::from(self.response_code));
        name!(out, "reason");
        optional(out, self.reason.map(|reason| reason.code().as_bytes()));
        if let Some(detail) = self.detail {
            name!(out, "detail");
            string(out, detail.as_bytes());
        }
        if let Some(upgrade) = self.ignored_upgrade {
            name!(out, "ignored_upgrade");
            string(out, upgrade.as_bytes());
        }
        if let Some(upgrade) = self.upgrade {
            name!(out, "upgrade");
            string(out, upgrade.as_bytes());
        }
        if let Some(dropped) = self.dropped_headers {
            name!(out, "dropped_headers");
            string(out, dropped);
        }
        name!(out, "bytes_received");
        number(out, self.bytes_received);
        name!(out, "bytes_sent");
        number(out, self.bytes_sent);
        name!(out, "duration_ms");
        millis(out, self.duration_us);
        name!(out, "upstream_ms");
        match self.upstream_us {
            Some(us) => millis(out, us),
            None => optional(out, None),
        }
        self.retried.iter().for_each(|retried| write_attempts(out, *retried));
        name!(out, "x_forwarded_for");
        optional(out, self.x_forwarded_for);
        name!(out, "user_agent");
        optional(out, self.user_agent);
        name!(out, "request_id");
        string(out, self.request_id);
        name!(out, "authority");
        string(out, self.authority);
        name!(out, "upstream_host");
        match self.upstream_host {
            Some(address) => socket(out, address),
            None => optional(out, None),
        }
        name!(out, "route_name");
        optional(out, self.route.map(str::as_bytes));
        name!(out, "rule");
        match self.rule {
            Some(rule) => number(out, u64::from(rule)),
            None => optional(out, None),
        }
        name!(out, "listener");
        optional(out, self.listener.map(str::as_bytes));
        if let Some(tls) = self.tls {
            name!(out, "tls_version");
            optional(out, tls.version.map(|version| version.as_str().as_bytes()));
            name!(out, "tls_server_name");
            optional(out, tls.server_name.as_deref().map(str::as_bytes));
        }
        name!(out, "downstream_remote_address");
        socket(out, self.peer);
        name!(out, "client_address");
        ip(out, self.client);
        name!(out, "downstream_local_address");
        socket(out, self.local);
        out.extend_from_slice(b"}\n");
    }
}

/// Appends the attempts of a request whose rule has retries, and why no other one followed.
#[cold]
fn write_attempts(out: &mut Vec<u8>, (attempts, denial): (u8, Option<&'static str>)) {
    use json::{name, number, string};
    name!(out, "upstream_attempts");
    number(out, u64::from(attempts));
    if let Some(denial) = denial {
        name!(out, "retry_denied");
        string(out, denial.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::golden;
    use gateway_tls::{Protocol, Version};

    use super::*;

    fn record() -> Record<'static> {
        Record {
            start_ms: 784_111_777_042,
            method: b"GET",
            path: b"/a?b=\"\xff",
            protocol: b"HTTP/1.1",
            response_code: 200,
            reason: None,
            ignored_upgrade: None,
            upgrade: None,
            dropped_headers: None,
            detail: None,
            bytes_received: 0,
            bytes_sent: 5,
            duration_us: 1_500,
            upstream_us: Some(42),
            retried: None,
            x_forwarded_for: None,
            user_agent: Some(b"curl\t\x01"),
            request_id: b"abc",
            authority: b"example.com:80",
            upstream_host: Some(([127, 0, 0, 1], 8000).into()),
            route: Some("HTTPRoute team1/httpbin"),
            rule: Some(0),
            listener: Some("ingress/shared-gateway/http"),
            tls: None,
            peer: ([192, 0, 2, 1], 1234).into(),
            client: [198, 51, 100, 7].into(),
            local: ([192, 0, 2, 2], 80).into(),
        }
    }

    #[test]
    fn a_line_is_one_json_object() {
        let mut out = Vec::new();
        record().write(&mut out, b"1994-11-06T08:49:37");
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["start_time"], "1994-11-06T08:49:37.042Z");
        assert_eq!(line["path"], "/a?b=\"\u{ff}");
        assert_eq!(line["user_agent"], "curl\t\u{1}");
        assert_eq!(line["duration_ms"], 1.5);
        assert_eq!(line["upstream_ms"], 0.042);
        assert_eq!(line["upstream_host"], "127.0.0.1:8000");
        assert_eq!(line["reason"], serde_json::Value::Null);
        assert_eq!(line["client_address"], "198.51.100.7");
        assert_eq!(line.as_object().unwrap().len(), 21);
        let tls = TlsInfo {
            server_name: Some("a.example".into()),
            version: Some(Version::Tls13),
            protocol: Protocol::Http1,
            client_cert: None,
            settings: None,
        };
        let mut out = Vec::new();
        Record { tls: Some(&tls), ..record() }.write(&mut out, b"1994-11-06T08:49:37");
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&line["tls_version"], &line["tls_server_name"]), (&"1.3".into(), &"a.example".into()));
    }

    /// Programs read these lines: the order of the fields, their names and the form of every value stay.
    #[test]
    fn lines_are_byte_for_byte_as_they_were() {
        let tls = TlsInfo {
            server_name: Some("a.example".into()),
            version: Some(Version::Tls13),
            protocol: Protocol::Http1,
            client_cert: None,
            settings: None,
        };
        let unnamed = TlsInfo {
            server_name: None,
            version: Some(Version::Tls12),
            protocol: Protocol::Http1,
            client_cert: None,
            settings: None,
        };
        let refused = Record {
            method: b"",
            path: b"",
            protocol: b"",
            response_code: 0,
            reason: Some(Reason::Failure(gateway_ir::RuleErrorKind::BackendNotFound)),
            ignored_upgrade: Some("websocket"),
            dropped_headers: Some(b"x_a, x_b"),
            detail: Some("Service \"s\" does not exist"),
            bytes_received: u64::MAX,
            upstream_us: None,
            retried: Some((2, Some("body"))),
            x_forwarded_for: Some(b"192.0.2.9, 192.0.2.10"),
            user_agent: None,
            upstream_host: None,
            route: None,
            rule: None,
            listener: None,
            tls: Some(&unnamed),
            peer: "[fd00::1]:5".parse().unwrap(),
            client: "fd00::2".parse().unwrap(),
            local: "[fd00::3]:443".parse().unwrap(),
            ..record()
        };
        let mut out = Vec::new();
        let tunnel = Record { response_code: 101, upgrade: Some("websocket"), ..record() };
        for record in [record(), Record { tls: Some(&tls), ..record() }, refused, tunnel] {
            record.write(&mut out, b"1994-11-06T08:49:37");
        }
        let bytes = golden::check("access-log.jsonl", &out);
        let lines: Vec<serde_json::Value> =
            serde_json::Deserializer::from_slice(&bytes).into_iter().map(Result::unwrap).collect();
        assert_eq!(lines.len(), 4);
    }
}
