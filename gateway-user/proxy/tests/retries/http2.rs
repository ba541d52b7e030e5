//! Retries where clients, backends, or both speak HTTP/2.

use std::sync::{Arc, Mutex};

use gateway_io::Driver;
use gateway_testkit::http2::client::{connected, send};
use h2::Reason;
use http::{Request, Response, StatusCode};

use crate::support::Gateway;
use crate::support::h2_backend::{Exchange, H2Backend, send as respond};
use crate::support::ir::Config;
use crate::{failing, on_every_driver, retry};

on_every_driver![
    a_client_over_http_2_is_served_by_retries,
    a_backend_over_http_2_is_asked_again,
    calls_that_nobody_took_are_made_again,
];

fn post(path: &str) -> Request<()> {
    Request::post(format!("http://a{path}")).body(()).unwrap()
}

fn a_client_over_http_2_is_served_by_retries(driver: Driver) {
    let (backend, seen) = failing(503, 2);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[503], 3)));
    let whole = connected(gateway.address, |mut client| async move {
        send(&mut client, post("/"), &[b"hello ", b"world"], None).await.unwrap()
    });
    assert_eq!((whole.text(), seen.count()), ("up", 3));
}

/// Does in turn what is written, and tells the length of each body.
fn scripted(
    statuses: &'static [Option<u16>],
    fields: &'static [(&'static str, &'static str)],
) -> (H2Backend, Arc<Mutex<Vec<usize>>>) {
    let seen = Arc::<Mutex<Vec<usize>>>::default();
    let own = Arc::clone(&seen);
    let backend = H2Backend::start(move |mut exchange: Exchange| {
        let own = Arc::clone(&own);
        async move {
            let Some((body, _)) = exchange.body().await else { return };
            let at = {
                let mut seen = own.lock().unwrap();
                seen.push(body.len());
                seen.len() - 1
            };
            let Some(status) = statuses.get(at).copied().unwrap_or(Some(200)) else {
                return exchange.response.send_reset(Reason::INTERNAL_ERROR);
            };
            let mut head = Response::new(());
            *head.status_mut() = StatusCode::from_u16(status).unwrap();
            if at < statuses.len() {
                let named = fields.iter().map(|(name, value)| (*name, value.parse().unwrap()));
                named.for_each(|(name, value)| drop(head.headers_mut().insert(name, value)));
                drop(exchange.response.send_response(head, true));
                return;
            }
            let Ok(stream) = exchange.response.send_response(head, false) else { return };
            let _ = respond(stream, "up".into(), None).await;
        }
    });
    (backend, seen)
}

fn a_backend_over_http_2_is_asked_again(driver: Driver) {
    let (backend, seen) = scripted(&[Some(503), Some(500)], &[]);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()).retry(&retry(&[500, 503], 2)));
    let response = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((response.text().as_str(), seen.lock().unwrap().as_slice()), ("up", [5; 3].as_slice()));
    let (backend, seen) = scripted(&[Some(503), None], &[]);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()).retry(&retry(&[503], 2)));
    let asked = |method: Request<()>| {
        connected(gateway.address, |mut client| async move {
            send(&mut client, method, &[b"hello"], None).await.unwrap()
        })
    };
    let put = asked(Request::put("http://a/").body(()).unwrap());
    assert_eq!((put.text(), seen.lock().unwrap().len()), ("up", 3));
    // A reset of a stream says no more than the end of a connection.
    let (backend, seen) = scripted(&[None], &[]);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()).retry(&retry(&[503], 2)));
    let whole = connected(gateway.address, |mut client| async move {
        send(&mut client, post("/"), &[b"hello"], None).await.unwrap()
    });
    assert_eq!((whole.status.as_u16(), seen.lock().unwrap().len()), (502, 1));
}

fn calls_that_nobody_took_are_made_again(driver: Driver) {
    const UNAVAILABLE: &[(&str, &str)] = &[("content-type", "application/grpc"), ("grpc-status", "14")];
    let (backend, seen) = scripted(&[Some(200)], UNAVAILABLE);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()).retry(&retry(&[], 1)));
    let whole = connected(gateway.address, |mut client| async move {
        let call =
            Request::post("http://a/a.B/C").header("content-type", "application/grpc").body(()).unwrap();
        send(&mut client, call, &[b"\0\0\0\0\x02hi"], None).await.unwrap()
    });
    assert_eq!((whole.text(), seen.lock().unwrap().as_slice()), ("up", [7; 2].as_slice()));
}
