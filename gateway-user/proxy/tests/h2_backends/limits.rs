//! Limits of a Service port, by streams.

use std::future::pending;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use http::Response;

use crate::client::{connected, get};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::h2_backend::{Exchange, H2Backend};
use crate::support::ir::Config;

on_every_driver![requests_under_way_are_streams, requests_that_wait_are_streams_without_a_head,];

const MOST: usize = 5;

/// Responds with a head and leaves the rest open; to `/wait` with nothing at all.
async fn never_ending(mut exchange: Exchange) {
    let waits = exchange.request.uri().path() == "/wait";
    let _stream = match waits {
        true => None,
        false => exchange.response.send_response(Response::new(()), false).ok(),
    };
    pending().await
}

/// The status of a response that begins, and its reason.
type Begun = (u16, Option<String>);

/// Begins requests for `path`, and gives what one more gets while they are under way, and once one of them is over.
fn behind(gateway: &Gateway, path: &'static str, count: usize) -> [Begun; 2] {
    connected(gateway, |client| async move {
        let one_more = async || {
            let mut ready = client.clone().ready().await.unwrap();
            let response = ready.send_request(get("/begin"), true).unwrap().0.await.unwrap();
            let reason = response.headers().get("x-sluice-reason");
            (response.status().as_u16(), reason.map(|reason| reason.to_str().unwrap().to_owned()))
        };
        let until = async |count: usize| {
            while gateway.metrics().counters.active_requests != count as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let mut begun = Vec::new();
        for _ in 0..count {
            let mut ready = client.clone().ready().await.unwrap();
            begun.push(ready.send_request(get(path), true).unwrap().0);
        }
        until(count).await;
        let full = one_more().await;
        // Dropped, it is reset.
        begun.pop();
        until(count - 1).await;
        [full, one_more().await]
    })
}

fn requests_under_way_are_streams(driver: Driver) {
    let backend = H2Backend::start(never_ending);
    let few = ProxyConfig { max_upstream_requests: MOST, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), few);
    let [full, free] = behind(&gateway, "/begin", MOST);
    assert_eq!(full, (503, Some("overload_requests".to_owned())));
    assert_eq!(free, (200, None), "a stream that is over has left its place");
    assert_eq!(backend.accepted(), 1);
}

fn requests_that_wait_are_streams_without_a_head(driver: Driver) {
    let backend = H2Backend::start(never_ending);
    let few = ProxyConfig { max_upstream_pending: MOST, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), few.clone());
    let [full, free] = behind(&gateway, "/wait", MOST);
    assert_eq!(full, (503, Some("overload_pending".to_owned())));
    assert_eq!(free, (200, None));
    // Those whose response has begun wait no more.
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), few);
    connected(&gateway, |client| async move {
        let mut begun = Vec::new();
        for _ in 0..2 * MOST {
            let mut ready = client.clone().ready().await.unwrap();
            let response = ready.send_request(get("/begin"), true).unwrap().0.await.unwrap();
            assert_eq!(response.status(), 200);
            begun.push(response);
        }
    });
}
