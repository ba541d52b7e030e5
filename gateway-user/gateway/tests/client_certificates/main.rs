//! Client certificates on listeners: the whole gateway over YAML, clients of three TLS libraries.

#[path = "../common/mod.rs"]
mod common;

mod programs;
mod resources;

use std::net::SocketAddr;
use std::sync::Arc;

use common::{HTTP, metric, sluice, text, with_gateway};
use gateway_testkit::http::{Client, Response};
use gateway_testkit::tls::{self, Authority, Leaf, SelfSigned, Versions};
use gateway_testkit::wait;
use rustls::ClientConfig;

use resources::{GATEWAYS, LAX, OPEN, STRICT, port, serve};

const ALIASES: [&str; 3] = ["X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-Forwarded_Client-Cert"];

/// A request's response by a connection of its own, or the failure of its handshake or of what comes behind it: in TLS 1.3 a
/// client learns there that it is refused.
fn asked(to: SocketAddr, host: &str, client: &Arc<ClientConfig>) -> Result<Response, String> {
    let mut connection = tls::connect(to, host, client).map_err(|error| error.to_string())?;
    connection.get(host, "/headers").map_err(|error| error.to_string())
}

/// The field in which the backend was told of the client's certificate.
fn told(response: &Response) -> Option<String> {
    let text = response.text();
    let line = text.lines().find(|line| line.contains("\"x-forwarded-client-cert\""))?;
    Some(line.split_once(": ")?.1.trim_end_matches(',').to_owned())
}

fn failed(reason: &str) -> f64 {
    metric("sluice_tls_handshake_failures_total", &[&format!("reason=\"{reason}\"")])
}

/// Waits until handshakes have failed for that reason more often than `before`.
#[track_caller]
fn wait_for_failure(reason: &str, before: f64) {
    wait::until(reason, || (failed(reason) > before).then_some(()));
}

#[test]
fn valid_certificates_are_let_in_and_told_and_others_are_not() {
    with_gateway("client-certificates", |_, running| {
        let (server, authority) = serve(running);
        let leaf = Leaf { names: &["client.example"], uris: &["spiffe://example.com/a"], ..Leaf::default() };
        let good = authority.sign(&leaf);
        let cases = [
            (None, "client_certificate_required"),
            (Some(Authority::new().issue(&["client.example"])), "client_certificate_unknown_ca"),
            (Some(authority.sign(&Leaf { expired: true, ..leaf.clone() })), "client_certificate_expired"),
            (Some(authority.sign(&Leaf { server_only: true, ..leaf })), "client_certificate_bad_usage"),
        ];
        for versions in [Versions::Old, Versions::New] {
            let client = tls::showing(&[&server], versions, Some(&good));
            let response = asked(port(443), STRICT, &client).unwrap();
            let told_of = told(&response).unwrap();
            assert!(
                response.status == 200
                    && told_of.starts_with("\"Hash=")
                    && told_of.contains("URI=spiffe://example.com/a;DNS=client.example"),
                "{told_of}"
            );
            let lax = asked(port(9443), LAX, &client).unwrap();
            assert_eq!(told(&lax), Some(told_of), "with a fallback a valid one counts too");
            let free = asked(port(8443), STRICT, &client).unwrap();
            assert_eq!((free.status, told(&free)), (200, None), "nobody is asked on that port");
            for (shown, reason) in &cases {
                let client = tls::showing(&[&server], versions, shown.as_ref());
                let before = failed(reason);
                assert!(asked(port(443), STRICT, &client).is_err(), "{reason}, {versions:?}");
                wait_for_failure(reason, before);
                let lax = asked(port(9443), LAX, &client).unwrap();
                assert_eq!((lax.status, told(&lax)), (200, None), "{reason}, {versions:?}");
            }
        }
        spoofed(&server, &good);
        misdirected(&server, &good);
        let directory = running.config.path().to_str().unwrap();
        let translated = text(&sluice(&["translate", directory]));
        assert!(translated.contains("InsecureFrontendValidationMode"), "{translated}");
        let explained = text(&sluice(&["explain", directory, "GET", "https://strict.example/"]));
        assert!(explained.contains("for clients with a certificate of ConfigMap/ingress/ca"), "{explained}");
    });
}

/// A client's own word is heard nowhere, neither in the clear nor beside a certificate.
fn spoofed(server: &SelfSigned, good: &SelfSigned) {
    let fields: String = ALIASES.iter().map(|name| format!("{name}: Hash=evil\r\n")).collect();
    let request = |host: &str, path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n")
    };
    let mut clear = Client::connect(HTTP.parse().unwrap()).unwrap();
    clear.send(request("any.example", "/httpbin/headers")).unwrap();
    let response = clear.response().unwrap();
    assert!(response.status == 200 && !response.text().contains("evil"), "{}", response.text());
    let client = tls::showing(&[server], Versions::New, Some(good));
    let mut secured = tls::connect(port(443), STRICT, &client).unwrap();
    secured.send(request(STRICT, "/headers")).unwrap();
    let response = secured.response().unwrap();
    assert!(!response.text().contains("evil") && told(&response).is_some(), "{}", response.text());
    let unknown = tls::showing(&[server], Versions::New, None);
    let mut lax = tls::connect(port(9443), LAX, &unknown).unwrap();
    lax.send(request(LAX, "/headers")).unwrap();
    let response = lax.response().unwrap();
    assert!(response.status == 200 && !response.text().contains("evil"), "{}", response.text());
}

/// A certificate counts for the listener that has asked for it, and no other connection comes in by another's.
fn misdirected(server: &SelfSigned, good: &SelfSigned) {
    let client = tls::showing(&[server], Versions::New, Some(good));
    for (name, host) in [(OPEN, STRICT), (STRICT, OPEN)] {
        let mut connection = tls::connect(port(443), name, &client).unwrap();
        assert_eq!(connection.get(name, "/headers").unwrap().status, 200, "{name}");
        let response = connection.get(host, "/headers").unwrap();
        assert_eq!(
            (response.status, response.reason()),
            (421, Some("misdirected_request")),
            "{host} on a connection for {name}"
        );
    }
}

#[test]
fn changed_authorities_count_at_once_and_for_old_sessions_too() {
    with_gateway("client-trust", |_, running| {
        let (server, authority) = serve(running);
        let other = Authority::new();
        let (good, new) = (authority.issue(&["client.example"]), other.issue(&["client.example"]));
        let clients =
            [Versions::Old, Versions::New].map(|versions| tls::showing(&[&server], versions, Some(&good)));
        for client in &clients {
            for _ in 0..2 {
                assert_eq!(asked(port(443), STRICT, client).unwrap().status, 200);
            }
        }
        wait::until("sessions to be resumed", || {
            (metric("sluice_tls_resumed_total", &[]) >= 2.0).then_some(())
        });
        running.config.write("ca.yaml", &other.config_map("ingress", "ca")).unwrap();
        let renewed = tls::showing(&[&server], Versions::New, Some(&new));
        wait::until("the new authority", || asked(port(443), STRICT, &renewed).ok());
        for client in &clients {
            let before = failed("client_certificate_unknown_ca");
            assert!(
                asked(port(443), STRICT, client).is_err(),
                "a ticket of the authority before is of no use"
            );
            wait_for_failure("client_certificate_unknown_ca", before);
        }
        assert_eq!(asked(port(443), OPEN, &renewed).unwrap().status, 200, "others are served all along");
    });
}

#[test]
fn without_an_authority_nobody_is_let_in() {
    with_gateway("client-no-trust", |_, running| {
        let (server, authority) = serve(running);
        let good = authority.issue(&["client.example"]);
        let client = tls::showing(&[&server], Versions::New, Some(&good));
        running.config.write("ca.yaml", "").unwrap();
        wait::until("refused handshakes", || {
            let strict = asked(port(443), STRICT, &client).err()?;
            let lax = asked(port(9443), LAX, &client).err()?;
            (strict.contains("InternalError") && lax.contains("InternalError")).then_some(())
        });
        assert_eq!(asked(port(443), OPEN, &client).unwrap().status, 200);
        assert_eq!(asked(port(8443), STRICT, &client).unwrap().status, 200, "nobody is asked there");
        let status = text(&sluice(&["status", "-o", "wide"]));
        assert!(
            status.contains("NoValidCACertificate") && status.contains("InvalidCACertificateRef"),
            "{status}"
        );
        let checked = text(&sluice(&["check", running.config.path().to_str().unwrap()]));
        assert!(checked.contains("tls.frontend.default.validation.caCertificateRefs[0]"), "{checked}");
        running.config.write("ca.yaml", &authority.config_map("ingress", "ca")).unwrap();
        wait::until("the authority", || asked(port(443), STRICT, &client).ok());
    });
}

#[test]
fn curl_and_openssl_show_certificates_and_cannot_carry_sessions_elsewhere() {
    with_gateway("client-programs", |_, running| {
        let (server, authority) = serve(running);
        let good = authority.issue(&["client.example"]);
        programs::try_all(&server, &good);
    });
}

/// The Gateways are what the other tests take them for.
#[test]
fn the_gateways_have_one_listener_without_a_check_on_the_port_of_one_with() {
    let checks = GATEWAYS.matches("validation").count();
    assert_eq!((checks, GATEWAYS.matches("port: 443").count()), (2, 2));
}
