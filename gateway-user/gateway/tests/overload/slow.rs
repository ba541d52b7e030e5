//! Readers and writers that take their time, by the thousand.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};

use crate::common::{HTTP, Running, metric, metrics, with_gateway_flags};
use crate::memory::{peak_rss_kib, rss_kib};
use crate::{ODD, active, client, hold_crowd, neighbours_are_served, role, route_the_odd};

/// A backend that always has more of a body of 2 MB; one thread serves thousands of connections that stall.
fn generous_backend() {
    let listener = TcpListener::bind(ODD).unwrap();
    let (accepted, begun) = channel();
    // A thread of its own: one that writes to thousands accepts so late on a busy core that connecting times out.
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = accepted.send(stream);
        }
    });
    thread::spawn(move || {
        let body = [b'x'; 16 << 10];
        let mut open: Vec<TcpStream> = Vec::new();
        loop {
            while let Ok(mut stream) = begun.try_recv() {
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
    /// Bound of a stalled download in the gateway: a few buffers of 16 KiB and the task.
    const MOST_KIB: u64 = 64;
    if let Some(words) = role::played() {
        return hold_crowd(&words);
    }
    netns::run("stalled-readers", |inside| {
        // Small socket buffers, so that every transfer stalls in the gateway and not in the kernel.
        for name in ["tcp_rmem", "tcp_wmem"] {
            std::fs::write(format!("/proc/sys/net/ipv4/{name}"), "4096 16384 32768").unwrap();
        }
        // Long enough for nearly all of them to be there at once, on a busy machine too.
        let flags = ["--client-send-timeout", "12s", "--access-log", "off"];
        let running = Running::start(inside, &flags);
        generous_backend();
        route_the_odd(&running);
        neighbours_are_served("nobody");
        let (pid, before) = (running.gateway.pid(), rss_kib(running.gateway.pid()));
        let request = "GET /odd HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut crowd = Guarded::spawn(&mut role::copy(NAME, &["2000", request, "no"])).unwrap();
        crowd.wait_for_output("all there");
        let cut =
            || metric("http_server_request_duration_seconds_count", &["error_type=\"client_send_timeout\""]);
        // On a machine that is slow enough the first are cut before the last have come.
        wait::until("2,000 downloads", || (active() + cut() >= 2000.0).then_some(()));
        neighbours_are_served("2,000 stalled readers");
        let peak = peak_rss_kib(pid, Duration::from_secs(1));
        let each = peak.saturating_sub(before) as f64 / 2000.0;
        eprintln!("2,000 stalled readers: VmRSS {before} KiB before, {peak} KiB at most: {each:.1} KiB each");
        assert!(peak <= before + 2000 * MOST_KIB, "{each} KiB each");
        wait::until("the end of every download", || (active() == 0.0).then_some(()));
        assert_eq!(cut(), 2000.0, "{}", metrics());
        eprintln!("after all were cut: {} KiB", rss_kib(pid));
    });
}

#[test]
fn writers_of_one_byte_a_while_are_cut_off() {
    let flags = &["--client-header-timeout", "2s", "--request-timeout", "3s", "--access-log", "off"];
    with_gateway_flags("drip", flags, |_, _| {
        let head = b"GET /httpbin/get HTTP/1.1\r\nHost: a\r\nX: ";
        let post = "POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        // Each says its first byte at once: who says nothing is closed without a word.
        let mut heads: Vec<Client> = (0..500)
            .map(|_| {
                let mut client = client();
                client.send(&head[..1]).unwrap();
                client
            })
            .collect();
        let mut bodies: Vec<Client> = (0..500).map(|_| client()).collect();
        bodies.iter_mut().for_each(|client| client.send(post).unwrap());
        // A byte every 300 ms: no silence is ever long, yet nobody gets more than the limit of a whole head
        // or request.
        for round in 0..14 {
            for client in heads.iter_mut().chain(&mut bodies) {
                // An error is the cut that is waited for.
                let _ = client.send([*head.get(round + 1).unwrap_or(&b'x')]);
            }
            thread::sleep(Duration::from_millis(300));
        }
        neighbours_are_served("1,000 dripping writers");
        let told = |client: &mut Client| {
            let response = client.response().unwrap();
            (response.status, response.reason().unwrap_or_default().to_owned())
        };
        let all = |clients: &mut Vec<Client>| {
            let mut responses = BTreeMap::new();
            clients.iter_mut().for_each(|client| *responses.entry(told(client)).or_insert(0) += 1);
            responses
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
            let response = client.response().unwrap();
            assert_eq!((response.status, response.reason()), (408, Some("request_body_timeout")));
            assert!(client.at_end().unwrap());
        }
        wait::until("the end of them all", || (active() == 0.0).then_some(()));
    });
}

#[test]
fn uploads_below_the_least_rate_are_told_and_slow_ones_come_whole() {
    let flags = &["--client-body-timeout", "5s", "--client-min-rate", "200B", "--access-log", "off"];
    with_gateway_flags("rate", flags, |_, _| {
        let post = |kind: &str| {
            let mut client = client();
            client.send(format!("POST /httpbin/anything HTTP/1.1\r\nHost: a\r\n{kind}\r\n\r\n")).unwrap();
            client
        };
        let mut drips: Vec<Client> = (0..100).map(|_| post("Content-Length: 100000")).collect();
        drips.extend((0..100).map(|_| post("Transfer-Encoding: chunked")));
        // Well above the rate, and as long on its way as the others may be.
        let mut slow: Vec<Client> = (0..20).map(|_| post("Content-Length: 10000")).collect();
        for round in 0..40 {
            for (number, client) in drips.iter_mut().enumerate() {
                // An error is the cut that is waited for.
                let _ = client.send(if number < 100 { "x" } else { "1\r\nx\r\n" });
            }
            slow.iter_mut().for_each(|client| client.send("x".repeat(250)).unwrap());
            thread::sleep(Duration::from_millis(200));
            if round == 10 {
                neighbours_are_served("200 drips");
            }
        }
        for client in &mut drips {
            let response = client.response().unwrap();
            assert_eq!((response.status, response.reason()), (408, Some("request_body_too_slow")));
        }
        for client in &mut slow {
            let response = client.response().unwrap();
            assert_eq!(response.status, 200);
            assert!(response.text().contains("\"length\": 10000"), "not all of it");
        }
        wait::until("the end of them all", || (active() == 0.0).then_some(()));
    });
}

/// A connection that takes little at a time, and a request for a long response on it.
fn small_reader() -> TcpStream {
    let domain = nix::sys::socket::AddressFamily::Inet;
    let kind = nix::sys::socket::SockType::Stream;
    let socket = nix::sys::socket::socket(domain, kind, nix::sys::socket::SockFlag::empty(), None).unwrap();
    // Before connecting, so that the window is never larger.
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
    let to: std::net::SocketAddrV4 = HTTP.parse().unwrap();
    nix::sys::socket::connect(socket.as_raw_fd(), &nix::sys::socket::SockaddrIn::from(to)).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(wait::WAIT_TIMEOUT)).unwrap();
    stream.write_all(b"GET /odd HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_reader_that_goes_on_is_waited_for_however_much_lies_ready() {
    netns::run("slow-readers", |inside| {
        // Far less than the response, far more than is taken in one time-out.
        std::fs::write("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 262144").unwrap();
        let flags = ["--client-send-timeout", "2s", "--client-min-rate", "500B", "--access-log", "off"];
        let running = Running::start(inside, &flags);
        generous_backend();
        route_the_odd(&running);
        let (mut slow, mut drips) = (small_reader(), small_reader());
        let cut =
            || metric("http_server_request_duration_seconds_count", &["error_type=\"client_send_timeout\""]);
        // Some KiB a second for many time-outs, and until the other, which takes a byte a while, has been
        // cut.
        let mut buffer = [0; 2048];
        let mut rounds = 0;
        wait::until("the end of who takes a byte a while", || {
            slow.read_exact(&mut buffer).unwrap();
            let _ = drips.read(&mut [0]);
            thread::sleep(Duration::from_millis(100));
            rounds += 1;
            // Not the count alone: a request is active until after it is counted.
            (rounds >= 80 && cut() >= 1.0 && active() == 1.0).then_some(())
        });
        assert_eq!(cut(), 1.0, "{}", metrics());
        slow.read_exact(&mut buffer).unwrap();
    });
}
