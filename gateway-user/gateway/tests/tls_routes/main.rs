//! TLS listeners: the whole gateway over YAML, on every steering path and driver, over both families.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/ends.rs"]
mod ends;

mod policies;
mod resources;

use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Running, metric, sluice, text, with_gateway_flags};
use ends::{connect, exchange, is_reset};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::tls;
use gateway_testkit::wait;
use nix::sys::signal::Signal;
use resources::{Certificates, resources, start_backends};
use rustls::ClientConfig;

/// The response to `said` for that name, up to the end, which is in order.
fn ask(to: SocketAddr, name: &str, client: &Arc<ClientConfig>, said: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = tls::connect(to, name, client)?.into_stream();
    stream.write_all(said)?;
    stream.conn.send_close_notify();
    stream.conn.complete_io(&mut stream.sock)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

fn play(label: &str, flags: &'static [&'static str]) {
    with_gateway_flags(label, flags, move |_, running: &mut Running| {
        let certificates = Certificates::new();
        start_backends(&certificates);
        let secrets =
            certificates.web.secret("ingress", "web") + &certificates.ends.secret("ingress", "ends");
        running.config.write("secrets.yaml", &secrets).unwrap();
        running.config.write("tls.yaml", &resources()).unwrap();
        let client = certificates.client();
        let v4: SocketAddr = ([127, 0, 0, 1], 443).into();
        let v6: SocketAddr = (std::net::Ipv6Addr::LOCALHOST, 443).into();
        wait::until(&format!("the listeners; the gateway says:\n{}", running.log()), || {
            ask(v4, "a.b.example", &client, b"x").ok()
        });
        let is_steered = flags.contains(&"ebpf");
        let steered = || metric("sluice_steering_verdicts_total", &["verdict=\"steered\""]);
        let before = if is_steered { steered() } else { 0.0 };
        let long: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for to in [v4, v6] {
            let mut web = tls::connect(to, "web.example", &client).unwrap();
            assert_eq!(web.get("web.example", "/get").unwrap().status, 200);
            assert!(ask(to, "ends.example", &client, &long).unwrap() == long, "{to}: another body");
            for name in ["a.b.example", "c.b.example"] {
                let want = [format!("{name}\n").as_bytes(), &long].concat();
                assert!(ask(to, name, &client, &long).unwrap() == want, "{to}, {name}: another body");
            }
        }
        if is_steered {
            assert!(steered() >= before + 8.0, "connections came by another way");
        }
        counted(v4, &client);
        stock_tools(&certificates);
        says_the_same(running);
        policies::are_followed(running, v4, &client, &certificates);
        edits(running, v4, &client);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        running.gateway.wait();
        running.gateway.wait_for_output("\"tls_server_name\":\"a.b.example\"");
    });
}

/// Connections and refusals by listener, route and reason.
fn counted(to: SocketAddr, client: &Arc<ClientConfig>) {
    let count = |labels: &[&str]| metric("sluice_tcp_connection_duration_seconds_count", labels);
    for (listener, route, at_least) in
        [("ends", "ends", 2.0), ("passes", "exact", 3.0), ("passes", "wild", 2.0)]
    {
        let listener = format!("sluice_listener=\"ingress/data/{listener}\"");
        let route = format!("sluice_route=\"team2/{route}\"");
        wait::until("the count", || (count(&[&listener, &route]) >= at_least).then_some(()));
    }
    // A listener has the name, and no route for it; where TLS is passed on alone, there is no listener for it.
    assert!(is_reset(ask(to, "other.example", client, b"x")));
    let alone = SocketAddr::new(to.ip(), 8443);
    assert!(is_reset(ask(alone, "web.example", client, b"x")));
    for reason in ["no_route_for_host", "no_listener_for_host"] {
        let reason = format!("error_type=\"{reason}\"");
        wait::until("a refusal", || (count(&[&reason]) >= 1.0).then_some(()));
    }
    // Where a listener ends TLS there is an alert for it.
    let refused = ask(to, "web.example.org", client, b"x").unwrap_err();
    assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
    assert!(metric("sluice_tls_handshakes_total", &[]) >= 4.0);
}

/// OpenSSL's client against OpenSSL's server, where it is installed.
fn stock_tools(certificates: &Certificates) {
    let has =
        |program: &str| Command::new(program).arg("version").output().is_ok_and(|one| one.status.success());
    if !has("openssl") {
        return;
    }
    let dir = Scratch::new("tls-routes-openssl").unwrap();
    dir.write("crt.pem", &certificates.stock.certificate).unwrap();
    dir.write("key.pem", &certificates.stock.key).unwrap();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-accept", "127.0.0.1:15445", "-www"]);
    server.arg("-cert").arg(dir.join("crt.pem")).arg("-key").arg(dir.join("key.pem"));
    let _server = Guarded::spawn(&mut server).unwrap();
    wait::until("openssl s_server", || connect(([127, 0, 0, 1], 15445).into()).ok());
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = Command::new("openssl");
        client.args([
            "s_client",
            "-connect",
            "127.0.0.1:443",
            "-servername",
            "stock.example",
            "-quiet",
            version,
        ]);
        client.arg("-CAfile").arg(dir.join("crt.pem")).arg("-verify_return_error");
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        client.stdin.take().unwrap().write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("HTTP/1.0 200 ok"), "{version}: {said}{}", text(&output));
    }
}

/// `check`, `explain` and the gateway agree.
fn says_the_same(running: &Running) {
    let dir = running.config.path().to_str().unwrap();
    for (target, parts) in [
        (
            "tls://a.b.example:443",
            &[
                "listener ingress/data/passes for host *.example takes server name \"a.b.example\"",
                "mode Passthrough",
                "TLSRoute team2/exact rules[0] takes the connection",
                "to Service team2/exact:443 over TCP at 127.0.0.1:15443",
            ][..],
        ),
        (
            "tls://ENDS.example:443",
            &["mode Terminate", "Secret ingress/ends", "TLSRoute team2/ends rules[0]"],
        ),
    ] {
        let explained = sluice(&["explain", dir, target]);
        let said = text(&explained);
        assert!(explained.status.success(), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in {said}");
    }
    for (args, said) in [
        (&["tls://other.example:443"][..], "no_route_for_host"),
        (&["tls://web.example:8443"], "no_listener_for_host"),
        (&["tls://web.example.org:443"], "unrecognized_name"),
        (&["tls://web.example:443"], "ask with METHOD https://"),
        (&["tls://a.example:80"], "ask with METHOD http://"),
        (&["tcp://127.0.0.1:443"], "tls://"),
        (&["GET", "https://a.b.example/"], "ask with tls://"),
    ] {
        let explained = sluice(&[&["explain", dir], args].concat());
        let all = text(&explained);
        assert!(!explained.status.success() && all.contains(said), "{args:?}: {all}");
    }
    let checked = sluice(&["check", dir]);
    assert!(checked.status.success(), "{}", text(&checked));
}

/// A connection goes on while its route is another one, and new ones follow the new one.
fn edits(running: &Running, to: SocketAddr, client: &Arc<ClientConfig>) {
    let mut held = tls::connect(to, "ends.example", client).unwrap().into_stream();
    exchange(&mut held, 1).unwrap();
    running.edit("tls.yaml", "{name: ends, port: 443, weight: 1}", "{name: ends, port: 443, weight: 0}");
    wait::until("connections without a backend to be reset", || {
        is_reset(ask(to, "ends.example", client, b"x")).then_some(())
    });
    exchange(&mut held, 2).unwrap();
    running.edit("tls.yaml", "{name: ends, port: 443, weight: 0}", "{name: ends, port: 443, weight: 1}");
    wait::until("the backend's return", || ask(to, "ends.example", client, b"x").ok());
    exchange(&mut held, 3).unwrap();
}

#[test]
fn connections_over_steering_and_io_uring() {
    play("tls-routes-ebpf-uring", &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn connections_over_steering_and_epoll() {
    play("tls-routes-ebpf-epoll", &["--steering", "ebpf", "--io", "epoll"]);
}

#[test]
fn connections_over_own_ports_and_io_uring() {
    play(
        "tls-routes-reuseport-uring",
        &["--steering", "reuseport", "--io", "uring", "--ring-entries", "256"],
    );
}

#[test]
fn connections_over_own_ports_and_epoll() {
    play("tls-routes-reuseport-epoll", &["--steering", "reuseport", "--io", "epoll"]);
}
