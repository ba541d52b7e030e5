//! Real clients and what their users' tools make, through the whole gateway: curl and openssl as they are
//! installed. One that is not there is printed as such.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{HTTP, Running, metric, sluice, text, with_gateway, with_gateway_flags};
use gateway_testkit::http::Client;
use gateway_testkit::tls::SelfSigned;
use gateway_testkit::wait;

/// Listeners by name, by wildcard and for the rest, and one that is marked for clients without a server name.
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: one, protocol: HTTPS, port: 443, hostname: one.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
  - {name: wild, protocol: HTTPS, port: 443, hostname: '*.wild.example', allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
  - {name: any, protocol: HTTPS, port: 8443, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
  - {name: marked, protocol: HTTPS, port: 9443, hostname: one.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}], options: {sluice.dev/default: 'true'}}}
  - {name: other, protocol: HTTPS, port: 9443, hostname: other.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: secure, namespace: team2}
spec:
  parentRefs: [{name: secure, namespace: ingress}]
  rules:
  - backendRefs: [{name: httpbin, port: 8000}]
  - matches: [{path: {value: /moved}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /there}}}]
";

/// True if a tool is installed; says so if not.
#[expect(clippy::print_stdout, reason = "for who reads why a test did nothing")]
fn has(tool: &str) -> bool {
    let there =
        Command::new(tool).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("{tool} is not installed: not run");
    }
    there
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Output of `openssl s_client` for a request.
fn s_client(arguments: &[&str], request: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-ign_eof"]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    text(&child.wait_with_output().unwrap())
}

fn request(host: &str) -> String {
    format!("GET /get HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Puts the Gateway beside the example, with that certificate, and waits until a client without any wish is
/// served.
fn serve(running: &Running, certificate: &SelfSigned) {
    running.config.write("secrets.yaml", &certificate.secret("ingress", "one")).unwrap();
    running.config.write("secure.yaml", GATEWAY).unwrap();
    wait::until("the listener", || {
        s_client(&["-connect", "127.0.0.1:8443"], &request("one.example")).contains("200 OK").then_some(())
    });
}

#[test]
fn server_names_with_a_final_dot_find_their_listener() {
    if !has("openssl") {
        return;
    }
    with_gateway("clients-dot", |_, running| {
        serve(running, &SelfSigned::new(&["one.example", "*.wild.example"]));
        for (port, name) in [
            ("443", "one.example."),
            ("443", "ONE.example."),
            ("443", "a.wild.example."),
            ("8443", "one.example."),
            ("8443", "nobody.example."),
        ] {
            let seen =
                s_client(&["-connect", &format!("127.0.0.1:{port}"), "-servername", name], &request(name));
            assert!(seen.contains("200 OK"), "{name} on {port}: {seen}");
        }
        let nobody = s_client(&["-connect", "127.0.0.1:443", "-servername", "nobody.example."], "");
        assert!(nobody.contains("unrecognized name"), "{nobody}");
    });
}

#[test]
fn clients_of_http_1_0_are_served() {
    if !has("openssl") || !has("curl") {
        return;
    }
    with_gateway("clients-alpn", |_, running| {
        serve(running, &SelfSigned::new(&["one.example"]));
        for protocol in ["http/1.0", "http/0.9", "http/1.0,http/1.1"] {
            let seen = s_client(
                &["-connect", "127.0.0.1:443", "-servername", "one.example", "-alpn", protocol],
                &request("one.example"),
            );
            assert!(seen.contains("200 OK"), "{protocol}: {seen}");
        }
        // curl 7.88 to 8.4 offers http/1.0 alone then.
        let status = run(Command::new("curl")
            .args(["-sk", "--http1.0", "--resolve", "one.example:443:127.0.0.1"])
            .args(["-o", "/dev/null", "-w", "%{http_code}", "https://one.example/get"]));
        assert_eq!(status, "200");
        // HTTP/1.0 without Host: the server name is the only name.
        let old = "GET /get HTTP/1.0\r\n\r\n";
        let seen = s_client(&["-connect", "127.0.0.1:443", "-servername", "one.example"], old);
        assert!(seen.contains("200 OK") && seen.contains("\"host\": \"one.example\""), "{seen}");
        let moved = "GET /moved HTTP/1.0\r\n\r\n";
        let seen = s_client(&["-connect", "127.0.0.1:443", "-servername", "one.example"], moved);
        assert!(seen.contains("location: https://one.example/there"), "{seen}");
    });
}

#[test]
fn http_2_is_served_by_alpn_and_by_prior_knowledge() {
    if !has("curl") {
        return;
    }
    with_gateway_flags("clients-http2", &["--access-log", "stdout"], |_, running| {
        serve(running, &SelfSigned::new(&["one.example"]));
        let curl = |args: &[&str], url: &str| {
            run(Command::new("curl")
                .args(["-sk", "--resolve", "one.example:443:127.0.0.1", "-o", "/dev/null"])
                .args(["-w", "%{http_version} %{http_code} %{size_upload}"])
                .args(args)
                .arg(url))
        };
        assert_eq!(curl(&[], "https://one.example/get"), "2 200 0");
        assert_eq!(curl(&["--http1.1"], "https://one.example/get"), "1.1 200 0");
        assert_eq!(curl(&["--http2-prior-knowledge"], "http://127.0.0.1/httpbin/get"), "2 200 0");
        // Offered by Upgrade it is ignored.
        assert_eq!(curl(&["--http2"], "http://127.0.0.1/httpbin/get"), "1.1 200 0");
        let body = "x".repeat(100_000);
        assert_eq!(
            curl(&["--http2-prior-knowledge", "-d", &body], "http://127.0.0.1/httpbin/post"),
            "2 200 100000"
        );
        assert_eq!(curl(&["--http2-prior-knowledge"], "http://127.0.0.1/nowhere"), "2 404 0");
        running.gateway.wait_for_output("\"protocol\":\"HTTP/2\"");
        assert!(metric("sluice_h2_connections_total", &[]) >= 4.0);
    });
}

#[test]
fn health_checks_without_a_server_name_find_the_marked_listener() {
    if !has("openssl") {
        return;
    }
    with_gateway("clients-nameless", |_, running| {
        serve(running, &SelfSigned::new(&["one.example"]));
        let nameless = |port: &str, request: &str| {
            s_client(&["-connect", &format!("127.0.0.1:{port}"), "-noservername"], request)
        };
        assert!(nameless("443", "").contains("unrecognized name"));
        for asked in [&*request("127.0.0.1:9443"), &*request("one.example"), "GET /get HTTP/1.0\r\n\r\n"] {
            let seen = nameless("9443", asked);
            assert!(seen.contains("200 OK"), "{asked}: {seen}");
        }
        let seen = nameless("9443", &request("other.example"));
        assert!(seen.contains("misdirected_request"), "{seen}");
        let explained = sluice(&[
            "explain",
            &running.config.path().display().to_string(),
            "GET",
            "https://127.0.0.1:9443/get",
        ]);
        let explained = text(&explained);
        assert!(explained.contains("routed as one for host \"one.example\""), "{explained}");
    });
}

/// A certificate and its key, made by openssl.
fn made(dir: &Path, arguments: &[&str]) -> SelfSigned {
    made_with(dir, "named_curve", arguments)
}

fn made_with(dir: &Path, encoding: &str, arguments: &[&str]) -> SelfSigned {
    let (certificate, key) = (dir.join("made.crt"), dir.join("made.key"));
    run(Command::new("openssl")
        .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-param_enc", encoding, "-out"])
        .arg(&key));
    run(Command::new("openssl")
        .args(["req", "-x509", "-days", "30", "-subj", "/CN=one.example", "-key"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .args(arguments));
    SelfSigned {
        certificate: fs::read_to_string(certificate).unwrap(),
        key: fs::read_to_string(key).unwrap(),
    }
}

/// Of version 1, as OpenSSL 3.0 and older make them without extensions.
fn version_1(dir: &Path) -> SelfSigned {
    let SelfSigned { key, .. } = made(dir, &[]);
    let request = dir.join("made.csr");
    run(Command::new("openssl")
        .args(["req", "-new", "-subj", "/CN=one.example", "-key"])
        .arg(dir.join("made.key"))
        .arg("-out")
        .arg(&request));
    let certificate = run(Command::new("openssl")
        .args(["x509", "-req", "-days", "30", "-signkey"])
        .arg(dir.join("made.key"))
        .arg("-in")
        .arg(&request));
    SelfSigned { certificate, key }
}

#[test]
fn certificates_that_clients_may_judge_are_served_with_a_warning() {
    if !has("openssl") || !has("curl") {
        return;
    }
    with_gateway("clients-certificates", |inside, running| {
        let dir = inside.scratch().path();
        let san = "subjectAltName=DNS:one.example";
        let good = made(dir, &["-addext", san]);
        let issuer = made(dir, &[]);
        let glued = SelfSigned {
            certificate: format!("{}{}", good.certificate.trim_end(), issuer.certificate),
            key: good.key.clone(),
        };
        let marked = SelfSigned {
            certificate: format!("\u{feff}{}", good.certificate),
            key: format!("\u{feff}{}", good.key),
        };
        let old = version_1(dir);
        let is_old = !old.certificate.is_empty() && {
            fs::write(dir.join("old.crt"), &old.certificate).unwrap();
            run(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(dir.join("old.crt")))
                .contains("Version: 1")
        };
        let critical = made(dir, &["-addext", san, "-addext", "certificatePolicies=critical,1.2.3.4"]);
        let explicit = made_with(dir, "explicit", &["-addext", san]);
        for (certificate, warning) in [
            (&good, None),
            (&explicit, Some("spells out its curve")),
            (&old, is_old.then_some("is X.509 version 1")),
            (&critical, Some("has the critical extension 2.5.29.32")),
            (&glued, Some("without a line break between them")),
            (&marked, None),
        ] {
            serve(running, certificate);
            let sections = certificate.certificate.matches("BEGIN CERTIFICATE").count();
            let first = certificate.certificate.trim_start_matches('\u{feff}');
            wait::until("the certificates", || {
                let shown = s_client_certificates();
                let all = shown.matches("BEGIN CERTIFICATE").count() == sections;
                (all && shown.starts_with(first.get(..200)?)).then_some(())
            });
            let seen = s_client(
                &["-connect", "127.0.0.1:443", "-servername", "one.example"],
                &request("one.example"),
            );
            assert!(seen.contains("200 OK"), "{warning:?}: {seen}");
            let checked = text(&sluice(&["check", &running.config.path().display().to_string()]));
            match warning {
                Some(warning) => assert!(checked.contains(warning), "{checked}"),
                None => assert!(!checked.contains("tls.crt"), "{checked}"),
            }
        }
    });
}

/// The chain that is shown for `one.example`, in PEM.
fn s_client_certificates() -> String {
    let seen = s_client_chain();
    let mut chain = String::new();
    let mut inside = false;
    for line in seen.lines() {
        inside |= line.starts_with("-----BEGIN CERTIFICATE");
        if inside {
            chain.push_str(line);
            chain.push('\n');
        }
        inside &= !line.starts_with("-----END");
    }
    chain
}

fn s_client_chain() -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", "127.0.0.1:443", "-servername", "one.example", "-showcerts"]);
    text(&command.stdin(Stdio::null()).output().unwrap())
}

fn send(wire: &str) -> gateway_testkit::http::Response {
    let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
    client.send(wire).unwrap();
    client.response().unwrap()
}

#[test]
fn refused_requests_say_in_the_log_what_was_read() {
    with_gateway_flags("clients-refused", &["--access-log", "stdout"], |_, running| {
        let cookie = "c".repeat(40_000);
        let long = "x".repeat(9_000);
        for (wire, status, want) in [
            (
                format!("GET /shop?a=b HTTP/1.1\r\nHost: a.example\r\nCookie: {cookie}\r\n\r\n"),
                431,
                r#""method":"GET","path":"/shop?a=b","protocol":"HTTP/1.1","response_code":431"#,
            ),
            (
                format!("PUT /{long} HTTP/1.1\r\nHost: a.example\r\n\r\n"),
                414,
                r#""method":"PUT","path":"/xxxxxx"#,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: magic\r\nAuthorization: secret\r\n\r\n".into(),
                417,
                r#""method":"GET","path":"/","protocol":"HTTP/1.1","response_code":417"#,
            ),
            (
                "GET http://user:secret@a.example/x HTTP/1.1\r\nHost: b\r\n\r\n".into(),
                400,
                r#""method":"GET","path":"/x","protocol":"HTTP/1.1","response_code":400"#,
            ),
            (
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n".into(),
                501,
                r#""method":"CONNECT","path":"","protocol":"HTTP/1.1","response_code":501"#,
            ),
            (
                "GET /\"\\\u{7f} HTTP/3.0\r\nHost: a.example\r\n\r\n".into(),
                400,
                r#""method":"GET","path":"/\"\\\u007f","protocol":"HTTP/3.0""#,
            ),
            (
                "GET /q HTTP/3.0\r\nHost: a.example\r\n\r\n".into(),
                505,
                r#""method":"GET","path":"/q","protocol":"HTTP/3.0","response_code":505"#,
            ),
        ] {
            assert_eq!(send(&wire).status, status, "{wire:.60}");
            running.gateway.wait_for_output(want);
        }
        let log = running.log();
        assert!(!log.contains("secret") && !log.contains("ccccc"), "{log}");
        let lines = log
            .lines()
            .filter(|line| line.contains("\"response_code\":4") || line.contains("\"response_code\":5"));
        for line in lines {
            assert!(line.len() < 2_500, "{line}");
            assert!(line.contains("\"authority\":\"a.example"), "{line}");
        }
    });
}

#[test]
fn an_empty_expectation_says_nothing() {
    if !has("curl") {
        return;
    }
    with_gateway("clients-expect", |_, _| {
        let status = run(Command::new("curl")
            .args(["-s", "-H", "Expect;", "-d", "a=b", "-o", "/dev/null"])
            .args(["-w", "%{http_code}", "http://127.0.0.1/httpbin/post"]));
        assert_eq!(status, "200");
        let seen = send("POST /httpbin/post HTTP/1.1\r\nHost: a\r\nExpect: , \r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(seen.status, 200);
        assert!(!seen.text().to_lowercase().contains("expect"), "{}", seen.text());
    });
}

#[test]
fn other_protocols_are_counted_and_told_once() {
    const FLAGS: &[&str] = &["--access-log", "stdout", "--http2", "false", "--upgrade-protocols", "none"];
    with_gateway_flags("clients-upgrades", FLAGS, |_, running| {
        let ask = |upgrade: &str| {
            send(&format!(
                "GET /httpbin/headers HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
            ))
        };
        for _ in 0..2 {
            for upgrade in ["websocket", "h2c", "made-up/1"] {
                let response = ask(upgrade);
                assert_eq!(response.status, 200, "{upgrade} may be ignored");
                assert!(!response.text().to_lowercase().contains("upgrade"), "{}", response.text());
            }
        }
        assert_eq!(send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status, 505);
        for (protocol, count) in
            [("websocket", 2.0), ("h2c", 2.0), ("other", 2.0), ("http2_prior_knowledge", 1.0), ("tls", 0.0)]
        {
            let label = format!("protocol=\"{protocol}\"");
            assert_eq!(metric("sluice_unsupported_protocols_total", &[&label]), count, "{protocol}");
        }
        running.gateway.wait_for_output("\"ignored_upgrade\":\"websocket\"");
        let log = running.log();
        assert_eq!(log.matches("WebSocket is not among --upgrade-protocols").count(), 1, "{log}");
        assert_eq!(log.matches("served over HTTP/1.1").count(), 2, "{log}");
    });
}

/// Servers that read `_` as `-` would take an alias for the proxy's own word.
#[test]
fn no_alias_of_a_forwarding_field_passes_a_trusted_proxy() {
    const FLAGS: &[&str] = &["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8", "--access-log", "stdout"];
    with_gateway_flags("clients-aliases", FLAGS, |_, running| {
        let names = [
            "X_Forwarded_For",
            "x-forwarded_for",
            "X_Forwarded-Proto",
            "X_Real_IP",
            "Remote_User",
            "Forwarded_",
        ];
        let lines: String = names.iter().map(|name| format!("{name}: 6.6.6.6\r\n")).collect();
        let seen = send(&format!(
            "GET /httpbin/headers HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.5,,10.0.0.1,\r\n{lines}\r\n"
        ));
        let seen = seen.text();
        assert!(seen.contains("203.0.113.5") && !seen.contains("6.6.6.6"), "{seen}");
        running.gateway.wait_for_output("\"client_address\":\"203.0.113.5\"");
    });
}
