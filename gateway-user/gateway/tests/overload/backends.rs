//! Backends that take requests and keep them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::wait;

use crate::common::{metric, metrics, with_gateway_flags};
use crate::{ODD, active, client, neighbours_are_served, route_the_odd};

/// A backend that takes everything and sends no response until it is told; counts its connections.
pub(crate) struct SilentBackend {
    open: Arc<AtomicU64>,
    speaks: Arc<AtomicBool>,
}

impl SilentBackend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(ODD).unwrap();
        let mute = Self { open: Arc::default(), speaks: Arc::default() };
        let (open, speaks) = (Arc::clone(&mute.open), Arc::clone(&mute.speaks));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                open.fetch_add(1, Ordering::SeqCst);
                let (open, speaks) = (Arc::clone(&open), Arc::clone(&speaks));
                thread::spawn(move || {
                    Self::hold(stream, &speaks);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        mute
    }

    /// From now on it responds, or stops.
    pub(crate) fn speak(&self, speaks: bool) {
        self.speaks.store(speaks, Ordering::SeqCst);
    }

    fn hold(mut stream: TcpStream, speaks: &AtomicBool) {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut owed = false;
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                // Requests here are small and come whole.
                Ok(_) => owed = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            if owed && speaks.load(Ordering::SeqCst) {
                owed = false;
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                    return;
                }
            }
        }
    }
}

/// So many clients that ask it, each on a connection of its own.
pub(crate) fn ask_the_odd(count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = client();
        client.send("GET /odd HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client
    };
    (0..count).map(ask).collect()
}

/// Requests that ended for this reason of ours.
fn ended_for(reason: &str) -> f64 {
    let label = format!("error_type=\"{reason}\"");
    metric("http_server_request_duration_seconds_count", &[&label, "team2/odd"])
}

#[test]
fn one_tenants_stuck_backend_takes_its_part_and_no_more() {
    const LIMIT: usize = 400;
    const PENDING: usize = LIMIT / 4;
    const REFUSED: usize = 3 * LIMIT;
    let flags = &["--workers", "1", "--max-connections", "400"];
    with_gateway_flags("stuck", flags, |_, running| {
        let backend = SilentBackend::start();
        route_the_odd(running);
        let waiting = ask_the_odd(PENDING);
        // Seen there: a request is active before it has a connection to its backend.
        wait::until("the stuck backend's part", || {
            (backend.open.load(Ordering::SeqCst) == PENDING as u64).then_some(())
        });
        // Three times what the gateway holds in all: each is told at once, and gives its connection back.
        for _ in 0..REFUSED / 200 {
            for mut refused in ask_the_odd(200) {
                let response = refused.response().unwrap();
                assert_eq!((response.status, response.reason()), (503, Some("overload_pending")));
                assert!(refused.at_end().unwrap());
            }
        }
        neighbours_are_served("another tenant's stuck backend");
        assert_eq!(backend.open.load(Ordering::SeqCst), PENDING as u64, "nothing more reached it");
        assert_eq!(metric("sluice_upstream_overloaded_total", &[]), REFUSED as f64, "{}", metrics());
        assert_eq!(ended_for("overload_pending"), REFUSED as f64, "{}", metrics());
        let line = "\"reason\":\"overload_pending\"";
        wait::until("the access log", || running.log().contains(line).then_some(()));
        backend.speaks.store(true, Ordering::SeqCst);
        for mut client in waiting {
            assert_eq!(client.response().unwrap().status, 200);
        }
        // All places are free again.
        for mut client in ask_the_odd(PENDING) {
            assert_eq!(client.response().unwrap().status, 200);
        }
    });
}

#[test]
fn answers_that_nobody_finishes_have_a_bound_of_their_own() {
    let flags = &["--workers", "1", "--upstream-max-requests", "20", "--access-log", "off"];
    with_gateway_flags("streams", flags, |_, running| {
        // Begins every response and ends none.
        let listener = TcpListener::bind(ODD).unwrap();
        thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun");
                open.push(stream);
            }
        });
        route_the_odd(running);
        let begin = || {
            let client = ask_the_odd(1).remove(0);
            let mut head = [0; 12];
            client.stream().read_exact(&mut head).unwrap();
            (client, head == *b"HTTP/1.1 200")
        };
        let mut streams: Vec<_> = (0..20).map(|_| begin()).collect();
        assert!(streams.iter().all(|(_, begun)| *begun));
        let (_, begun) = begin();
        assert!(!begun, "one too many");
        // A response is counted after it is sent.
        wait::until("its count", || (ended_for("overload_requests") == 1.0).then_some(()));
        neighbours_are_served("a full backend");
        streams.pop();
        wait::until("its place", || begin().1.then_some(()));
    });
}

#[test]
fn a_backend_that_never_answers_costs_its_own_requests_only() {
    let flags = &["--upstream-response-timeout", "1s", "--access-log", "off"];
    with_gateway_flags("mute", flags, |_, running| {
        let backend = SilentBackend::start();
        route_the_odd(running);
        running.wait_for_status("/odd", 504);
        let mut waiting = ask_the_odd(200);
        neighbours_are_served("a backend that never responds");
        for client in &mut waiting {
            let response = client.response().unwrap();
            assert_eq!((response.status, response.reason()), (504, Some("upstream_response_timeout")));
            // The client's connection is as good as before.
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        wait::until("the end of every connection to it", || {
            (backend.open.load(Ordering::SeqCst) == 0).then_some(())
        });
        wait::until("the last request's end", || (active() == 0.0).then_some(()));
    });
}
