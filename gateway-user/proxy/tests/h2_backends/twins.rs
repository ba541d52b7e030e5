//! Honest backends whose frames look like a flood's.

use bytes::Bytes;
use gateway_io::Driver;
use h2::{Ping, PingPong};
use http::{Request, Response};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;

use crate::client::{ask, connected, get, send};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::h2_backend::{Exchange, H2Backend};
use crate::support::ir::Config;

on_every_driver![
    a_server_of_grpc_go_measures_a_call_for_as_long_as_it_goes_on,
    empty_data_of_one_long_stream_ends_none_beside_it,
    empty_data_of_many_streams_at_once_ends_none,
];

/// grpc-go's server pings for each message that it gets, unless a ping is under way.
async fn measure(mut pings: PingPong, mut messages: UnboundedReceiver<()>) {
    while messages.recv().await.is_some() {
        if pings.ping(Ping::opaque()).await.is_err() {
            return;
        }
        while messages.try_recv().is_ok() {}
    }
}

async fn echo(mut exchange: Exchange, told: UnboundedSender<()>) {
    let Ok(mut to) = exchange.response.send_response(Response::new(()), false) else { return };
    let body = exchange.request.body_mut();
    while let Some(Ok(data)) = body.data().await {
        let _ = told.send(());
        let _ = body.flow_control().release_capacity(data.len());
        if to.send_data(data, false).is_err() {
            return;
        }
    }
    let _ = to.send_data(Bytes::new(), true);
}

fn a_server_of_grpc_go_measures_a_call_for_as_long_as_it_goes_on(driver: Driver) {
    const COUNT: usize = 1_500;
    let backend = H2Backend::raw(|| {
        |stream, connection| async move {
            let Ok(mut streams) = h2::server::handshake(stream).await else { return };
            let (told, messages) = unbounded_channel();
            spawn_local(measure(streams.ping_pong().unwrap(), messages));
            while let Some(Ok((request, response))) = streams.accept().await {
                spawn_local(echo(Exchange { request, response, connection }, told.clone()));
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    connected(&gateway, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let post = Request::post("http://a.example/").body(()).unwrap();
        let (response, mut stream) = ready.send_request(post, false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for n in 0..COUNT {
            stream.send_data(Bytes::from_static(b"twenty bytes of text"), false).unwrap();
            let mut left = 20;
            while left > 0 {
                let data = body.data().await.unwrap_or_else(|| panic!("ended after {n}"));
                let data = data.unwrap_or_else(|error| panic!("ended after {n}: {error}"));
                body.flow_control().release_capacity(data.len()).unwrap();
                left -= data.len();
            }
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none_or(|data| data.unwrap().is_empty()));
    });
    assert_eq!(backend.accepted(), 1);
}

/// Sends as many messages of a length as the path asks for, and a frame of nothing behind each: what flushes for nothing does so.
async fn flushing(mut exchange: Exchange) {
    let (count, len) = exchange.request.uri().path()[1..].split_once('x').unwrap();
    let (count, len): (usize, usize) = (count.parse().unwrap(), len.parse().unwrap());
    let waits = !exchange.request.body().is_end_stream();
    let Ok(mut to) = exchange.response.send_response(Response::new(()), false) else { return };
    for n in 0..count {
        if waits && n == count / 2 {
            // The second half once its client wants it.
            exchange.body().await;
        }
        for piece in [Bytes::from("m".repeat(len)), Bytes::new()] {
            if to.send_data(piece, false).is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
    let _ = to.send_data(Bytes::new(), true);
}

fn empty_data_of_one_long_stream_ends_none_beside_it(driver: Driver) {
    let backend = H2Backend::start(flushing);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    connected(&gateway, |mut client| async move {
        // Far more of them than the h2 crate takes on a connection, before and behind those beside it.
        let post = Request::post("http://a.example/1000x8").body(()).unwrap();
        let mut ready = client.clone().ready().await.unwrap();
        let (response, mut upload) = ready.send_request(post, false).unwrap();
        let response = response.await.unwrap();
        for _ in 0..20 {
            assert_eq!(ask(&mut client, get("/30x8")).await.unwrap().body.len(), 30 * 8);
        }
        upload.send_data(Bytes::new(), true).unwrap();
        assert_eq!(crate::client::whole(response).await.unwrap().body.len(), 1000 * 8);
    });
    assert_eq!(backend.accepted(), 1);
}

fn empty_data_of_many_streams_at_once_ends_none(driver: Driver) {
    let backend = H2Backend::start(flushing);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    connected(&gateway, |mut client| async move {
        ask(&mut client, get("/1x8")).await.unwrap();
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..80 {
            let mut client = client.clone();
            asking.spawn(async move { send(&mut client, get("/40x300"), &[b"x"], None).await.unwrap() });
        }
        while let Some(response) = asking.join_next().await {
            assert_eq!(response.unwrap().body.len(), 40 * 300);
        }
    });
    assert_eq!(backend.accepted(), 1);
}
