//! More connections than the limit.

use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::client;
use crate::common::{get, metric, metrics, with_gateway_flags};

#[test]
fn connections_beyond_the_limit_are_told_so_and_room_comes_back() {
    let flags = &["--workers", "1", "--max-connections", "10", "--access-log", "off"];
    with_gateway_flags("limit", flags, |_, _| {
        let mut inside: Vec<Client> = (0..10).map(|_| client()).collect();
        for client in &mut inside {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        // More than are told at once: those beyond are closed without a word, and none waits.
        let ask = |_| {
            let mut client = client();
            // A client that is closed already learns it when it reads.
            let _ = client.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        };
        let mut outside: Vec<Client> = (0..200).map(ask).collect();
        let mut told = 0;
        for client in &mut outside {
            match client.response() {
                Ok(response) => {
                    assert_eq!((response.status, response.reason()), (503, Some("overload_connections")));
                    assert!(client.at_end().unwrap());
                    told += 1;
                }
                Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "left waiting"),
            }
        }
        assert!(told >= 64, "only {told} of 200 were told why");
        assert_eq!(metric("sluice_overloaded_total", &[]), 200.0, "{}", metrics());
        wait::until("the end of all others", || (metric("sluice_connections", &[]) == 10.0).then_some(()));
        for client in &mut inside {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        inside.pop();
        wait::until("room for one more", || get("/httpbin/get").ok().filter(|a| a.status == 200));
    });
}

#[test]
fn a_pause_of_the_whole_process_times_nobody_out() {
    let flags = &["--client-header-timeout", "3s", "--upstream-connect-timeout", "3s", "--access-log", "off"];
    with_gateway_flags("paused", flags, |_, running| {
        let mut begun: Vec<Client> = (0..100).map(|_| client()).collect();
        begun.iter_mut().for_each(|client| client.send("GET /httpbin/get HTTP/1.1\r\n").unwrap());
        wait::until("all heads", || (metric("http_server_active_requests", &[]) == 100.0).then_some(()));
        running.gateway.signal(Signal::SIGSTOP).unwrap();
        // Requests that come meanwhile are there when it goes on, and are no later than they can be.
        begun.iter_mut().for_each(|client| client.send("Host: a\r\n\r\n").unwrap());
        let mut fresh: Vec<Client> = (0..100).map(|_| client()).collect();
        fresh
            .iter_mut()
            .for_each(|client| client.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n").unwrap());
        thread::sleep(Duration::from_secs(6));
        running.gateway.signal(Signal::SIGCONT).unwrap();
        for client in begun.iter_mut().chain(&mut fresh) {
            let response = client.response().unwrap();
            assert_eq!((response.status, response.reason()), (200, None));
        }
    });
}
