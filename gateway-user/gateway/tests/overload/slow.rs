//! Readers and writers that take their time, by the thousand.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};

use crate::common::{Running, metric, metrics, with_gateway_flags};
use crate::memory::{peak_rss_kib, rss_kib};
use crate::{ODD, active, client, hold_crowd, neighbours_are_served, role, route_the_odd};

/// A backend that always has more of a body of 2 MB; one thread serves thousands of connections that stall.
fn generous_backend() {
    let listener = TcpListener::bind(ODD).unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let body = [b'x'; 16 << 10];
        let mut open: Vec<TcpStream> = Vec::new();
        loop {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.set_nonblocking(false);
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n");
                let _ = stream.set_nonblocking(true);
                open.push(stream);
            }
            open.retain_mut(|stream| match stream.write(&body) {
                Ok(_) => true,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
            thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn two_thousand_readers_that_stall_cost_a_bounded_amount_and_are_cut() {
    const NAME: &str = "slow::two_thousand_readers_that_stall_cost_a_bounded_amount_and_are_cut";
    /// What a stalled download may hold in the gateway: a few buffers of 16 KiB and the task.
    const MOST_KIB: u64 = 64;
    if let Some(words) = role::played() {
        return hold_crowd(&words);
    }
    netns::run("stalled-readers", |inside| {
        // Small socket buffers, so that every transfer stalls in the gateway and not in the kernel.
        for name in ["tcp_rmem", "tcp_wmem"] {
            std::fs::write(format!("/proc/sys/net/ipv4/{name}"), "4096 16384 32768").unwrap();
        }
        let flags = ["--client-send-timeout", "4s", "--access-log", "off"];
        let running = Running::start(inside, &flags);
        generous_backend();
        route_the_odd(&running);
        neighbours_are_served("nobody");
        let (pid, before) = (running.gateway.pid(), rss_kib(running.gateway.pid()));
        let request = "GET /odd HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut crowd = Guarded::spawn(&mut role::copy(NAME, &["2000", request, "no"])).unwrap();
        crowd.wait_for_output("all there");
        wait::until("2,000 downloads", || (active() >= 2000.0).then_some(()));
        neighbours_are_served("2,000 stalled readers");
        let peak = peak_rss_kib(pid, Duration::from_secs(1));
        let each = peak.saturating_sub(before) as f64 / 2000.0;
        eprintln!("2,000 stalled readers: VmRSS {before} KiB before, {peak} KiB at most: {each:.1} KiB each");
        assert!(peak <= before + 2000 * MOST_KIB, "{each} KiB each");
        wait::until("the end of every download", || (active() == 0.0).then_some(()));
        let cut =
            metric("http_server_request_duration_seconds_count", &["error_type=\"client_send_timeout\""]);
        assert_eq!(cut, 2000.0, "{}", metrics());
        eprintln!("after all were cut: {} KiB", rss_kib(pid));
    });
}

#[test]
fn writers_of_one_byte_a_while_are_cut_off() {
    let flags = &["--client-header-timeout", "2s", "--request-timeout", "3s", "--access-log", "off"];
    with_gateway_flags("drip", flags, |_, _| {
        let head = b"GET /httpbin/get HTTP/1.1\r\nHost: a\r\nX: ";
        let post = "POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        let mut heads: Vec<Client> = (0..500).map(|_| client()).collect();
        let mut bodies: Vec<Client> = (0..500).map(|_| client()).collect();
        bodies.iter_mut().for_each(|client| client.send(post).unwrap());
        // A byte every 300 ms: no silence is ever long, yet nobody gets more than the limit of a whole head or request.
        for round in 0..14 {
            for client in heads.iter_mut().chain(&mut bodies) {
                // An error is the cut that is waited for.
                let _ = client.send([*head.get(round).unwrap_or(&b'x')]);
            }
            thread::sleep(Duration::from_millis(300));
        }
        neighbours_are_served("1,000 dripping writers");
        let told = |client: &mut Client| {
            let answer = client.answer().unwrap();
            (answer.status, answer.reason().unwrap_or_default().to_owned())
        };
        let all = |clients: &mut Vec<Client>| {
            let mut answers = BTreeMap::new();
            clients.iter_mut().for_each(|client| *answers.entry(told(client)).or_insert(0) += 1);
            answers
        };
        assert_eq!(all(&mut heads), BTreeMap::from([((408, "request_header_timeout".to_owned()), 500)]));
        assert_eq!(all(&mut bodies), BTreeMap::from([((504, "request_timeout".to_owned()), 500)]));
        wait::until("the end of them all", || (active() == 0.0).then_some(()));
    });
}

#[test]
fn uploads_that_fall_silent_are_told_and_their_backends_freed() {
    with_gateway_flags("silent", &["--client-body-timeout", "1s", "--access-log", "off"], |_, _| {
        let post = "POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx";
        let mut silent: Vec<Client> = (0..500).map(|_| client()).collect();
        silent.iter_mut().for_each(|client| client.send(post).unwrap());
        neighbours_are_served("500 silent uploads");
        for client in &mut silent {
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.reason()), (408, Some("request_body_timeout")));
            assert!(client.at_end().unwrap());
        }
        wait::until("the end of them all", || (active() == 0.0).then_some(()));
    });
}
