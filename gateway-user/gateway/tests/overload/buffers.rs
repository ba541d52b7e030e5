//! More buffers than a worker may lend.

use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::wait;

use crate::backends::{SilentBackend, ask_the_odd};
use crate::common::{get, metric, metrics, with_gateway_flags};
use crate::{client, route_the_odd};

const MEMORY: f64 = 1_048_576.0;

fn lent() -> f64 {
    metric("sluice_buffer_bytes", &[])
}

#[test]
fn without_buffers_new_requests_are_refused_and_what_is_under_way_ends() {
    let flags = &["--workers", "1", "--buffer-memory", "1MiB", "--max-connections", "10000"];
    with_gateway_flags("buffers", flags, |_, running| {
        let backend = SilentBackend::start();
        route_the_odd(running);
        // Each keeps its head in a buffer until its response comes, and for a second two more to receive
        // into.
        let mut waiting: Vec<Client> = Vec::new();
        wait::until("three fifths to be lent for long", || {
            assert!(waiting.len() < 2000, "no bound: {}", metrics());
            waiting.extend(ask_the_odd(20));
            let settled = wait::until("receives to give their buffers back", || {
                let before = lent();
                thread::sleep(Duration::from_millis(1500));
                (lent() == before).then_some(before)
            });
            (settled >= MEMORY * 0.62).then_some(())
        });
        assert!(lent() < MEMORY, "the reserve: {}", metrics());
        for _ in 0..20 {
            assert_eq!(get("/httpbin/get").unwrap().status, 200, "another tenant: {}", metrics());
        }
        let refused = || metric("sluice_memory_refused_total", &[]);
        let of_waiting = refused();
        let connections = || metric("sluice_connections", &[]);
        let there = connections();
        // A client with less under way is served even while all is lent: its head is here, and costs nothing
        // to look at.
        wait::until("a request while all is lent", || {
            let _beginning = begin_heads(96);
            let before = lent();
            assert_eq!(get("/httpbin/get").unwrap().status, 200, "another tenant: {}", metrics());
            (before >= MEMORY && lent() >= MEMORY).then_some(())
        });
        // All of it: a head that is read later is refused later, and counted then.
        wait::until("what had begun to end", || (lent() < MEMORY && connections() <= there).then_some(()));
        let of_heads = refused() - of_waiting;
        // The namespace with most of them gives way, now that another one is there.
        let mut more = ask_the_odd(1).remove(0);
        let response = more.response().unwrap();
        assert_eq!((response.status, response.reason()), (503, Some("overload_memory")), "{}", metrics());
        assert!(more.at_end().unwrap());
        waiting.push(more);
        backend.speak(true);
        let mut served = 0;
        let refused_at_last = 1;
        let last = waiting.len() - refused_at_last;
        for client in &mut waiting[..last] {
            let response = client.response().unwrap();
            match response.status {
                200 => served += 1,
                status => assert_eq!((status, response.reason()), (503, Some("overload_memory"))),
            }
        }
        eprintln!("of {} requests {served} had a buffer", waiting.len());
        // Of 64 buffers.
        assert!((38..64).contains(&served), "{served} of {}", waiting.len());
        assert_eq!(refused() - of_heads, (waiting.len() - served) as f64, "{}", metrics());
        drop(waiting);
        wait::until("buffers to come back", || (lent() < MEMORY / 4.0).then_some(()));
        for mut client in ask_the_odd(10) {
            assert_eq!(client.response().unwrap().status, 200);
        }
        let line = "\"reason\":\"overload_memory\"";
        wait::until("the access log", || running.log().contains(line).then_some(()));
    });
}

/// Clients that have sent the beginning of a head, which is kept in a buffer.
fn begin_heads(count: usize) -> Vec<Client> {
    let begin = |_| {
        let mut client = client();
        client.send("GET /odd HTTP/1.1\r\nHost: a\r\n").unwrap();
        client
    };
    (0..count).map(begin).collect()
}
