//! `CORS` through the whole gateway, from YAML to the fields of responses.
#![allow(missing_docs)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use common::{HTTP, Running, metric, sluice, text, with_gateway};
use gateway_testkit::http::{Client, Response};
use gateway_testkit::http2::client::{ask, connected};
use http::Request;

/// A rule for each way in which a request can end, and a backend that writes fields of CORS itself.
const ROUTE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cors, namespace: team1}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  rules:
    - matches: [{path: {value: /c/listed}}]
      filters:
        - type: CORS
          cors:
            allowOrigins: ["https://www.foo.com", "https://*.bar.com"]
            allowMethods: [GET, OPTIONS]
            allowHeaders: [x-header-1, x-header-2]
            exposeHeaders: [x-header-3]
            allowCredentials: true
            maxAge: 3600
        - type: ResponseHeaderModifier
          responseHeaderModifier:
            set: [{name: access-control-allow-origin, value: "https://evil.example"}]
      backendRefs: [{name: forger, port: 80}]
    - matches: [{path: {value: /c/all}}]
      filters: [{type: CORS, cors: {allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"]}}]
      backendRefs: [{name: forger, port: 80}]
    - matches: [{path: {value: /c/moved}}]
      filters:
        - {type: CORS, cors: {allowOrigins: ["https://www.foo.com"]}}
        - {type: RequestRedirect, requestRedirect: {hostname: other.example}}
    - matches: [{path: {value: /c/missing}}]
      filters: [{type: CORS, cors: {allowOrigins: ["https://www.foo.com"]}}]
      backendRefs: [{name: nope, port: 80}]
    - matches: [{path: {value: /c/backend}}]
      filters: [{type: CORS, cors: {allowOrigins: ["https://www.foo.com"]}}]
      backendRefs:
        - name: forger
          port: 80
          filters: [{type: CORS, cors: {allowOrigins: ["https://backend.example"]}}]
---
apiVersion: v1
kind: Service
metadata: {name: forger, namespace: team1}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: forger-1, namespace: team1, labels: {kubernetes.io/service-name: forger}}
addressType: IPv4
ports: [{name: http, port: 8001, protocol: TCP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
"#;

const PREFLIGHT: &str = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a, x-b\r\n";

/// Serves the route, with a backend whose responses allow everything to everybody.
fn serve(running: &Running) {
    let listener = TcpListener::bind("127.0.0.1:8001").unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        let method = String::from_utf8_lossy(&head).split(' ').next().unwrap().to_owned();
                        let response = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Saw: {method}\r\nVary: Accept\r\n\
                             Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: DELETE\r\n\
                             Access-Control-Allow-Credentials: true\r\n\r\n"
                        );
                        stream.write_all(response.as_bytes()).unwrap();
                        head.clear();
                    }
                }
            });
        }
    });
    running.config.write("cors.yaml", ROUTE).unwrap();
    running.wait_for_status("/c/missing", 500);
}

fn asked(client: &mut Client, method: &str, path: &str, fields: &str) -> Response {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).unwrap();
    client.response_to(method).unwrap()
}

/// Every value of a field, lines joined.
fn field(response: &Response, name: &str) -> String {
    let lines = response.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | ")
}

fn cors(response: &Response) -> Vec<String> {
    let names = ["origin", "credentials", "methods", "headers"].map(|end| format!("allow-{end}"));
    let names = names.into_iter().chain(["expose-headers", "max-age"].map(str::to_owned));
    let of_name = |name: String| (field(response, &format!("access-control-{name}")), name);
    let there = names.map(of_name).filter(|(value, _)| !value.is_empty());
    there.map(|(value, name)| format!("{name}: {value}")).collect()
}

#[test]
fn preflights_are_answered_by_the_gateway() {
    with_gateway("preflight", |_, running| {
        serve(running);
        let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
        let response = asked(
            &mut client,
            "OPTIONS",
            "/c/listed",
            &format!("Origin: https://a.b.bar.com\r\n{PREFLIGHT}"),
        );
        assert_eq!((response.status, response.reason()), (204, Some("cors_preflight")));
        assert_eq!(
            (field(&response, "vary"), field(&response, "content-length")),
            ("Origin".into(), "".into())
        );
        let leave = [
            "allow-origin: https://a.b.bar.com",
            "allow-credentials: true",
            "allow-methods: GET, OPTIONS",
            "allow-headers: x-header-1, x-header-2",
            "expose-headers: x-header-3",
            "max-age: 3600",
        ];
        assert_eq!(cors(&response), leave);
        // On the same connection: a preflight ends nothing.
        for origin in ["https://bar.com", "http://www.foo.com", "null", "https://www.foo.com:8443"] {
            let fields = format!("Origin: {origin}\r\n{PREFLIGHT}");
            let response = asked(&mut client, "OPTIONS", "/c/listed", &fields);
            assert_eq!(
                (response.status, response.reason()),
                (403, Some("cors_origin_not_allowed")),
                "{origin}"
            );
            assert!(cors(&response).is_empty(), "{origin}: {response:?}");
        }
        let open = asked(&mut client, "OPTIONS", "/c/all", &format!("Origin: null\r\n{PREFLIGHT}"));
        let leave = ["allow-origin: *", "allow-methods: PUT", "allow-headers: x-a, x-b", "max-age: 5"];
        assert_eq!(
            (cors(&open).as_slice(), field(&open, "vary")),
            (leave.map(str::to_owned).as_slice(), "".into())
        );
        // A backendRef's filter stands in place of its rule's.
        for (origin, status) in [("https://backend.example", 204), ("https://www.foo.com", 403)] {
            let fields = format!("Origin: {origin}\r\n{PREFLIGHT}");
            assert_eq!(asked(&mut client, "OPTIONS", "/c/backend", &fields).status, status, "{origin}");
        }
        // Neither of these is a preflight, so the backend sees it.
        for fields in ["Origin: https://www.foo.com\r\n", PREFLIGHT, ""] {
            let response = asked(&mut client, "OPTIONS", "/c/listed", fields);
            assert_eq!(field(&response, "x-saw"), "OPTIONS", "{fields}");
        }
        assert_eq!(
            metric("http_server_request_duration_seconds_count", &["error_type=\"cors_preflight\""]),
            3.0
        );
    });
}

#[test]
fn responses_have_the_fields_of_the_filter_and_no_others() {
    with_gateway("responses", |_, running| {
        serve(running);
        let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
        let allowed = "Origin: https://www.foo.com\r\n";
        let response = asked(&mut client, "GET", "/c/listed", allowed);
        assert_eq!((response.status, field(&response, "x-saw")), (200, "GET".into()));
        let shared =
            ["allow-origin: https://www.foo.com", "allow-credentials: true", "expose-headers: x-header-3"];
        assert_eq!(cors(&response), shared);
        assert_eq!(field(&response, "vary"), "Accept | Origin");
        for fields in ["Origin: https://other.example\r\n", ""] {
            let response = asked(&mut client, "GET", "/c/listed", fields);
            assert_eq!((response.status, field(&response, "x-saw")), (200, "GET".into()));
            assert!(cors(&response).is_empty(), "{response:?}");
            assert_eq!(field(&response, "vary"), "Accept | Origin");
            let response = asked(&mut client, "GET", "/c/all", fields);
            assert_eq!(cors(&response), ["allow-origin: *"]);
            assert_eq!(field(&response, "vary"), "Accept");
        }
        // Local replies as well, so that pages can read them.
        for (path, status) in [("/c/moved", 302), ("/c/missing", 500)] {
            let response = asked(&mut client, "GET", path, allowed);
            assert_eq!((response.status, cors(&response)), (status, vec![shared[0].to_owned()]), "{path}");
            assert_eq!(field(&response, "vary"), "Origin", "{path}");
        }
        let response = asked(&mut client, "GET", "/httpbin/get", allowed);
        assert!(cors(&response).is_empty(), "a rule without the filter: {response:?}");
        connected(HTTP.parse().unwrap(), |mut client| async move {
            let request = |method: &str| {
                let request = Request::builder().method(method).uri("http://a/c/listed");
                let request = request.header("origin", "https://www.foo.com");
                request.header("access-control-request-method", "GET").body(()).unwrap()
            };
            let response = ask(&mut client, request("OPTIONS")).await.unwrap();
            assert_eq!((response.status.as_u16(), response.body.len()), (204, 0));
            assert_eq!(response.header("access-control-allow-methods"), Some("GET, OPTIONS"));
            let response = ask(&mut client, request("GET")).await.unwrap();
            assert_eq!(response.header("x-saw"), Some("GET"));
            assert_eq!(response.header("access-control-allow-origin"), Some("https://www.foo.com"));
            assert_eq!(response.header("access-control-allow-methods"), None);
        });
    });
}

#[test]
fn explain_says_what_the_filter_decides() {
    with_gateway("explain-cors", |_, running| {
        serve(running);
        let dir = running.config.path().to_str().unwrap().to_owned();
        let explain = |method: &str, path: &str, origin: &str| {
            let url = format!("http://127.0.0.1{path}");
            let origin = format!("Origin: {origin}");
            let wanted = "Access-Control-Request-Method: GET";
            let said = sluice(&["explain", &dir, method, &url, "-H", &origin, "-H", wanted]);
            (said.status.code(), text(&said))
        };
        let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
        for (method, path, origin, code) in [
            ("OPTIONS", "/c/listed", "https://www.foo.com", 0),
            ("OPTIONS", "/c/listed", "https://other.example", 1),
            ("GET", "/c/listed", "https://www.foo.com", 0),
            ("GET", "/c/moved", "https://www.foo.com", 0),
        ] {
            let fields = format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n");
            let response = asked(&mut client, method, path, &fields);
            let (ended, said) = explain(method, path, origin);
            assert_eq!(ended, Some(code), "{said}");
            if let Some(reason) = response.reason() {
                assert!(said.contains(&format!("\n{} {reason}\n", response.status)), "{said}");
            }
            for line in cors(&response) {
                assert!(said.contains(&format!("access-control-{line}\n")), "{line} is not in\n{said}");
            }
        }
    });
}
