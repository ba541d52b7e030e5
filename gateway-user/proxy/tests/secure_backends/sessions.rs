//! Sessions are resumed, and connections in use outlive the settings that they were made with.

use std::io::Write as _;

use gateway_io::Driver;
use gateway_ir::BackendProtocol;
use gateway_testkit::tls::{Authority, FrontOptions, TlsFront, Versions};

use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::{NAME, config, on_every_driver, trusting};

on_every_driver! {
    sessions_are_resumed_within_a_transport,
    a_connection_in_use_outlives_its_settings,
}

fn sessions_are_resumed_within_a_transport(driver: Driver) {
    let authority = Authority::new();
    // Each response ends its connection, so that each request makes a handshake.
    let backend =
        Backend::answering(|_| b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec());
    for version in [Versions::Old, Versions::New] {
        let options = FrontOptions { version: Some(version), ..FrontOptions::default() };
        let front = TlsFront::start(&authority.issue(&[NAME]), backend.address(), &options);
        let mut config = config(front.address(), BackendProtocol::Http1, trusting(&authority));
        let mut gateway = Gateway::start(driver, &config);
        for _ in 0..3 {
            assert_eq!(gateway.get("/").status, 200);
        }
        let resumed: Vec<_> = front.handshakes().iter().map(|one| one.resumed).collect();
        assert_eq!(resumed, [false, true, true], "{version:?}");
        assert_eq!(gateway.metrics().counters.upstream_tls_resumed, 2);
        // Other settings, even if they come to the same, have sessions of their own.
        for settings in config.endpoints.tls.clone().into_iter().map(|(key, _)| key) {
            config.endpoints.tls.insert(settings, trusting(&authority).into());
        }
        gateway.publish(&config, vec![], vec![]);
        assert_eq!(gateway.get("/").status, 200);
        assert!(!front.handshakes().pop().unwrap().resumed, "{version:?}");
    }
}

fn a_connection_in_use_outlives_its_settings(driver: Driver) {
    let (authority, other) = (Authority::new(), Authority::new());
    let backend = Backend::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target == "/slow" {
                let stream = &mut exchange.stream;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour").unwrap();
                std::thread::sleep(std::time::Duration::from_millis(300));
                stream.write_all(b"more").unwrap();
            } else {
                exchange.stream.write_all(&ok("hello")).unwrap();
            }
        }
    });
    let front = TlsFront::start(&authority.issue(&[NAME]), backend.address(), &FrontOptions::default());
    let old = config(front.address(), BackendProtocol::Http1, trusting(&authority));
    let mut gateway = Gateway::start(driver, &old);
    assert_eq!(gateway.get("/").status, 200);
    let mut slow = gateway.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    gateway.until("the request", |counters| counters.upstream_reused == 1);
    gateway.publish(&config(front.address(), BackendProtocol::Http1, trusting(&other)), vec![], vec![]);
    assert_eq!(gateway.get("/").reason(), Some("upstream_tls_unknown_authority"), "no idle one is used");
    let response = slow.response().unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "fourmore"));
    gateway.publish(&old, vec![], vec![]);
    assert_eq!(gateway.get("/").status, 200);
}
