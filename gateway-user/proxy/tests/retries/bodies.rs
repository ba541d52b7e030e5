//! Content that is sent again: all of it, to its end, and nothing that came behind it.

use std::sync::{Arc, Mutex};

use gateway_io::Driver;
use gateway_testkit::http::Response as Answer;
use h2::server::Builder;
use http::{Response, StatusCode};

use crate::support::Gateway;
use crate::support::h2_backend::{H2Backend, send};
use crate::support::ir::Config;
use crate::{failing, on_every_driver, retry};

on_every_driver![
    an_early_response_leaves_content_that_is_sent_again_whole,
    empty_content_without_a_length_is_sent_again_to_its_end,
];

/// Paths of requests and lengths of their content.
type Bodies = Arc<Mutex<Vec<(String, usize)>>>;

/// Gives the first request 503 once its body was read, and others the head of a response before it.
fn eager() -> (H2Backend, Bodies) {
    let seen = Bodies::default();
    let own = Arc::clone(&seen);
    let mut settings = Builder::new();
    // No more than that is sent before the head of the response has come.
    settings.initial_window_size(1000);
    let backend = H2Backend::with(settings, usize::MAX, move |mut exchange| {
        let own = Arc::clone(&own);
        async move {
            let path = exchange.request.uri().path().to_owned();
            let note = |len| own.lock().unwrap().push((path, len));
            if own.lock().unwrap().is_empty() {
                let Some((body, _)) = exchange.body().await else { return };
                note(body.len());
                let mut head = Response::new(());
                *head.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                drop(exchange.response.send_response(head, true));
                return;
            }
            let Ok(stream) = exchange.response.send_response(Response::new(()), false) else { return };
            let Some((body, _)) = exchange.body().await else { return };
            note(body.len());
            let _ = send(stream, "up".into(), None).await;
        }
    });
    (backend, seen)
}

fn an_early_response_leaves_content_that_is_sent_again_whole(driver: Driver) {
    let (backend, seen) = eager();
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()).retry(&retry(&[503], 1)));
    let mut client = gateway.connect();
    let body = "x".repeat(40_000);
    client
        .send(format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
            body.len()
        ))
        .unwrap();
    let texts = [(); 2].map(|()| client.response().as_ref().map(Answer::text).unwrap());
    assert_eq!(texts, ["up", "up"]);
    let expected = [("/a", 40_000), ("/a", 40_000), ("/b", 0)].map(|(path, len)| (path.to_owned(), len));
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(client.get("a", "/c").unwrap().text(), "up");
}

fn empty_content_without_a_length_is_sent_again_to_its_end(driver: Driver) {
    const EMPTY: &str = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let (backend, seen) = failing(503, 2);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[503], 2)));
    let mut client = gateway.connect();
    client.send(EMPTY).unwrap();
    assert_eq!(client.response().unwrap().text(), "up");
    assert_eq!(client.get("a", "/b").unwrap().text(), "up");
    assert_eq!(seen.count(), 4);
    let (backend, seen) = eager();
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()).retry(&retry(&[503], 1)));
    assert_eq!(gateway.raw(EMPTY).text(), "up");
    assert_eq!(seen.lock().unwrap().len(), 2);
}
