//! Honest clients whose frames look like a flood's: they are served for as long as they go on.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use gateway_io::Driver;
use gateway_testkit::http2::Peer;
use gateway_testkit::http2::attacks::INITIAL_WINDOW;
use gateway_testkit::http2::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, POST, PRIORITY, WINDOW_UPDATE, frame,
};
use http::{Request, Response};

use crate::client::{connected, whole};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::h2_backend::{Exchange, H2Backend};
use crate::support::ir::Config;

on_every_driver![
    a_call_of_grpc_go_is_measured_for_as_long_as_it_goes_on,
    the_tree_of_priorities_comes_with_each_page,
    ten_minutes_of_small_messages_arrive,
    ten_minutes_of_small_messages_wait_for_a_slow_backend,
    streams_before_the_settings_are_served_or_refused,
];

/// Messages of ten minutes, twenty a second.
const MESSAGES: usize = 12_000;

/// Sends each piece back as it comes.
async fn echo(mut exchange: Exchange) {
    let Ok(mut to) = exchange.response.send_response(Response::new(()), false) else { return };
    let body = exchange.request.body_mut();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        if to.send_data(data, false).is_err() {
            return;
        }
    }
    let _ = to.send_data(Bytes::new(), true);
}

/// grpc-go gives back what it has got and pings for each message, unless a ping is under way, and every ten seconds it asks for
/// a sign of life: a message, an update and a ping at a time, without the time between them.
fn a_call_of_grpc_go_is_measured_for_as_long_as_it_goes_on(driver: Driver) {
    const COUNT: usize = 1_500;
    let message = b"five bytes and twenty mor";
    let backend = H2Backend::start(echo);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut peer = Peer::connect(gateway.address);
    peer.estimates = true;
    peer.send(&frame(HEADERS, END_HEADERS, 1, POST), 1);
    for n in 1..=COUNT {
        assert!(peer.send(&frame(DATA, 0, 1, message), 1), "ended after {n}");
        if n % 200 == 0 {
            peer.send(&frame(PING, 0, 0, &[0; 8]), 1);
        }
        peer.until_content(n * message.len());
    }
    peer.send(&frame(DATA, END_STREAM, 1, b""), 1);
    peer.until_read();
    assert_eq!((peer.goaway, peer.resets), (None, 0));
    assert!(peer.pongs > COUNT / 2, "{} pings", peer.pongs);
}

/// Firefox keeps six streams that are places in a tree, and says for each request where in it that has its place.
fn the_tree_of_priorities_comes_with_each_page(driver: Driver) {
    const REQUESTS: u32 = 20;
    let backend = Backend::named("app");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = Peer::connect(gateway.address);
    let mut stream = 15;
    for page in 1..=60 {
        for (place, below) in [(3, 0), (5, 0), (7, 0), (9, 7), (11, 3), (13, 0)] {
            peer.send(&frame(PRIORITY, 0, place, &[0, 0, 0, below, 100]), 1);
        }
        for _ in 0..REQUESTS {
            peer.get(stream);
            peer.send(&frame(PRIORITY, 0, stream, &[0, 0, 0, 11, 21]), 1);
            stream += 2;
        }
        peer.until_responses((page * REQUESTS) as usize);
    }
    assert_eq!((peer.goaway, peer.resets), (None, 0));
}

/// Sends messages of twenty bytes, a frame each, and gives the response's text.
fn small_messages(gateway: &Gateway) -> String {
    connected(gateway, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let post = Request::post("http://a.example/").body(()).unwrap();
        let (response, mut stream) = ready.send_request(post, false).unwrap();
        for n in 0..MESSAGES {
            stream.reserve_capacity(20);
            while stream.capacity() < 20 {
                let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                assert!(matches!(room, Some(Ok(_))), "ended after {n}: {room:?}");
            }
            stream.send_data(Bytes::from_static(b"twenty bytes of text"), n + 1 == MESSAGES).unwrap();
            tokio::task::yield_now().await;
        }
        whole(response.await.unwrap()).await.unwrap().text().to_owned()
    })
}

fn ten_minutes_of_small_messages_arrive(driver: Driver) {
    let backend = Backend::answering(|request| ok(request.body.len().to_string()));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    assert_eq!(small_messages(&gateway), (20 * MESSAGES).to_string());
}

fn ten_minutes_of_small_messages_wait_for_a_slow_backend(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        let Some(_) = exchange.head() else { return };
        let (mut count, mut end) = (0, Vec::new());
        while !end.ends_with(b"\r\n0\r\n\r\n") {
            let Ok(Some(byte)) = exchange.byte() else { return };
            count += 1;
            end.push(byte);
            if end.len() > 64 {
                end.drain(..32);
            }
            if count % 8_192 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let text = if count >= 20 * MESSAGES { "all" } else { "too few" };
        let _ = exchange.stream.write_all(&ok(text));
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    assert_eq!(small_messages(&gateway), "all");
}

/// A client may begin what it wants before it knows how many streams there may be; those that are too many are refused, which
/// says that it may send them again, and the connection serves on.
fn streams_before_the_settings_are_served_or_refused(driver: Driver) {
    const LEN: u32 = 100;
    let backend = Backend::answering(|_| ok("x".repeat(LEN as usize)));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    // None of them ends before the client wants it.
    let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, 0)]);
    let all: Vec<u8> =
        (0..150).flat_map(|n| frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, POST)).collect();
    peer.send(&all, 150);
    peer.until_settled(150);
    assert_eq!((peer.responses, peer.refused, peer.goaway), (100, 50, None));
    for n in 0..100 {
        peer.send(&frame(WINDOW_UPDATE, 0, 2 * n + 1, &LEN.to_be_bytes()), 1);
    }
    peer.until_content(100 * LEN as usize);
    peer.until_read();
    for n in 150..200 {
        peer.get(2 * n + 1);
    }
    peer.until_settled(200);
    assert_eq!((peer.responses, peer.refused, peer.goaway), (150, 50, None));
}
