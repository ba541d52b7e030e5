//! gRPC calls: local replies as a status, and the client's deadline.

use std::io::Write as _;
use std::time::Duration;

use gateway_io::Driver;
use gateway_ir::{Action, RuleError, RuleErrorKind};
use gateway_proxy::{ProxyConfig, ReasonHeader};
use gateway_testkit::http::Client;
use http::Request;

use crate::client::{Whole, ask, connected};
use crate::support::Gateway;
use crate::support::backend::{Backend, echo};
use crate::support::ir::{Config, forward, rule};

fn call(path: &str) -> http::request::Builder {
    Request::builder()
        .method("POST")
        .uri(format!("http://a.example{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
}

/// Status and message, of a response that has nothing else.
fn status(response: &Whole) -> (&str, &str) {
    assert_eq!((response.status.as_u16(), response.body.len()), (200, 0), "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/grpc"));
    assert!(response.trailers.is_none(), "all of it is in the head");
    (response.header("grpc-status").unwrap(), response.header("grpc-message").unwrap())
}

pub(crate) fn a_local_reply_to_a_call_is_a_status(driver: Driver) {
    let failure = RuleError { kind: RuleErrorKind::BackendNotFound, message: String::new() };
    let config = Config::default()
        .rule(rule("/broken", Action::Fail(failure)))
        .rule(forward("/empty", "empty"))
        .rule(forward("/broken/app", "app"));
    let gateway = Gateway::start(driver, &config);
    connected(&gateway, |mut client| async move {
        let mut ask = async |path: &str| ask(&mut client, call(path).body(()).unwrap()).await.unwrap();
        let missing = ask("/none").await;
        assert_eq!(status(&missing), ("12", "404 Not Found: no_rule_for_path"));
        assert_eq!(missing.header("x-sluice-reason"), Some("no_rule_for_path"));
        assert_eq!(status(&ask("/broken/x").await), ("14", "500 Internal Server Error: backend_not_found"));
        assert_eq!(status(&ask("/empty/x").await), ("14", "503 Service Unavailable: no_endpoints"));
        // Refused before anything is routed.
        assert_eq!(status(&ask("/a%zz/x").await).0, "13");
    });
    let lines = gateway.log_lines(4);
    assert_eq!((&lines[0]["response_code"], &lines[0]["reason"]), (&200.into(), &"no_rule_for_path".into()));
}

pub(crate) fn clients_that_are_told_no_reason_have_the_status_alone(driver: Driver) {
    let proxy = ProxyConfig { reason_header: ReasonHeader::Never, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::default(), proxy);
    connected(&gateway, |mut client| async move {
        let missing = ask(&mut client, call("/none").body(()).unwrap()).await.unwrap();
        assert_eq!(status(&missing), ("12", "404 Not Found"));
        assert_eq!(missing.header("x-sluice-reason"), None);
    });
}

pub(crate) fn calls_over_http_1_have_a_status_too_and_other_requests_none(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::default());
    let mut client = Client::connect(gateway.address).unwrap();
    let mut post = |content: &str| {
        let fields = format!("host: a\r\ncontent-type: {content}\r\ncontent-length: 0");
        client.send(format!("POST /none HTTP/1.1\r\n{fields}\r\n\r\n")).unwrap();
        client.response_to("POST").unwrap()
    };
    let called = post("application/grpc");
    assert_eq!((called.status, called.header("grpc-status")), (200, Some("12")));
    for other in ["application/grpc-web+proto", "application/json"] {
        let other = post(other);
        assert_eq!((other.status, other.header("grpc-status")), (404, None));
    }
}

pub(crate) fn a_deadline_ends_a_call(driver: Driver) {
    // It reads, and never responds.
    let backend = Backend::start(|mut exchange| while exchange.request().is_some() {});
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        let request = call("/a.B/C").header("grpc-timeout", "200m").body(()).unwrap();
        let late = ask(&mut client, request).await.unwrap();
        assert_eq!(status(&late), ("4", "504 Gateway Timeout: grpc_timeout"));
    });
    assert_eq!(gateway.log_lines(1)[0]["reason"], "grpc_timeout");
}

pub(crate) fn a_deadline_ends_a_response_that_has_begun(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while exchange.request().is_some() {
            exchange
                .stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                .unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        let request = call("/a.B/C").header("grpc-timeout", "300m").body(()).unwrap();
        let cut = ask(&mut client, request).await.unwrap();
        assert_eq!((cut.status.as_u16(), cut.text()), (200, "abc"));
        let trailers = cut.trailers.unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&"4".parse().unwrap(), &"grpc_timeout".parse().unwrap())
        );
        let plain = Request::builder().method("POST").uri("http://a.example/").body(()).unwrap();
        let mut ready = client.clone().ready().await.unwrap();
        let (response, _) = ready.send_request(plain, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200, "the connection goes on");
    });
}

pub(crate) fn a_deadline_goes_on_less_what_was_spent(driver: Driver) {
    let backend = Backend::answering(echo);
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        let mut seen = async |request: http::request::Builder| {
            let response = ask(&mut client, request.body(()).unwrap()).await.unwrap();
            let seen: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            let fields = seen["headers"].as_array().unwrap();
            let of = |name: &str| {
                let line = fields.iter().find(|one| one[0].as_str().unwrap().eq_ignore_ascii_case(name));
                line.map(|one| one[1].as_str().unwrap().to_owned())
            };
            (of("grpc-timeout"), of("te"))
        };
        let (left, te) = seen(call("/a.B/C").header("grpc-timeout", "90S")).await;
        let left = gateway_http::grpc::parse_timeout(left.unwrap().as_bytes()).unwrap();
        assert!(left < Duration::from_secs(90) && !left.is_zero(), "{left:?}");
        assert_eq!(te.as_deref(), Some("trailers"));
        let (malformed, _) = seen(call("/a.B/C").header("grpc-timeout", "90s")).await;
        assert_eq!(malformed.as_deref(), Some("90s"), "what is no deadline is the backend's to judge");
        let plain = Request::builder().uri("http://a.example/").header("grpc-timeout", "90S");
        assert_eq!(seen(plain).await.0.as_deref(), Some("90S"), "it is no call");
    });
}

/// A call of a browser: HTTP/1.1 on both sides, bodies of unknown length, and trailers that are content.
pub(crate) fn grpc_web_passes_over_http_1(driver: Driver) {
    const CALL: &[u8] = b"\0\0\0\0\x03abc";
    const REPLY: &[u8] = b"\0\0\0\0\x02de\x80\0\0\0\x0fgrpc-status:0\r\n";
    let backend = Backend::answering(|request| {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a.B/C"));
        for (name, value) in [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")] {
            assert_eq!(request.header(name), Some(value));
        }
        assert_eq!(request.header("transfer-encoding"), Some("chunked"));
        assert_eq!((request.header("te"), request.header("content-length")), (None, None));
        assert_eq!(request.body, CALL);
        let mut out = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\n\
            Transfer-Encoding: chunked\r\n\r\n"
            .to_vec();
        for piece in REPLY.chunks(7) {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
        out
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    for _ in 0..2 {
        let head = "POST /a.B/C HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/grpc-web+proto\r\n\
                    X-Grpc-Web: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(head).unwrap();
        for piece in CALL.chunks(3) {
            client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).unwrap();
        }
        client.send("0\r\n\r\n").unwrap();
        let response = client.response_to("POST").unwrap();
        assert_eq!((response.status, response.header("grpc-status")), (200, None));
        assert_eq!(response.header("content-type"), Some("application/grpc-web+proto"));
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        assert_eq!(response.body, REPLY);
    }
    assert_eq!(backend.accepted(), 1);
}
