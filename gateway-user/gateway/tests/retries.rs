//! `retry` of rules through the whole gateway, from YAML to the requests that backends get.
#![allow(missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{HTTP, metric, sluice, text, with_gateway};
use gateway_testkit::http::Client;
use gateway_testkit::http2::client::{connected, send};
use gateway_testkit::wait;
use http::Request;

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: retries, namespace: team1}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  rules:
    - matches: [{path: {value: /r/again}}]
      retry: {codes: [503], attempts: 2, backoff: 10ms}
      backendRefs: [{name: shaky, port: 80}]
    - matches: [{path: {value: /r/once}}]
      retry: {codes: [503], attempts: 0}
      backendRefs: [{name: shaky, port: 80}]
    - matches: [{path: {value: /r/nobody}}]
      retry: {}
      backendRefs: [{name: nobody, port: 80}]
    - matches: [{path: {value: /r/ready}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /anything}}}]
      backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
";

/// A Service with one endpoint on loopback.
fn service(name: &str, port: u16) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: team1}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-1, namespace: team1, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {port}, protocol: TCP}}]\n\
         endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]\n"
    )
}

/// A backend that responds 503 to all requests but each third, and keeps their bodies.
#[derive(Clone, Default)]
struct Shaky(Arc<Mutex<Vec<String>>>);

impl Shaky {
    fn listen(port: u16) -> Self {
        let shaky = Self::default();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let own = shaky.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let own = own.clone();
                thread::spawn(move || own.serve(stream));
            }
        });
        shaky
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let line = line.trim().to_ascii_lowercase();
                length = line.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let count = {
                let mut all = self.0.lock().unwrap();
                all.push(String::from_utf8(body).unwrap());
                all.len()
            };
            let response = match count % 3 {
                0 => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup",
                _ => "HTTP/1.1 503 Down\r\nContent-Length: 4\r\n\r\ndown",
            };
            if stream.write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn requests_are_tried_again_as_their_rule_says() {
    with_gateway("retries", |_, running| {
        let shaky = Shaky::listen(8001);
        let objects = format!("{ROUTE}{}{}", service("shaky", 8001), service("nobody", 8002));
        running.config.write("retries.yaml", &objects).unwrap();
        running.wait_for_status("/r/ready", 200);
        let asked = |request: &str| {
            let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
            client.send(request).unwrap();
            client.response().unwrap()
        };
        let post = asked("POST /r/again HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!((post.status, post.text().as_str()), (200, "up"));
        assert_eq!(shaky.take(), ["hello"; 3]);
        assert_eq!(asked("GET /r/once HTTP/1.1\r\nHost: a\r\n\r\n").text(), "down");
        assert_eq!(shaky.take().len(), 1);
        let whole = connected(HTTP.parse().unwrap(), |mut client| async move {
            let request = Request::post("http://a/r/again").header("content-length", "11").body(()).unwrap();
            send(&mut client, request, &[b"over ", b"http/2"], None).await.unwrap()
        });
        assert_eq!((whole.text(), shaky.take()), ("up", vec!["over http/2".to_owned(); 3]));
        let nobody = asked("GET /r/nobody HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((nobody.status, nobody.header("x-sluice-reason")), (503, Some("upstream_connect_failed")));
        let counts =
            ["sluice_retries_total", "sluice_retries_succeeded_total", "sluice_retries_failed_total"];
        wait::until("the counts", || (counts.map(|name| metric(name, &[])) == [5.0, 2.0, 1.0]).then_some(()));
        let dir = running.config.path().to_str().unwrap();
        let said = |path: &str| text(&sluice(&["explain", dir, "GET", &format!("http://127.0.0.1{path}")]));
        let again = said("/r/again");
        let line = "tried up to 2 times more after a failed connection or status 503, 10 ms later at least";
        assert!(again.contains(line), "{again}");
        assert!(
            said("/r/nobody").contains("tried once more after a failed connection, 25 ms later at least")
        );
        assert!(!said("/r/once").contains("tried"));
    });
}
