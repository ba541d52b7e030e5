//! A fixed number of requests through an exchange, for a counter of instructions: `cargo xtask bench guard`.

use std::env;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gateway_ir::{Action, PathRewrite, Redirect};

use super::case::{Case, Fault, Lease, Request, Stage};
use super::wire::ScriptWire;
use super::{connection, ir, serve};
use crate::ProxyConfig;
use crate::connection::info::ConnInfo;
use crate::exchange::{Outcome, Scratch};

/// A browser's request, as far as its fields cost something.
fn head(method: &str, path: &str, rest: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
         Accept: text/html,application/xhtml+xml;q=0.9\r\nAccept-Language: en\r\n\
         Accept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n{rest}\r\n"
    )
}

/// Ten rules, of which the last but two takes most requests.
fn routes() -> ir::Config {
    let mut config = ir::Config::default();
    for number in 0..8 {
        config = config.rule(ir::forward(&format!("/other/{number}"), "app"));
    }
    let redirect = Redirect {
        scheme: Some("https".into()),
        hostname: None,
        path: Some(PathRewrite::Prefix("/new".into())),
        port: None,
        status: 302,
    };
    config
        .rule(ir::forward("/app", "app"))
        .rule(ir::rule("/old", Action::Redirect(redirect)))
        .endpoints("app", &[([203, 0, 113, 5], 80).into(), ([203, 0, 113, 6], 80).into()])
}

/// The wire of a row, and whether the backend has a part in it.
fn row(name: &str, info: &ConnInfo) -> (ScriptWire, bool) {
    let plain = Case { request: Request::Get, lease: Lease::Reused, stage: Stage::Whole, fault: Fault::None };
    let with_body = Case { request: Request::Put, ..plain };
    let chunked = Case { stage: Stage::Chunked, fault: Fault::BackendFin, ..plain };
    let (head, case, forwarded) = match name {
        "keep-alive" | "access-log" => (head("GET", "/app/items?page=2", ""), plain, true),
        "upload" => (head("PUT", "/app/items", "Content-Length: 6\r\n"), with_body, true),
        "cut" => (head("GET", "/app/items", ""), chunked, true),
        "not-found" => (head("GET", "/nowhere", ""), plain, false),
        "redirect" => (head("GET", "/old/items", ""), plain, false),
        other => panic!("no such row: {other}"),
    };
    (ScriptWire::with(&head, case, Rc::clone(&info.control)), forwarded)
}

/// Serves so many requests of a row.
fn serve_all(name: &str, requests: usize) {
    // A log line has durations in it, whose digits differ from run to run: in a row of its own.
    let proxy = ProxyConfig { access_log: name == "access-log", ..ProxyConfig::default() };
    let info = connection(&routes(), proxy);
    let (mut wire, forwarded) = row(name, &info);
    let mut scratch = Scratch::default();
    for _ in 0..requests {
        wire.rewind();
        let (ended, record) = {
            let mut serving = pin!(serve(&info, &mut wire, &mut scratch));
            // Nothing in these scripts waits.
            match serving.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(served) => served,
                Poll::Pending => panic!("{name} waits"),
            }
        };
        record.finish(&info.context, &scratch.text, None, info.peer, info.local);
        assert_eq!(wire.begun, forwarded, "{name}");
        assert_eq!(matches!(ended.outcome, Outcome::LocalReply(_)), !forwarded, "{name}");
        scratch.clear();
    }
}

/// Serves the row and number of requests that the environment names; without them each row a few times, so that every
/// suite shows that what is counted can be served.
#[test]
fn count() {
    let Ok(name) = env::var("SLUICE_GUARD_ROW") else {
        for name in ["keep-alive", "access-log", "upload", "cut", "not-found", "redirect"] {
            serve_all(name, 3);
        }
        return;
    };
    let requests = env::var("SLUICE_GUARD_REQUESTS").unwrap().parse().unwrap();
    serve_all(&name, requests);
}
