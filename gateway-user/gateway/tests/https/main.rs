//! HTTPS listeners: the whole gateway, real TLS clients.

#[path = "../common/mod.rs"]
mod common;

mod staples;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use common::{Running, metric, sluice, text, with_gateway_flags};
use gateway_testkit::http::Client;
use gateway_testkit::process::Guarded;
use gateway_testkit::tls::{self, SelfSigned, Versions};
use gateway_testkit::wait;
use nix::sys::signal::Signal;

/// Listeners by name, by wildcard, for the rest, and one whose Secret is not there.
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: one, protocol: HTTPS, port: 443, hostname: one.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
  - {name: wild, protocol: HTTPS, port: 443, hostname: '*.wild.example', allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: wild}]}}
  - {name: bare, protocol: HTTPS, port: 443, hostname: bare.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: nobody}]}}
  - {name: new, protocol: HTTPS, port: 8443, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}], options: {sluice.dev/min-tls-version: '1.3'}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: secure, namespace: team2}
spec:
  parentRefs: [{name: secure, namespace: ingress}]
  rules:
  - backendRefs: [{name: httpbin, port: 8000}]
  - matches: [{path: {value: /elsewhere}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: other.example}}]
";

const NAMES: [&str; 2] = ["one.example", "*.wild.example"];

fn https() -> SocketAddr {
    ([127, 0, 0, 1], 443).into()
}

/// Puts the Gateway and its Secrets beside the example, and waits until it is served.
fn serve(running: &Running) -> [SelfSigned; 2] {
    let certificates = NAMES.map(|name| SelfSigned::new(&[name]));
    let [one, wild] = &certificates;
    running
        .config
        .write("secrets.yaml", &(one.secret("ingress", "one") + &wild.secret("ingress", "wild")))
        .unwrap();
    running.config.write("secure.yaml", GATEWAY).unwrap();
    let client = tls::client(&[one], Versions::New);
    wait::until("the listener", || tls::connect(https(), "one.example", &client).ok());
    certificates
}

/// How often handshakes failed for that reason.
fn failed(reason: &str) -> f64 {
    metric("sluice_tls_handshake_failures_total", &[&format!("reason=\"{reason}\"")])
}

/// Error of the handshake for `name`.
fn refusal(to: SocketAddr, name: &str, client: &Arc<rustls::ClientConfig>) -> String {
    match tls::connect(to, name, client) {
        Ok(_) => panic!("{name} is served"),
        Err(error) => error.to_string(),
    }
}

fn listeners_by_name(flags: &'static [&'static str], label: &str) {
    with_gateway_flags(label, flags, |_, running| {
        let [one, wild] = serve(running);
        for versions in [Versions::Old, Versions::New] {
            let client = tls::client(&[&one, &wild], versions);
            for (name, shown) in [("one.example", &one), ("a.wild.example", &wild), ("b.wild.example", &wild)]
            {
                let mut kept = tls::connect(https(), name, &client).unwrap();
                assert_eq!(tls::shown(&kept), Some(shown.der()), "{name}");
                assert_eq!(kept.stream().conn.alpn_protocol(), None, "none was asked for");
                for _ in 0..3 {
                    let response = kept.get(name, "/headers").unwrap();
                    assert_eq!(response.status, 200, "{name}");
                    assert!(
                        response.text().contains("\"x-forwarded-proto\": \"https\""),
                        "{}",
                        response.text()
                    );
                }
                let moved = kept.get(name, "/elsewhere/x").unwrap();
                assert_eq!(moved.header("location"), Some("https://other.example/elsewhere/x"));
                let large = kept.get(name, "/bytes/300000").unwrap();
                assert_eq!((large.status, large.body.len()), (200, 300_000));
                let body = vec![b'x'; 200_000];
                kept.send(format!(
                    "POST /post HTTP/1.1\r\nHost: {name}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ))
                .unwrap();
                kept.send(&body).unwrap();
                let echoed = kept.response().unwrap();
                assert!(echoed.status == 200 && echoed.text().contains("\"length\": 200000"), "{name}");
                kept.send(format!("GET /get HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")).unwrap();
                assert_eq!(kept.response().unwrap().status, 200);
                // Without close_notify this is an error.
                assert!(kept.at_end().unwrap());
            }
            misdirected(&client);
        }
        explained(&running.config.path().display().to_string());
        refused(&[&one, &wild]);
        assert!(metric("sluice_tls_handshakes_total", &[]) >= 8.0);
    });
}

/// A host of another listener is told to come again; one that nobody serves is not there.
fn misdirected(client: &Arc<rustls::ClientConfig>) {
    let mut kept = tls::connect(https(), "a.wild.example", client).unwrap();
    for (host, status, reason) in [
        ("one.example", 421, Some("misdirected_request")),
        ("bare.example", 421, Some("misdirected_request")),
        ("b.wild.example", 200, None),
        ("nobody.example", 404, Some("no_listener_for_host")),
        ("a.wild.example:443", 200, None),
    ] {
        let response = kept.get(host, "/get").unwrap();
        assert_eq!((response.status, response.reason()), (status, reason), "{host}");
    }
}

/// Explain says the same of such a connection.
fn explained(dir: &str) {
    let ask = |url: &str, sni: &str| text(&sluice(&["explain", dir, "GET", url, "--sni", sni]));
    let misdirected = ask("https://one.example/get", "a.wild.example");
    assert!(misdirected.contains("421 misdirected_request"), "{misdirected}");
    let coalesced = ask("https://b.wild.example/get", "a.wild.example");
    assert!(coalesced.contains("takes the request"), "{coalesced}");
    let nobody = ask("https://nobody.example/get", "a.wild.example");
    assert!(nobody.contains("404 no_listener_for_host"), "{nobody}");
    assert!(ask("http://one.example/get", "one.example").contains("--sni: a request by http://"));
    assert!(ask("https://one.example/get", "*.example").contains("write a DNS name without wildcards"));
    let connection = text(&sluice(&["explain", dir, "tls://one.example:443", "--sni", "one.example"]));
    assert!(connection.contains("the host of tls:// is its server name"), "{connection}");
}

fn refused(trusted: &[&SelfSigned]) {
    let (old, new) = (tls::client(trusted, Versions::Old), tls::client(trusted, Versions::New));
    assert!(refusal(https(), "nobody.example", &new).contains("UnrecognisedName"));
    assert!(refusal(https(), "127.0.0.1", &old).contains("UnrecognisedName"));
    assert!(refusal(https(), "bare.example", &new).contains("InternalError"));
    let strict = ([127, 0, 0, 1], 8443).into();
    assert!(refusal(strict, "any.example", &old).contains("ProtocolVersion"));
    let stranger = tls::client(&[], Versions::New);
    assert!(refusal(https(), "one.example", &stranger).contains("UnknownIssuer"));
    let mut other = rustls::ClientConfig::clone(&new);
    other.alpn_protocols = vec![b"spdy/3".to_vec()];
    assert!(refusal(https(), "one.example", &Arc::new(other)).contains("NoApplicationProtocol"));
    let mut clear = Client::connect(https()).unwrap();
    clear.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n").unwrap();
    let response = clear.response().unwrap();
    assert_eq!(
        (response.status, response.reason()),
        (400, Some("plaintext_on_tls")),
        "nobody is served in the clear"
    );
    assert!(clear.at_end().unwrap());
    let reasons = [
        "unrecognized_name",
        "no_certificate",
        "no_common_version",
        "client_alert",
        "no_application_protocol",
        "not_tls",
    ];
    wait::until("the counters", || {
        let all = reasons.iter().all(|reason| failed(reason) >= 1.0);
        (all && failed("unrecognized_name") >= 2.0).then_some(())
    });
    assert_eq!(failed("unrecognized_name"), 2.0);
}

#[test]
fn listeners_are_told_apart_by_server_name_over_io_uring() {
    listeners_by_name(&["--io", "uring"], "https-uring");
}

#[test]
fn listeners_are_told_apart_by_server_name_over_epoll() {
    listeners_by_name(&["--io", "epoll"], "https-epoll");
}

/// Ends the load also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again and again on connections of its own and on kept ones, until told to stop; counts, and stops at
/// a failure.
fn ask_on(client: Arc<rustls::ClientConfig>, stop: &AtomicBool, asked: &AtomicU32) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let mut kept = tls::connect(https(), "one.example", &client)?;
        for _ in 0..5 {
            let response = kept.get("one.example", "/get")?;
            if response.status != 200 {
                return Err(io::Error::other(format!("status {}", response.status)));
            }
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[test]
fn certificates_are_renewed_without_touching_a_connection() {
    with_gateway_flags("https-renewal", &["--workers", "2"], |_, running| {
        let [first, wild] = serve(running);
        let mut renewals = vec![first];
        renewals.extend((0..4).map(|_| SelfSigned::new(&["one.example"])));
        let trusted: Vec<&SelfSigned> = renewals.iter().collect();
        // Without tickets, so that every connection sees the certificate of its moment.
        let mut client = rustls::ClientConfig::clone(&tls::client(&trusted, Versions::New));
        client.resumption = rustls::client::Resumption::disabled();
        let client = Arc::new(client);
        let (stop, asked) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            let load: Vec<_> =
                (0..3).map(|_| scope.spawn(|| ask_on(Arc::clone(&client), &stop, &asked))).collect();
            let stopping = StopOnDrop(&stop);
            let mut kept = tls::connect(https(), "one.example", &client).unwrap();
            for renewed in renewals.iter().skip(1) {
                let text = renewed.secret("ingress", "one") + &wild.secret("ingress", "wild");
                running.config.write("secrets.yaml", &text).unwrap();
                wait::until("the new certificate", || {
                    let fresh = tls::connect(https(), "one.example", &client).unwrap();
                    (tls::shown(&fresh) == Some(renewed.der())).then_some(())
                });
                assert_eq!(kept.get("one.example", "/get").unwrap().status, 200);
                assert_eq!(tls::shown(&kept), Some(renewals[0].der()), "it is the same connection");
            }
            drop(stopping);
            for thread in load {
                thread.join().unwrap().unwrap();
            }
        });
        assert!(asked.load(Ordering::Relaxed) > 0);
        let handshakes = metric("sluice_tls_handshakes_total", &[]);
        assert_eq!(metric("sluice_tls_resumed_total", &[]), 0.0, "of {handshakes}");
    });
}

#[test]
fn clients_come_back_with_a_ticket_to_any_worker() {
    with_gateway_flags("https-tickets", &["--workers", "2"], |_, running| {
        let [one, _] = serve(running);
        for versions in [Versions::Old, Versions::New] {
            let client = tls::client(&[&one], versions);
            // How many there were in all says less: a handshake by which the start was waited for may be
            // counted later.
            let resumed = || metric("sluice_tls_resumed_total", &[]);
            let before = resumed();
            for _ in 0..10 {
                // TLS 1.3 brings the tickets with the first response.
                let mut fresh = tls::connect(https(), "one.example", &client).unwrap();
                assert_eq!(fresh.get("one.example", "/get").unwrap().status, 200);
            }
            wait::until("all but the first to be counted", || (resumed() - before >= 9.0).then_some(()));
            assert_eq!(resumed() - before, 9.0, "{versions:?}");
        }
    });
}

#[test]
fn a_drain_says_goodbye_and_the_key_is_nowhere() {
    with_gateway_flags("https-drain", &["--access-log", "stdout", "--drain-min", "0s"], |_, running| {
        let [one, wild] = serve(running);
        let client = tls::client(&[&one], Versions::New);
        let mut idle = tls::connect(https(), "one.example", &client).unwrap();
        assert_eq!(idle.get("one.example", "/get").unwrap().status, 200);
        let dump = common::admin("/config_dump").text();
        let translated = text(&sluice(&["translate", &running.config.path().display().to_string()]));
        for printed in [&dump, &translated] {
            assert!(printed.contains("fingerprint") && printed.contains("not shown"), "{printed}");
        }
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(idle.at_end().unwrap(), "a close without close_notify is an error");
        running.gateway.wait();
        // Its last lines may still be in the pipe.
        running.gateway.wait_for_output("\"tls_version\":\"1.3\",\"tls_server_name\":\"one.example\"");
        let log = running.log();
        for certificate in [&one, &wild] {
            let line = certificate.key.lines().nth(1).unwrap();
            assert!(![&dump, &translated, &log].iter().any(|text| text.contains(line)), "the key is shown");
        }
    });
}

/// A take-over goes through the middle of TLS connections: they go on, and new ones are the new process's.
#[test]
fn a_take_over_cuts_no_connection() {
    with_gateway_flags("https-takeover", &["--workers", "2"], |inside, running| {
        let [one, _] = serve(running);
        let client = tls::client(&[&one], Versions::New);
        let mut kept = tls::connect(https(), "one.example", &client).unwrap();
        assert_eq!(kept.get("one.example", "/get").unwrap().status, 200);
        // Who rests between requests is told by the next response.
        thread::sleep(std::time::Duration::from_millis(1300));
        let mut next: Guarded = common::spawn_gateway(inside, running.config.path(), &["--workers", "2"]);
        wait::until("the hand-over", || next.output().contains("took over").then_some(()));
        let last = kept.get("one.example", "/get").unwrap();
        assert_eq!((last.status, last.header("connection")), (200, Some("close")));
        assert!(kept.at_end().unwrap());
        assert_eq!(metric("sluice_tls_resumed_total", &[]), 0.0);
        let mut fresh = tls::connect(https(), "one.example", &client).unwrap();
        assert_eq!(fresh.get("one.example", "/get").unwrap().status, 200);
        wait::until("a session of the old process", || {
            (metric("sluice_tls_resumed_total", &[]) == 1.0).then_some(())
        });
        next.signal(Signal::SIGTERM).unwrap();
        next.wait();
    });
}
