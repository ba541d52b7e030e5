//! More than the gateway was made for: every excess has an answer, a bound and a count, and neighbours are served.
#![allow(clippy::print_stderr, clippy::print_stdout)] // figures for who reads a test's output; a copy tells its parent

mod common;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/role.rs"]
mod role;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{HTTP, Running, get, metric, metrics, with_gateway_flags};
use gateway_testkit::http::Client;
use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};
use memory::{peak_rss_kib, rss_kib};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

/// A second backend, for those that misbehave.
const ODD: &str = "127.0.0.1:8001";
/// Its route: `/odd` on the shared gateway.
const ODD_ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: odd, namespace: team2}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /odd}}]
      backendRefs: [{name: odd, port: 8001}]
---
apiVersion: v1
kind: Service
metadata: {name: odd, namespace: team2}
spec: {ports: [{port: 8001, targetPort: 8001}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: odd-1, namespace: team2, labels: {kubernetes.io/service-name: odd}}
addressType: IPv4
ports: [{port: 8001, protocol: TCP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
";

fn client() -> Client {
    Client::connect(HTTP.parse().unwrap()).unwrap()
}

/// Fifty requests of a neighbour, each answered; says what they waited.
#[track_caller]
fn neighbours_are_served(beside: &str) {
    let mut kept = client();
    let mut waits: Vec<Duration> = (0..50)
        .map(|n| {
            let begun = Instant::now();
            let answer = if n % 2 == 0 { kept.get("a", "/httpbin/get") } else { get("/httpbin/get") };
            assert_eq!(answer.unwrap().status, 200, "a neighbour beside {beside}");
            begun.elapsed()
        })
        .collect();
    waits.sort();
    eprintln!("beside {beside}: a neighbour waits {:?} at the median and {:?} at most", waits[25], waits[49]);
}

fn active() -> f64 {
    metric("http_server_active_requests", &[])
}

/// In a copy: connections that send `request` each; `answered` says whether they read their answers too. Holds them
/// until it is killed, or for a minute.
fn hold_crowd(words: &[String]) {
    let [count, request, answered] = words else { panic!("{words:?}") };
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let mut crowd: Vec<Client> = (0..count.parse().unwrap())
        .map(|_| {
            let mut client = client();
            client.send(request).unwrap();
            if answered == "yes" {
                assert!(client.answer().unwrap().status < 300);
            }
            client
        })
        .collect();
    println!("all there");
    thread::sleep(Duration::from_secs(60));
    crowd.clear();
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_room_comes_back() {
    let flags = &["--workers", "1", "--max-connections", "10", "--access-log", "off"];
    with_gateway_flags("limit", flags, |_, _| {
        let mut inside: Vec<Client> = (0..10).map(|_| client()).collect();
        for client in &mut inside {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        // More than are told at once: those beyond are closed without a word, and none waits.
        let mut outside: Vec<Client> = (0..200).map(|_| client()).collect();
        let mut told = 0;
        for client in &mut outside {
            let _ = client.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n");
            match client.answer() {
                Ok(answer) => {
                    assert_eq!((answer.status, answer.reason()), (503, Some("overload_connections")));
                    assert!(client.at_end().unwrap());
                    told += 1;
                }
                Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "left waiting"),
            }
        }
        assert!(told >= 64, "only {told} of 200 were told why");
        assert_eq!(metric("sluice_overloaded_total", &[]), 200.0, "{}", metrics());
        assert_eq!(metric("sluice_connections", &[]), 10.0, "{}", metrics());
        for client in &mut inside {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        inside.pop();
        wait::until("room for one more", || get("/httpbin/get").ok().filter(|a| a.status == 200));
    });
}

#[test]
fn a_backend_that_never_answers_costs_its_own_requests_only() {
    let flags = &["--upstream-response-timeout", "1s", "--access-log", "off"];
    with_gateway_flags("mute", flags, |_, running| {
        let mute = TcpListener::bind(ODD).unwrap();
        let held = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&held);
        thread::spawn(move || {
            for mut stream in mute.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    // Takes all that comes and never says a word.
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        running.config.write("odd.yaml", ODD_ROUTE).unwrap();
        running.wait_for_status("/odd", 504);
        let mut waiting: Vec<Client> = (0..200).map(|_| client()).collect();
        for client in &mut waiting {
            client.send("GET /odd HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
        neighbours_are_served("a backend that never answers");
        for client in &mut waiting {
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.reason()), (504, Some("upstream_response_timeout")));
            // The client's connection is as good as before.
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        wait::until("the end of every connection to it", || {
            (held.load(Ordering::Relaxed) == 0).then_some(())
        });
        assert_eq!(active(), 0.0);
    });
}

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
    const NAME: &str = "two_thousand_readers_that_stall_cost_a_bounded_amount_and_are_cut";
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
        running.config.write("odd.yaml", ODD_ROUTE).unwrap();
        wait::until("the route", || metric("sluice_config_generation", &[]).ge(&2.0).then_some(()));
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

#[test]
fn twelve_thousand_idle_connections_hold_no_buffers() {
    const NAME: &str = "twelve_thousand_idle_connections_hold_no_buffers";
    const IDLE: u64 = 12_000;
    /// For the task, its operations and its places in the books; with the request's buffer it would not fit.
    const MOST_BYTES: u64 = 18 * 1024;
    if let Some(words) = role::played() {
        return hold_crowd(&words);
    }
    netns::run("idle", |inside| {
        let flags = ["--max-connections", "12000", "--access-log", "off"];
        let running = Running::start(inside, &flags);
        neighbours_are_served("nobody");
        let (pid, before) = (running.gateway.pid(), rss_kib(running.gateway.pid()));
        // So large that a buffer that is kept shows, page by page.
        let request =
            format!("GET /httpbin/status/204 HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(12_000));
        let half = (IDLE / 2).to_string();
        let start = |_| Guarded::spawn(&mut role::copy(NAME, &[&half, &request, "yes"])).unwrap();
        let mut crowds: Vec<Guarded> = (0..2).map(start).collect();
        crowds.iter_mut().for_each(|crowd| crowd.wait_for_output("all there"));
        assert!(metric("sluice_connections", &[]) >= IDLE as f64, "{}", metrics());
        let bound = before + IDLE * MOST_BYTES / 1024;
        let after = peak_rss_kib(pid, Duration::from_secs(2));
        let each = after.saturating_sub(before) * 1024 / IDLE;
        eprintln!("{IDLE} idle connections: VmRSS {before} KiB before, {after} KiB now: {each} bytes each");
        assert!(after <= bound, "{each} bytes each");
        neighbours_are_served("12,000 idle connections");
        drop(crowds);
        wait::until("the end of them all", || (metric("sluice_connections", &[]) < 10.0).then_some(()));
    });
}

/// A backend that answers every request with chunks until its client is gone; counts what it sent, and who is there.
fn endless_backend() -> (Arc<AtomicU64>, Arc<AtomicU64>) {
    let (sent, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, there) = (Arc::clone(&sent), Arc::clone(&open));
    let listener = TcpListener::bind(ODD).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            there.fetch_add(1, Ordering::Relaxed);
            let (count, there) = (Arc::clone(&count), Arc::clone(&there));
            thread::spawn(move || {
                send_without_end(stream, &count);
                there.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    (sent, open)
}

fn send_without_end(mut stream: TcpStream, count: &AtomicU64) {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head);
    let mut chunk = format!("{:x}\r\n", 32 << 10).into_bytes();
    chunk.resize(chunk.len() + (32 << 10), b'x');
    chunk.extend(b"\r\n");
    if stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err() {
        return;
    }
    while stream.write_all(&chunk).is_ok() {
        count.fetch_add(32 << 10, Ordering::Relaxed);
    }
}

#[test]
fn an_endless_download_streams_in_bounded_memory_and_waits_for_its_reader() {
    /// Far above a few buffers, far below what passes through.
    const MOST_KIB: u64 = 8 * 1024;
    with_gateway_flags("endless", &["--access-log", "off"], |_, running| {
        let (sent, open) = endless_backend();
        running.config.write("odd.yaml", ODD_ROUTE).unwrap();
        wait::until("the route", || metric("sluice_config_generation", &[]).ge(&2.0).then_some(()));
        neighbours_are_served("nobody");
        let pid = running.gateway.pid();
        let before = rss_kib(pid);
        let mut reader = TcpStream::connect(HTTP).unwrap();
        reader.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        reader.write_all(b"GET /odd HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (mut seen, mut peak, mut buffer) = (0_u64, 0, vec![0; 256 << 10]);
        while seen < 128 << 20 {
            let n = reader.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "ended after {seen} bytes");
            seen += n as u64;
            peak = peak.max(rss_kib(pid));
        }
        eprintln!("128 MiB of an endless body: VmRSS {before} KiB before, {peak} KiB at most");
        assert!(peak <= before + MOST_KIB);
        // Now nobody reads: the backend must come to wait, not the memory to grow.
        let count = || sent.load(Ordering::Relaxed);
        wait::until("the backend to wait", || {
            let before = count();
            thread::sleep(Duration::from_millis(300));
            (count() == before).then_some(())
        });
        let waiting = rss_kib(pid);
        assert!(waiting <= before + MOST_KIB, "{waiting} KiB while nobody reads");
        drop(reader);
        wait::until("the backend to be let go", || (open.load(Ordering::Relaxed) == 0).then_some(()));
        neighbours_are_served("nobody");
    });
}

#[test]
fn an_endless_upload_waits_for_a_backend_that_reads_nothing() {
    const MOST_KIB: u64 = 8 * 1024;
    with_gateway_flags("upload", &["--access-log", "off"], |_, running| {
        let deaf = TcpListener::bind(ODD).unwrap();
        running.config.write("odd.yaml", ODD_ROUTE).unwrap();
        wait::until("the route", || metric("sluice_config_generation", &[]).ge(&2.0).then_some(()));
        neighbours_are_served("nobody");
        let pid = running.gateway.pid();
        let before = rss_kib(pid);
        let writer = TcpStream::connect(HTTP).unwrap();
        let written = Arc::new(AtomicU64::new(0));
        let (count, mut upload) = (Arc::clone(&written), writer.try_clone().unwrap());
        let sending = thread::spawn(move || {
            let _ = upload.write_all(b"POST /odd HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("{:x}\r\n{}\r\n", 32 << 10, "x".repeat(32 << 10));
            while upload.write_all(chunk.as_bytes()).is_ok() {
                count.fetch_add(32 << 10, Ordering::Relaxed);
            }
        });
        let (backend, _) = deaf.accept().unwrap();
        wait::until("the client to wait", || {
            let before = written.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(300));
            (before > 0 && written.load(Ordering::Relaxed) == before).then_some(())
        });
        let waiting = rss_kib(pid);
        let sent = written.load(Ordering::Relaxed);
        eprintln!(
            "an upload that nobody reads stops after {sent} bytes: VmRSS {before} KiB, then {waiting} KiB"
        );
        assert!(waiting <= before + MOST_KIB);
        neighbours_are_served("a stalled upload");
        // The backend gives up: the client learns it and is let go, though it would send for ever.
        drop(backend);
        let mut told = Client::from(writer);
        let answer = told.answer().unwrap();
        assert_eq!((answer.status, answer.reason()), (502, Some("upstream_reset")));
        drop(told);
        sending.join().unwrap();
        wait::until("its end", || (active() == 0.0).then_some(()));
    });
}

#[test]
fn a_log_that_nobody_reads_drops_lines_and_delays_nothing() {
    netns::run("log-stalled", |inside| {
        let pipe = inside.scratch().join("log");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Open for both, so that opening waits for nobody; nothing is read until the end.
        let mut reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let path = pipe.to_str().unwrap();
        let mut running = Running::start(inside, &["--access-log", path, "--drain-min", "0s"]);
        let target = format!("/httpbin/status/204?{}", "x".repeat(6000));
        let (mut kept, mut asked) = (client(), 0);
        wait::until("lines to be dropped", || {
            for _ in 0..200 {
                assert_eq!(kept.get("a", &target).unwrap().status, 204);
                asked += 1;
            }
            (metric("sluice_log_dropped_total", &[]) > 0.0).then_some(())
        });
        neighbours_are_served("a log that nobody reads");
        eprintln!("{asked} requests with lines of 6 KB before the first line was dropped");
        // Read again, it goes on with whole lines.
        let written = metric("sluice_access_log_written_bytes_total", &[]);
        let mut part = vec![0; 1 << 20];
        wait::until("the log to go on", || {
            let _ = reader.read(&mut part).unwrap();
            (metric("sluice_access_log_written_bytes_total", &[]) > written + 2e6).then_some(())
        });
        // Stuck once more, it does not keep the process from ending.
        for _ in 0..200 {
            assert_eq!(kept.get("a", &target).unwrap().status, 204);
        }
        running.gateway.signal(Signal::SIGTERM).unwrap();
        let ended = running.gateway.wait();
        assert!(ended.success(), "{ended:?}\n{}", running.log());
    });
}
