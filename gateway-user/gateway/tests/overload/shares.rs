//! A tenant that has most of the connections under way, and one that comes after it.

use gateway_testkit::http::Client;
use gateway_testkit::wait;

use crate::backends::{SilentBackend, ask_the_odd};
use crate::common::{get, metric, metrics, with_gateway_flags};
use crate::{active, neighbours_are_served, route_the_odd};

pub(crate) const PLACES: usize = 100;
/// One worker with so many places, whose backends have no other limit.
pub(crate) const FLAGS: [&str; 8] = [
    "--workers",
    "1",
    "--max-connections",
    "100",
    "--upstream-max-requests",
    "1000",
    "--upstream-max-pending",
    "1000",
];

fn refused() -> f64 {
    metric("sluice_share_refused_total", &[])
}

#[test]
fn a_lone_tenant_may_have_all_and_gives_way_once_another_is_there() {
    with_gateway_flags("shares", &FLAGS, |_, running| {
        let backend = SilentBackend::start();
        route_the_odd(running);
        let mut all: Vec<Client> = ask_the_odd(PLACES);
        wait::until("every place to be taken", || (active() == PLACES as f64).then_some(()));
        assert_eq!((refused(), metric("sluice_connections", &[])), (0.0, PLACES as f64), "{}", metrics());
        // One more of its own finds no room; another tenant does, each time.
        let mut outside = ask_the_odd(1).remove(0);
        let response = outside.response().unwrap();
        assert_eq!((response.status, response.reason()), (503, Some("overload_connections")));
        for _ in 0..50 {
            assert_eq!(get("/httpbin/get").unwrap().status, 200, "{}", metrics());
        }
        assert_eq!(metric("sluice_overloaded_total", &[]), 1.0, "who was served was not refused");
        let connections = || metric("sluice_connections", &[]);
        wait::until("the last neighbour's end", || (connections() == PLACES as f64).then_some(()));
        backend.speak(true);
        all.iter_mut().for_each(|client| assert_eq!(client.response().unwrap().status, 200));
        backend.speak(false);
        // It asks again on each connection. Until a fifth of them has gone, it is the one to give way.
        let (mut admitted, mut told) = (0, 0);
        wait::until("the last response's end", || (active() == 0.0).then_some(()));
        for client in &mut all {
            // The other one is there all the time.
            assert_eq!(get("/httpbin/get").unwrap().status, 200, "{}", metrics());
            wait::until("its end", || (active() == f64::from(admitted)).then_some(()));
            client.send("GET /odd HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let was_told = wait::until("the request to wait or to be refused", || {
                let was_told = refused() > f64::from(told);
                (was_told || active() > f64::from(admitted)).then_some(was_told)
            });
            if !was_told {
                admitted += 1;
                continue;
            }
            told += 1;
            let response = client.response().unwrap();
            assert_eq!((response.status, response.reason()), (503, Some("overload_share")));
            assert!(client.at_end().unwrap());
            // Its place is free once the gateway has seen that.
            let _ = client.stream().shutdown(std::net::Shutdown::Both);
        }
        assert!(told >= 20, "only {told} were refused: {}", metrics());
        assert!(admitted >= 50, "it keeps most: {}", metrics());
        neighbours_are_served("a tenant that has four fifths");
        let line = "\"reason\":\"overload_share\"";
        wait::until("the access log", || running.log().contains(line).then_some(()));
        let series = ["error_type=\"overload_share\"", "team2/odd"];
        assert_eq!(metric("http_server_request_duration_seconds_count", &series), f64::from(told));
        // Once it has gone, nobody has to give way.
        backend.speak(true);
        drop(all);
        wait::until("its end", || (metric("sluice_connections", &[]) < 5.0).then_some(()));
        let before = refused();
        neighbours_are_served("nobody");
        assert_eq!(refused(), before);
    });
}
