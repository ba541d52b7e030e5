//! The echo backend over a real socket, judged by a client that shows every byte.

use std::net::SocketAddr;

use gateway_testkit::http::Client;
use serde_json::Value;

use super::*;

/// A backend on a free port, on a thread of its own; both end with the test.
struct Backend {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Backend {
    fn start() -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let shared = Shared { name: Some("one".into()) };
                tokio::select! {
                    served = serve(listener, shared) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address: told.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn json(response: &gateway_testkit::http::Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn the_request_is_told_in_httpbins_shape() {
    let backend = Backend::start();
    let mut client = backend.client();
    client
        .send(
            "PUT /anything/a%20b?x=1&y=a%2Bb+c&x=2&bad=%zz HTTP/1.1\r\nHost: www.example.com\r\n\
             X-A: 1\r\nX-A: 2\r\nContent-Length: 7\r\n\r\n{\"k\":1}",
        )
        .unwrap();
    let seen = json(&client.response().unwrap());
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["path"], "/anything/a%20b");
    assert_eq!(seen["url"], "http://www.example.com/anything/a%20b?x=1&y=a%2Bb+c&x=2&bad=%zz");
    assert_eq!(seen["args"], serde_json::json!({"x": ["1", "2"], "y": "a+b c", "bad": "%zz"}));
    assert_eq!(seen["headers"]["x-a"], serde_json::json!(["1", "2"]));
    assert_eq!(seen["origin"], "127.0.0.1");
    assert_eq!(seen["data"], "{\"k\":1}");
    assert_eq!(seen["json"], serde_json::json!({"k": 1}));
    assert_eq!(seen["backend"], "one");
}

#[test]
fn one_connection_serves_every_path_in_turn() {
    let backend = Backend::start();
    let mut client = backend.client();
    let mut get = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
        client.response().unwrap()
    };
    assert_eq!(json(&get("/"))["path"], "/");
    assert_eq!(json(&get("/headers"))["headers"]["host"], "h");
    assert_eq!(get("/status/503").status, 503);
    assert_eq!(get("/status/204").status, 204);
    assert_eq!(get("/status/100").status, 400);
    assert_eq!(json(&get("/delay/0.01"))["path"], "/delay/0.01");
    assert_eq!(get("/delay/9999").status, 400);
    let missing = get("/httpbin/get");
    assert_eq!((missing.status, json(&missing)["request"]["path"].clone()), (404, "/httpbin/get".into()));
}

#[test]
fn bytes_are_counted_and_streams_are_chunked() {
    let backend = Backend::start();
    let mut client = backend.client();
    client.send("GET /bytes/200000 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let response = client.response().unwrap();
    assert_eq!(response.header("content-length"), Some("200000"));
    assert!(response.body.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
    client.send("HEAD /bytes/200000 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let response = client.response_to("HEAD").unwrap();
    assert_eq!((response.header("content-length"), response.body.len()), (Some("200000"), 0));
    client.send("GET /stream/3 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let response = client.response().unwrap();
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    let ids: Vec<_> = response
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [0, 1, 2]);
}
