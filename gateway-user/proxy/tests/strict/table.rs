//! Rows and how they are checked.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};

use gateway_http::h1::path::Separators;
use gateway_io::Driver;
use gateway_proxy::ProxyConfig;

use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;

/// One connection: what is sent on it and what comes of that.
pub(crate) struct Row {
    /// The point of the row.
    pub(crate) why: &'static str,
    /// Bytes from the client.
    pub(crate) wire: &'static str,
    /// Answers, in order.
    pub(crate) answers: &'static [Expected],
    /// The requests that the backend has seen in the end.
    pub(crate) seen: Seen,
}

/// One answer.
#[derive(Debug)]
pub(crate) enum Expected {
    /// The backend's.
    Backend,
    /// Our own: status and reason code.
    LocalReply(u16, &'static str),
    /// The same to a request that cannot be trusted: the connection is closed after it.
    Refused(u16, &'static str),
}

/// The requests that reached the backend.
#[derive(Debug)]
pub(crate) enum Seen {
    Nothing,
    /// These bytes. `{ours HOST}` stands for the fields that we write, in their order.
    Whole(&'static str),
    /// The beginning of these, and then the end of the connection: no body that looks whole.
    Cut(&'static str),
}

pub(crate) fn defaults() -> ProxyConfig {
    ProxyConfig::default()
}

pub(crate) fn no_encoded_separators() -> ProxyConfig {
    let mut config = ProxyConfig::default();
    config.path.separators = Separators::Refuse;
    config
}

pub(crate) fn kept_separators() -> ProxyConfig {
    let mut config = ProxyConfig::default();
    config.path.separators = Separators::Keep;
    config
}

pub(crate) fn kept_trailers() -> ProxyConfig {
    ProxyConfig { request_trailers: true, ..ProxyConfig::default() }
}

/// Plays every row on a connection of its own, to a backend of its own; tells of all that differ.
pub(crate) fn check(driver: Driver, proxy: &ProxyConfig, rows: &[Row]) {
    let faults: Vec<String> = rows
        .iter()
        .filter_map(|row| play(driver, proxy, row).err().map(|fault| format!("{}: {fault}", row.why)))
        .collect();
    assert!(faults.is_empty(), "{} of {} rows:\n{}", faults.len(), rows.len(), faults.join("\n"));
}

fn play(driver: Driver, proxy: &ProxyConfig, row: &Row) -> Result<(), String> {
    let (backend, seen) = recorder();
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy.clone());
    let mut client = gateway.connect();
    client.send(row.wire).unwrap();
    for told in row.answers {
        let answer = client.response().map_err(|error| format!("no answer: {error}"))?;
        let got = (answer.status, answer.reason().unwrap_or("from the backend"));
        let wanted = match told {
            Expected::Backend => (200, "from the backend"),
            Expected::LocalReply(status, reason) | Expected::Refused(status, reason) => (*status, *reason),
        };
        if got != wanted {
            return Err(format!("answered {got:?} instead of {wanted:?}"));
        }
        if matches!(told, Expected::Refused(..)) && !client.at_end().unwrap() {
            return Err("not closed after a refusal".to_owned());
        }
    }
    drop(client);
    drop(gateway);
    // With the worker every connection to the backend has ended.
    drop(backend);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    compare(&row.seen, &String::from_utf8_lossy(&seen))
}

/// Sends what is no whole request: it is waited for, not answered, and reaches nobody.
pub(crate) fn check_unfinished(driver: Driver, rows: &[&str]) {
    let (backend, seen) = recorder();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let clients: Vec<_> = rows
        .iter()
        .map(|wire| {
            let mut client = gateway.connect();
            client.send(wire).unwrap();
            client
        })
        .collect();
    // Later than all of them, and answered: so they had their turn.
    gateway.until("all of them", |counters| counters.connections == rows.len() as u64);
    assert_eq!(gateway.get("/after").status, 200);
    for (mut client, wire) in clients.into_iter().zip(rows) {
        // Half of a request is no reason for a response; its client going is none either.
        client.stream().shutdown(Shutdown::Write).unwrap();
        let said = client.rest().unwrap();
        assert!(said.is_empty(), "{wire:?}: {}", String::from_utf8_lossy(&said));
    }
    drop(gateway);
    drop(backend);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(seen.windows(4).filter(|bytes| bytes == b"GET ").count(), 1, "only the whole request");
}

/// A backend that responses each whole request with 200 and remembers every byte.
fn recorder() -> (Backend, Arc<Mutex<Vec<u8>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let backend = Backend::start(move |mut exchange| {
        let (mut pending, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let read = exchange.stream.read(&mut buffer).unwrap_or(0);
            if read == 0 {
                return;
            }
            record.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            pending.extend_from_slice(&buffer[..read]);
            while let Some(length) = whole(&pending) {
                pending.drain(..length);
                if exchange.stream.write_all(&ok("seen")).is_err() {
                    return;
                }
            }
        }
    });
    (backend, seen)
}

/// Bytes of the first request, once it is whole: in the simplest reading there is.
fn whole(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    if text[..head.min(text.len())].contains("transfer-encoding: chunked") {
        // The last chunk and a trailer section end in an empty line.
        let body = &bytes[head..];
        let last = body
            .windows(3)
            .position(|three| three == b"0\r\n")
            .filter(|at| *at == 0 || body[..*at].ends_with(b"\r\n"))?;
        let end = body[last + 1..].windows(4).position(|four| four == b"\r\n\r\n")?;
        return Some(head + last + 1 + end + 4);
    }
    let length = text[..head.min(text.len())]
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.trim().parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}

fn compare(wanted: &Seen, seen: &str) -> Result<(), String> {
    let wanted = match wanted {
        Seen::Nothing => String::new(),
        Seen::Whole(bytes) => fill(bytes, seen),
        Seen::Cut(bytes) if fill(bytes, seen).starts_with(seen) && whole(seen.as_bytes()).is_none() => {
            return Ok(());
        }
        Seen::Cut(bytes) => format!("a beginning of {}", fill(bytes, seen)),
    };
    if seen == wanted { Ok(()) } else { Err(format!("the backend saw\n  {seen:?} instead of\n  {wanted:?}")) }
}

/// The listener's port, as we told the backend.
fn port(seen: &str) -> &str {
    let rest = seen.split_once("x-forwarded-port: ").map_or("", |(_, rest)| rest);
    rest.split("\r\n").next().unwrap_or_default()
}

/// Puts our own fields in; each request's id is the one that the backend saw, if it is one.
fn fill(expected: &str, seen: &str) -> String {
    let port = port(seen);
    let mut ids = seen.split("x-request-id: ").skip(1).map(|rest| rest.split("\r\n").next().unwrap_or(""));
    let mut parts = expected.split("{ours ");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (host, rest) = part.split_once('}').expect("a closing brace");
        let id = ids.next().unwrap_or_default();
        let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = if valid { id } else { "an id" };
        filled += &format!(
            "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: {host}\r\n\
             x-forwarded-port: {port}\r\nx-request-id: {id}\r\n{rest}"
        );
    }
    filled
}
