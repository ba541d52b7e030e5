//! Trailers of requests over HTTP/2, to backends of either version.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};

use gateway_io::Driver;
use gateway_ir::Filter;
use gateway_proxy::ProxyConfig;
use http::{HeaderMap, HeaderValue, Request};

use crate::client::{connected, send};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::h2_backend::{Exchange, H2Backend};
use crate::support::ir::{Config, headers};

on_every_driver![trailers_are_dropped_unless_they_are_kept, what_proxies_and_filters_write_is_no_trailer,];

/// Sends trailers of these names, and gives the names that come to a backend.
fn arrived(driver: Driver, keep: bool, h2: bool, names: &[&'static str]) -> Vec<String> {
    let (told, seen): (Sender<Vec<String>>, Receiver<_>) = channel();
    match h2 {
        true => {
            let backend = H2Backend::start(move |mut exchange: Exchange| {
                let told = told.clone();
                async move {
                    assert!(!exchange.request.headers().contains_key("trailer"));
                    let Some((_, trailers)) = exchange.body().await else { return };
                    told.send(trailers.unwrap_or_default().keys().map(ToString::to_string).collect())
                        .unwrap();
                    exchange.ok("").await;
                }
            });
            through(driver, keep, filtered(Config::to_h2(backend.address())), names);
            seen.recv().unwrap()
        }
        false => {
            let told = std::sync::Mutex::new(told);
            let backend = Backend::answering(move |request| {
                let names = request.trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
                told.lock().unwrap().send(names).unwrap();
                ok("")
            });
            let address: SocketAddr = backend.address();
            through(driver, keep, filtered(Config::to(address)), names);
            seen.recv().unwrap()
        }
    }
}

fn filtered(mut config: Config) -> Config {
    config.rules[0].filters.push(Filter::RequestHeaders(headers(&[("x-set", "1")], &[], &["x-removed"])));
    config
}

fn through(driver: Driver, keep: bool, config: Config, names: &[&'static str]) {
    let proxy = ProxyConfig { request_trailers: keep, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &config, proxy);
    connected(&gateway, |mut client| async move {
        let mut trailers = HeaderMap::new();
        for name in names {
            trailers.insert(*name, HeaderValue::from_static("7"));
        }
        let post = Request::post("http://a.example/").body(()).unwrap();
        let response = send(&mut client, post, &[b"abc"], Some(trailers)).await.unwrap();
        assert_eq!(response.status, 200);
    });
}

fn trailers_are_dropped_unless_they_are_kept(driver: Driver) {
    for h2 in [true, false] {
        assert!(arrived(driver, false, h2, &["x-sum", "x-other"]).is_empty());
        assert_eq!(arrived(driver, true, h2, &["x-sum", "x-other"]), ["x-sum", "x-other"]);
    }
}

fn what_proxies_and_filters_write_is_no_trailer(driver: Driver) {
    let names = ["x-forwarded-for", "x-forwarded-proto", "x-set", "x-removed", "x-under_score", "x-sum"];
    for h2 in [true, false] {
        assert_eq!(arrived(driver, true, h2, &names), ["x-sum"]);
    }
}
