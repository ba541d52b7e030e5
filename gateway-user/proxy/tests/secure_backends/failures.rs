//! Handshakes that fail: each with a reason of its own, and nothing is sent in clear text.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_io::Driver;
use gateway_ir::{BackendProtocol, BackendTls, ObjectName};
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::tls::{Authority, FrontOptions, Leaf, SelfSigned, TlsFront};

use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::{NAME, config, on_every_driver, trusting};

on_every_driver! {
    certificates_are_checked,
    one_that_signs_itself_is_trusted_by_name,
    peers_that_speak_something_else_have_a_reason,
    policies_that_cannot_be_used_have_a_reason,
}

/// Reason of a request to a backend like this.
fn reason(driver: Driver, address: SocketAddr, protocol: BackendProtocol, settings: BackendTls) -> String {
    let timeouts = Timeouts { connect: Duration::from_millis(500), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &config(address, protocol, settings), proxy);
    let response = gateway.get("/");
    let line = gateway.log_lines(1).remove(0);
    let reason = response.reason().unwrap_or("none").to_owned();
    assert_eq!(line["reason"].as_str().unwrap_or("none"), reason, "the log has the same: {line}");
    assert_eq!(response.status, if reason == "none" { 200 } else { 502 }, "{reason}");
    reason
}

fn certificates_are_checked(driver: Driver) {
    let (authority, other) = (Authority::new(), Authority::new());
    let backend = Backend::answering(|_| ok("hello"));
    let expired = Leaf { names: &[NAME], expired: true, ..Leaf::default() };
    for (identity, wanted) in [
        (authority.issue(&[NAME]), "none"),
        (authority.issue(&["*.backend.example"]), "none"),
        (authority.issue(&["other.example"]), "upstream_tls_wrong_name"),
        (authority.sign(&expired), "upstream_tls_certificate_expired"),
        (other.issue(&[NAME]), "upstream_tls_unknown_authority"),
        (SelfSigned::new(&[NAME]), "upstream_tls_unknown_authority"),
    ] {
        let front = TlsFront::start(&identity, backend.address(), &FrontOptions::default());
        let got = reason(driver, front.address(), BackendProtocol::Http1, trusting(&authority));
        assert_eq!(got, wanted);
    }
    assert_eq!(backend.accepted(), 2, "the others sent nothing on");
}

/// `openssl req -x509` makes it an authority's, which no path may end with.
fn one_that_signs_itself_is_trusted_by_name(driver: Driver) {
    let backend = Backend::answering(|_| ok("hello"));
    for (name, wanted) in [(NAME, "none"), ("other.example", "upstream_tls_wrong_name")] {
        let identity = SelfSigned::new(&[name]);
        let front = TlsFront::start(&identity, backend.address(), &FrontOptions::default());
        let mut settings = trusting(&Authority::new());
        let mut bundle = gateway_ir::TrustBundle::clone(&settings.trust[0]);
        bundle.certificates = vec![identity.der().to_vec()];
        settings.trust = vec![Arc::new(bundle)];
        assert_eq!(reason(driver, front.address(), BackendProtocol::Http1, settings), wanted);
    }
}

fn peers_that_speak_something_else_have_a_reason(driver: Driver) {
    let authority = Authority::new();
    let plain = Backend::answering(|_| ok("hello"));
    let early = Backend::start(|mut exchange| {
        use std::io::Write as _;
        exchange.stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        while let Ok(Some(_)) = exchange.byte() {}
    });
    let silent = Backend::start(|mut exchange| while let Ok(Some(_)) = exchange.byte() {});
    let closing = Backend::start(drop);
    let alert = Backend::start(|mut exchange| {
        use std::io::Write as _;
        // handshake_failure.
        exchange.stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
        while let Ok(Some(_)) = exchange.byte() {}
    });
    for (address, wanted) in [
        (early.address(), "upstream_tls_not_tls"),
        (silent.address(), "upstream_tls_timeout"),
        (closing.address(), "upstream_tls_closed"),
        (alert.address(), "upstream_tls_refused"),
    ] {
        assert_eq!(reason(driver, address, BackendProtocol::Http1, trusting(&authority)), wanted);
        assert_eq!(reason(driver, address, BackendProtocol::Http2, trusting(&authority)), wanted, "HTTP/2");
    }
    let identity = authority.issue(&[NAME]);
    let without_alpn = TlsFront::start(&identity, plain.address(), &FrontOptions::default());
    let address = without_alpn.address();
    assert_eq!(reason(driver, address, BackendProtocol::Http1, trusting(&authority)), "none");
    assert_eq!(
        reason(driver, address, BackendProtocol::Http2, trusting(&authority)),
        "upstream_tls_no_http2"
    );
}

fn policies_that_cannot_be_used_have_a_reason(driver: Driver) {
    let (authority, backend) = (Authority::new(), Backend::answering(|_| ok("hello")));
    let none = BackendTls { trust: Vec::new(), ..trusting(&authority) };
    let no_room =
        BackendTls { refused_gateways: vec![ObjectName::new("ingress", "gateway")], ..trusting(&authority) };
    for (settings, wanted) in [(none, "backend_tls_invalid"), (no_room, "backend_tls_no_room")] {
        assert_eq!(reason(driver, backend.address(), BackendProtocol::Http1, settings), wanted);
    }
    let mut config = config(backend.address(), BackendProtocol::Http1, trusting(&authority));
    config.endpoints.tls.clear();
    let gateway = Gateway::start(driver, &config);
    assert_eq!(gateway.get("/").reason(), Some("backend_tls_invalid"), "never in clear text");
    assert_eq!(backend.accepted(), 0);
}
