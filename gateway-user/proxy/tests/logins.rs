//! Backends that log in a connection and not a request.

mod support;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_io::Driver;
use support::Gateway;
use support::backend::{Backend, Exchange};
use support::ir::Config;

on_every_driver![
    a_login_is_its_clients_alone,
    a_login_without_a_challenge_is_private_too,
    ordinary_challenges_leave_connections_shared,
];

const NTLM: &str =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\", NTLM\r\nContent-Length: 0\r\n\r\n";

/// The client that logged the connection in is the one that asks.
fn serve(mut exchange: Exchange, first: &str) {
    let mut user = None;
    let mut open = 0;
    while let Some(request) = exchange.request() {
        if let Some(credentials) = request.header("authorization") {
            open += 1;
            // The second message of the client's is the one that proves something.
            if open == 2 || first.is_empty() {
                user = credentials.split(' ').nth(1).map(str::to_owned);
            }
        }
        let response = match &user {
            Some(user) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{user}", user.len()),
            None if first.is_empty() => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nnobody".to_owned(),
            None => first.to_owned(),
        };
        if exchange.stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

fn get(credentials: &str) -> String {
    let field =
        if credentials.is_empty() { String::new() } else { format!("Authorization: {credentials}\r\n") };
    format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n")
}

fn a_login_is_its_clients_alone(driver: Driver) {
    let backend = Backend::start(|exchange| serve(exchange, NTLM));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut a = gateway.connect();
    for (credentials, status) in
        [("", 401), ("NTLM negotiate", 401), ("NTLM anna", 200), ("", 200), ("", 200)]
    {
        a.send(get(credentials)).unwrap();
        let response = a.response().unwrap();
        assert_eq!(response.status, status, "{credentials}");
        if status == 200 {
            assert_eq!(response.text(), "anna", "the same connection of the backend's");
        }
    }
    assert_eq!(backend.accepted(), 1);
    for _ in 0..5 {
        assert_eq!(gateway.get("/").status, 401, "nobody else is taken for the first client");
    }
    // With the client its connection goes.
    let opened = backend.accepted();
    drop(a);
    gateway.until("the client to be gone", |counters| counters.connections == 0);
    assert_eq!(gateway.get("/").status, 401);
    assert_eq!(backend.accepted(), opened + 1);
}

fn a_login_without_a_challenge_is_private_too(driver: Driver) {
    let backend = Backend::start(|exchange| serve(exchange, ""));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut a = gateway.connect();
    for credentials in ["Negotiate bert", ""] {
        a.send(get(credentials)).unwrap();
        assert_eq!(a.response().unwrap().text(), "bert");
    }
    assert_eq!(gateway.get("/").text(), "nobody");
}

fn ordinary_challenges_leave_connections_shared(driver: Driver) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let backend = Backend::answering(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"NTLM\"\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    for _ in 0..3 {
        let mut client = gateway.connect();
        client.send(get("Basic YTpi")).unwrap();
        assert_eq!(client.response().unwrap().status, 401);
    }
    assert_eq!((asked.load(Ordering::SeqCst), backend.accepted()), (3, 1));
}
