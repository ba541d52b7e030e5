//! `RequestMirror` through the whole gateway, from YAML to the bytes that mirrors get.
#![allow(missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{HTTP, Running, metric, sluice, text, with_gateway};
use gateway_testkit::http::{Client, Response};
use gateway_testkit::http2::client::{connected, send};
use gateway_testkit::wait;
use http::Request;

const ROUTE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mirrors, namespace: team1}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  rules:
    - matches: [{path: {value: /m/two}}]
      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: one, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: other, port: 80}}}
        - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-rule, value: "1"}]}}
        - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /anything}}}
      backendRefs:
        - name: httpbin
          namespace: team2
          port: 8000
          filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-backend, value: secret}]}}]
    - matches: [{path: {value: /m/silent}}]
      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: silent, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: dead, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: empty, port: 80}}}
        - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /anything}}}
      backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
    - matches: [{path: {value: /m/half}}]
      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: one, port: 80}, percent: 50}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: other, port: 80}, fraction: {numerator: 0, denominator: 7}}}
        - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /anything}}}
      backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
    - matches: [{path: {value: /m/plain}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /anything}}}]
      backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
    - matches: [{path: {value: /m/missing}}]
      filters: [{type: RequestMirror, requestMirror: {backendRef: {name: nope, port: 80}}}]
      backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
"#;

/// A Service with one endpoint on loopback, or none.
fn service(name: &str, port: Option<u16>) -> String {
    let endpoints = match port {
        Some(_) => "endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]",
        None => "endpoints: []",
    };
    let port = port.unwrap_or(1);
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: team1}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-1, namespace: team1, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {port}, protocol: TCP}}]\n{endpoints}\n"
    )
}

/// A backend that keeps each request, head and body as one text, and responds.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn listen(port: u16) -> Self {
        let recorder = Self::default();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let own = recorder.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let own = own.clone();
                thread::spawn(move || own.serve(stream));
            }
        });
        recorder
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let (mut request, mut length) = (String::new(), 0);
            while !request.ends_with("\r\n\r\n") {
                let from = request.len();
                if reader.read_line(&mut request).unwrap_or(0) == 0 {
                    return;
                }
                let line = request[from..].to_ascii_lowercase();
                length = line.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            request.push_str(std::str::from_utf8(&body).unwrap());
            self.0.lock().unwrap().push(request);
            if stream.write_all(b"HTTP/1.1 500 Down\r\nContent-Length: 4\r\n\r\ndown").is_err() {
                return;
            }
        }
    }

    fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for the only request and takes it.
    #[track_caller]
    fn take(&self) -> String {
        let all = wait::until("a copy", || Some(self.requests()).filter(|all| !all.is_empty()));
        assert_eq!(all.len(), 1, "{all:?}");
        self.0.lock().unwrap().pop().unwrap()
    }
}

fn serve(running: &Running) -> (Recorder, Recorder) {
    let recorders = (Recorder::listen(8001), Recorder::listen(8002));
    let services = [
        ("one", Some(8001)),
        ("other", Some(8002)),
        ("silent", Some(8003)),
        ("dead", Some(8004)),
        ("empty", None),
    ];
    let services: String = services.into_iter().map(|(name, port)| service(name, port)).collect();
    // One edit, so that what is served has all of it.
    running.config.write("mirrors.yaml", &format!("{ROUTE}{services}")).unwrap();
    running.wait_for_status("/m/plain", 200);
    recorders
}

fn asked(request: &str) -> Response {
    let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
    client.send(request).unwrap();
    client.response().unwrap()
}

fn given_up() -> f64 {
    metric("sluice_mirrors_given_up_total", &[])
}

#[test]
fn every_mirror_gets_what_the_rule_makes_of_the_request() {
    with_gateway("mirrors", |_, running| {
        let (one, other) = serve(running);
        let body = "x".repeat(20_000);
        let chunked = format!(
            "POST /m/two/a?b=c HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n{body}\r\n0\r\n\r\n"
        );
        for (request, method, body) in [
            ("GET /m/two/a?b=c HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "GET", ""),
            (chunked, "POST", body.as_str()),
        ] {
            let response = asked(&request);
            assert_eq!(response.status, 200, "{}", response.text());
            assert!(response.text().contains("secret"), "the backend has its own field: {}", response.text());
            for copy in [one.take(), other.take()] {
                let (head, content) = copy.split_once("\r\n\r\n").unwrap();
                let head = head.to_ascii_lowercase();
                assert!(
                    head.starts_with(&format!(
                        "{} /anything/a?b=c http/1.1\r\n",
                        method.to_ascii_lowercase()
                    )),
                    "{head}"
                );
                for field in ["host: a.example", "x-rule: 1", "x-forwarded-host: a.example", "x-request-id: "]
                {
                    assert!(head.contains(&format!("\r\n{field}")), "{field} is not in {head}");
                }
                assert!(!head.contains("secret") && !head.contains("transfer-encoding"), "{head}");
                assert_eq!(content, body);
            }
        }
        connected(HTTP.parse().unwrap(), |mut client| async move {
            let request = Request::post("http://a.example/m/two").body(()).unwrap();
            let response = send(&mut client, request, &[b"abc", b"de"], None).await.unwrap();
            assert_eq!(response.status, 200);
        });
        assert!(one.take().ends_with("\r\n\r\nabcde") && other.take().ends_with("\r\n\r\nabcde"));
        wait::until("all to be counted", || (metric("sluice_mirrored_total", &[]) >= 6.0).then_some(()));
        assert_eq!(given_up(), 0.0);
    });
}

#[test]
fn a_mirror_that_does_not_work_costs_a_request_nothing() {
    with_gateway("mirrors-down", |_, running| {
        let (one, _other) = serve(running);
        // Takes connections, and never says a word.
        let silent = TcpListener::bind("127.0.0.1:8003").unwrap();
        let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
        for _ in 0..20 {
            client.send("POST /m/silent/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").unwrap();
            assert_eq!(client.response().unwrap().status, 200);
        }
        let _asked = silent.accept().unwrap();
        wait::until("failures", || (metric("sluice_mirrors_failed_total", &[]) == 20.0).then_some(()));
        assert_eq!(given_up(), 20.0, "those without an endpoint");
        // A body that is longer than a copy may be reaches its backend whole.
        let long = "x".repeat(70_000);
        let response =
            asked(&format!("POST /m/two HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n{long}"));
        assert!(response.status == 200 && response.text().contains(&long));
        assert_eq!((given_up(), one.requests().len()), (22.0, 0));
        // So does a request whose mirror does not exist.
        running.wait_for_status("/m/missing", 404);
        let status = text(&sluice(&["status", "-o", "yaml"]));
        assert!(status.contains("BackendNotFound"), "{status}");
    });
}

#[test]
fn a_share_of_requests_is_copied() {
    with_gateway("mirrors-share", |_, running| {
        let (one, other) = serve(running);
        let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
        for _ in 0..400 {
            assert_eq!(client.get("a", "/m/half/a").unwrap().status, 200);
        }
        // 200 expected, deviation 10: ten deviations never happen.
        let copies = wait::until("copies", || Some(one.requests().len()).filter(|count| *count >= 100));
        assert!((100..=300).contains(&copies), "{copies}");
        assert!(other.requests().is_empty());
        let dir = running.config.path().to_str().unwrap();
        let said = text(&sluice(&["explain", dir, "GET", "http://127.0.0.1/m/half/a"]));
        for line in [
            "\ncopied, 50 of 100 requests, to Service team1/one:80 at 127.0.0.1:8001\n",
            "\ncopied, 0 of 7 requests, to Service team1/other:80 at 127.0.0.1:8002\n",
        ] {
            assert!(said.contains(line), "{line} is not in\n{said}");
        }
        let said = text(&sluice(&["explain", dir, "GET", "http://127.0.0.1/m/silent/a"]));
        assert!(
            said.contains("\ncopied to nobody: Service team1/empty:80 has no usable endpoint\n"),
            "{said}"
        );
    });
}
