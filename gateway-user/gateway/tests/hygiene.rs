//! Requests on their way to a backend through the whole gateway: strict defaults, and the flags that restore
//! what was before.

mod common;

use common::{HTTP, metric, with_gateway, with_gateway_flags};
use gateway_testkit::http::{Client, Response};

fn send(wire: &str) -> Response {
    let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
    client.send(wire).unwrap();
    client.response().unwrap()
}

const ALIASES: &str = "GET /httpbin/headers HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nX_Auth_User: root\r\nX-Plain: 1\r\n\r\n";

fn path(path: &str) -> Response {
    send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn by_default_nothing_reaches_a_backend_that_could_be_taken_for_something_else() {
    with_gateway("strict", |_, running| {
        running.gateway.wait_for_output(
            "requests: --underscore-headers drop, --request-trailers drop, --encoded-separators refuse-dangerous, \
             --reason-header always",
        );
        let seen = send(ALIASES).text();
        assert!(seen.contains("X-Plain") || seen.contains("x-plain"), "{seen}");
        assert!(!seen.contains('_') && !seen.contains("6.6.6.6") && !seen.contains("root"), "{seen}");
        running.gateway.wait_for_output("\"dropped_headers\":\"X_Forwarded_For, X_Auth_User\"");
        assert_eq!(metric("sluice_underscore_headers_dropped_total", &[]), 2.0);
        for (refused, reason) in [
            ("/httpbin/..;/x", "hidden_dot_segment"),
            ("/httpbin/a%2F..", "hidden_dot_segment"),
            ("/httpbin/a\\b", "encoded_separator"),
            ("/httpbin/a%00", "encoded_separator"),
        ] {
            let response = path(refused);
            assert_eq!((response.status, response.reason()), (400, Some(reason)), "{refused}");
        }
        assert_eq!(path("/httpbin/anything/group%2Fproject;v=1").reason(), None);
    });
}

#[test]
fn every_strict_default_has_a_flag_that_takes_it_back() {
    const FLAGS: &[&str] = &[
        "--underscore-headers",
        "keep",
        "--request-trailers",
        "keep",
        "--encoded-separators",
        "keep",
        "--reason-header",
        "never",
    ];
    with_gateway_flags("lenient", FLAGS, |_, _| {
        let seen = send(ALIASES).text();
        assert!(seen.contains("6.6.6.6") && seen.contains("root"), "{seen}");
        for taken in ["/httpbin/..;/x", "/httpbin/a%2F..", "/httpbin/a\\b", "/httpbin/a%00"] {
            assert_ne!(path(taken).status, 400, "{taken}");
        }
        let response = path("/nothing");
        assert_eq!(
            (response.status, response.reason(), response.text().as_str()),
            (404, None, "404 Not Found\n")
        );
    });
}
