//! Connections of TCP listeners, which keep their places for hours: a tenant that has as many as it may, and one that comes
//! after it.

use std::net::{SocketAddr, TcpStream};

use gateway_testkit::wait;

use crate::common::{get, metric, metrics, with_gateway_flags};
use crate::ends::{connect, exchange, is_reset, start_echo};
use crate::shares::{FLAGS, PLACES};
use crate::tcp;

/// Those of them that one tenant may have.
const OF_ONE: usize = 80;

const FIRST: &str = "first";
const SECOND: &str = "second";

fn resources() -> String {
    let routes = [tcp::route(FIRST, FIRST, 15001, ""), tcp::route(SECOND, SECOND, 15002, "")];
    tcp::gateway(&[(FIRST, 5001), (SECOND, 5002)]) + &routes.concat()
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A connection that has reached its backend.
#[track_caller]
fn served(port: u16) -> TcpStream {
    let mut stream = connect(at(port)).unwrap();
    exchange(&mut stream, 1).unwrap_or_else(|error| panic!("port {port}: {error}\n{}", metrics()));
    stream
}

#[track_caller]
fn refused(port: u16) {
    assert!(is_reset(connect(at(port)).and_then(|mut stream| exchange(&mut stream, 1))), "port {port}");
}

/// Connections that were refused for this reason.
fn told(reason: &str, tenant: &str) -> f64 {
    let (reason, route) = (format!("error_type=\"{reason}\""), format!("sluice_route=\"{tenant}/db\""));
    metric("sluice_tcp_connection_duration_seconds_count", &[&reason, &route])
}

#[track_caller]
fn wait_for_connections(count: usize) {
    wait::until("connections to be gone", || {
        (metric("sluice_connections", &[]) == count as f64).then_some(())
    });
}

#[test]
fn a_tenant_whose_tunnels_are_at_their_limit_leaves_places_for_others() {
    with_gateway_flags("tunnels", &FLAGS, |_, running| {
        start_echo("127.0.0.1:15001");
        start_echo("127.0.0.1:15002");
        running.config.write("tcp.yaml", &resources()).unwrap();
        wait::until("the listeners", || {
            let reached = |port| connect(at(port)).and_then(|mut stream| exchange(&mut stream, 1)).ok();
            reached(5001).and(reached(5002))
        });
        wait_for_connections(0);
        let mut first: Vec<_> = (0..OF_ONE).map(|_| served(5001)).collect();
        for _ in 0..5 {
            refused(5001);
            wait_for_connections(OF_ONE);
        }
        assert_eq!((told("overload_share", FIRST), metric("sluice_share_refused_total", &[])), (5.0, 5.0));
        // The rest is all the other one's, and it has no more than that either.
        let mut second: Vec<_> = (OF_ONE..PLACES).map(|_| served(5002)).collect();
        refused(5002);
        wait_for_connections(PLACES);
        assert_eq!(
            (told("overload_connections", SECOND), metric("sluice_overloaded_total", &[])),
            (1.0, 1.0)
        );
        // Requests are served by places that are lent, and what is there goes on.
        for _ in 0..5 {
            assert_eq!(get("/httpbin/get").unwrap().status, 200, "{}", metrics());
        }
        first.iter_mut().chain(&mut second).for_each(|stream| exchange(stream, 2).unwrap());
        assert_eq!(metric("sluice_tunnels", &[]), PLACES as f64);
        // A place that the first one gives back is the second one's as well.
        drop(first.pop());
        wait_for_connections(PLACES - 1);
        refused(5001);
        wait_for_connections(PLACES - 1);
        second.push(served(5002));
        assert_eq!((told("overload_share", FIRST), told("overload_share", SECOND)), (6.0, 0.0));
    });
}
