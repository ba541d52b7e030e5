//! Many connections, slow ones, and changes while they run.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use gateway_testkit::http::{Client, is_silent};
use gateway_testkit::wait::{WAIT_TIMEOUT, until};
use support::backend::{Backend, ok};
use support::ir::{Config, forward};
use support::{Gateway, block_on};

on_every_driver![
    a_slow_reader_slows_the_backend,
    a_slow_backend_slows_the_client,
    a_burst_that_comes_again_finds_its_connections,
    two_thousand_connections_at_once,
    clients_that_leave_with_their_answer_have_had_it,
    a_connection_too_many_is_told_so,
    a_flood_leaves_room_for_others,
    nothing_fails_while_generations_change,
    an_aborted_generation_never_serves,
    a_retired_socket_serves_what_it_had_queued,
    a_drain_ends_in_order,
    a_drain_without_accepting_leaves_idle_connections_their_next_request,
    a_drain_tells_busy_connections_one_after_another,
    a_drain_cuts_what_will_not_end,
    logged_octets_stay_json,
];

/// Longer than it takes a connection to be quiet: its next response tells it of a drain.
const QUIET: Duration = Duration::from_millis(1300);

/// How far one side may run ahead of the other: both sockets' buffers at the kernel's largest, twice.
const WINDOW: u64 = 64 << 20;

fn a_slow_reader_slows_the_backend(driver: Driver) {
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let backend = Backend::start(move |mut exchange| {
        exchange.request();
        exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n").unwrap();
        let piece = vec![7; 1 << 20];
        while exchange.stream.write_all(&piece).is_ok() {
            count.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stalls(&sent);
    assert!(sent.load(Ordering::SeqCst) < WINDOW, "the backend's writes wait for the client");
    let before = sent.load(Ordering::SeqCst);
    let mut sink = vec![0; 1 << 20];
    until("the backend to go on", || {
        client.stream().read_exact(&mut sink).unwrap();
        (sent.load(Ordering::SeqCst) > before + (8 << 20)).then_some(())
    });
}

fn a_slow_backend_slows_the_client(driver: Driver) {
    let release = Arc::new(AtomicBool::new(false));
    let may = release.clone();
    let backend = Backend::start(move |mut exchange| {
        let mut request = exchange.head().unwrap();
        until("the release", || may.load(Ordering::SeqCst).then_some(()));
        exchange.body(&mut request).unwrap();
        exchange.stream.write_all(&ok(request.body.len().to_string())).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    let length = 2 * WINDOW;
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let mut writer = client.stream().try_clone().unwrap();
    let writing = thread::spawn(move || {
        let piece = vec![7; 1 << 16];
        while count.load(Ordering::SeqCst) < length {
            writer.write_all(&piece).unwrap();
            count.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
    });
    stalls(&sent);
    assert!(sent.load(Ordering::SeqCst) < WINDOW, "the client's writes wait for the backend");
    release.store(true, Ordering::SeqCst);
    assert_eq!(client.response().unwrap().text(), length.to_string());
    writing.join().unwrap();
}

/// Waits until a counter has begun to move and has stopped.
fn stalls(counter: &AtomicU64) {
    let mut last = (0, Instant::now());
    until("a stall", || {
        let now = counter.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (now > 0 && last.1.elapsed() > Duration::from_millis(500)).then_some(())
    });
}

/// The end of a send and the word that its client has left may come at once.
fn clients_that_leave_with_their_answer_have_had_it(driver: Driver) {
    const AT_ONCE: usize = 64;
    const REQUESTS: usize = 3000;
    let backend = Backend::named("here");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let ask = || {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        client.stream().set_nonblocking(true).unwrap();
        client
    };
    let mut clients: Vec<_> = (0..AT_ONCE).map(|_| ask()).collect();
    let (mut answered, end) = (0, Instant::now() + WAIT_TIMEOUT);
    // One thread that is never asleep leaves while the worker still gives others their responses.
    while answered < REQUESTS {
        assert!(Instant::now() < end, "{answered} have their answer");
        for client in &mut clients {
            let mut answer = [0; 4096];
            match client.stream().read(&mut answer) {
                Ok(length) => assert!(answer[..length].ends_with(b"here")),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("{error}"),
            }
            *client = ask();
            answered += 1;
        }
    }
    let lines = gateway.log_lines(REQUESTS);
    let failed: Vec<_> = lines.iter().filter(|line| !line["reason"].is_null()).collect();
    assert!(failed.is_empty(), "{} of them, such as {}", failed.len(), failed[0]);
}

/// As many connections are kept as were in use at once, or as many as the setting says.
fn a_burst_that_comes_again_finds_its_connections(driver: Driver) {
    const BURST: usize = 150;
    for (max_idle_upstream, connects) in [(None, BURST as u64), (Some(100), 50 + BURST as u64)] {
        let all_are_there = Barrier::new(BURST);
        let backend = Backend::answering(move |_| {
            all_are_there.wait();
            ok("here")
        });
        let proxy = ProxyConfig { max_idle_upstream, ..ProxyConfig::default() };
        let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
        let mut clients: Vec<_> = (0..BURST).map(|_| gateway.connect()).collect();
        for _ in 0..2 {
            for client in &mut clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            }
            for client in &mut clients {
                assert_eq!(client.response().unwrap().text(), "here");
            }
            gateway.until("the end of the burst", |counters| counters.active_requests == 0);
        }
        assert_eq!(gateway.metrics().counters.upstream_connects, connects);
    }
}

fn two_thousand_connections_at_once(driver: Driver) {
    let backend = Backend::named("here");
    let proxy = ProxyConfig { max_idle_upstream: Some(64), ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut clients = Vec::new();
    // In steps that the accept queue holds: what overflows it is connected for the client and unknown to the server
    // until the handshake's last step is sent again, which takes seconds and then longer.
    while clients.len() < 2000 {
        clients.extend((0..100).map(|_| gateway.connect()));
        gateway.until("the connections so far", |counters| counters.connections == clients.len() as u64);
    }
    assert_eq!(gateway.gauge(), 2000);
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.response().unwrap().text(), "here");
    }
    for client in clients.iter_mut().step_by(10) {
        assert_eq!(client.get("a", "/again").unwrap().text(), "here");
    }
    gateway.until("the pool's bound", |counters| counters.upstream_idle <= 64);
    drop(clients);
    gateway
        .until("all connections' end", |counters| counters.connections == 0 && counters.active_requests == 0);
}

fn a_connection_too_many_is_told_so(driver: Driver) {
    let backend = Backend::named("here");
    let two = ProxyConfig { max_connections: 2, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), two);
    let mut kept = [gateway.connect(), gateway.connect()];
    for client in &mut kept {
        assert_eq!(client.get("a", "/").unwrap().text(), "here");
    }
    let mut third = gateway.connect();
    third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let answer = third.response().unwrap();
    assert_eq!((answer.status, answer.reason()), (503, Some("overload_connections")));
    assert_eq!(kept[0].get("a", "/").unwrap().text(), "here");
    drop(kept);
    gateway.until("room", |counters| counters.connections == 0);
    assert_eq!(gateway.get("/").text(), "here");
    assert_eq!(gateway.metrics().counters.overloaded, 1);
}

/// Ends a connection that other threads hold too, also when the test fails.
struct Ending(Client);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.stream().shutdown(std::net::Shutdown::Both);
    }
}

/// One client whose requests and answers never make the worker wait.
fn a_flood_leaves_room_for_others(driver: Driver) {
    let backend = Backend::named("here");
    let config = Config::default().rule(forward("/app", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let flood = gateway.connect();
    let (mut writer, mut reader) = (flood.stream().try_clone().unwrap(), flood.stream().try_clone().unwrap());
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    let writing = thread::spawn(move || while writer.write_all(requests.as_bytes()).is_ok() {});
    let reading = thread::spawn(move || while reader.read(&mut [0; 1 << 16]).is_ok_and(|n| n > 0) {});
    gateway.until("the flood", |counters| counters.requests > 5000);
    let ending = Ending(flood);
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(client.get("a", "/app").unwrap().text(), "here");
    }
    drop(ending);
    writing.join().unwrap();
    reading.join().unwrap();
}

fn nothing_fails_while_generations_change(driver: Driver) {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let config = |address| Config::default().rule(forward("/", "app")).endpoints("app", &[address]);
    let mut gateway = Gateway::start(driver, &config(one.address()));
    let stop = Arc::new(AtomicBool::new(false));
    let address = gateway.address;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut client = Client::connect(address).unwrap();
                let mut count = 0_u64;
                while !stop.load(Ordering::SeqCst) {
                    let answer = client.get("a", "/").unwrap();
                    assert!(
                        answer.status == 200 && matches!(answer.text().as_str(), "one" | "two"),
                        "{answer:?}"
                    );
                    count += 1;
                }
                count
            })
        })
        .collect();
    for round in 0..40 {
        let address = if round % 2 == 0 { two.address() } else { one.address() };
        let extra = (0..round).fold(config(address), |c, n| c.rule(forward(&format!("/{n}"), "app")));
        gateway.publish(&extra, vec![], vec![]);
        let served = gateway.metrics().counters.requests;
        gateway.until("requests of this generation", |counters| counters.requests > served + 20);
    }
    stop.store(true, Ordering::SeqCst);
    let counts: Vec<u64> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(counts.iter().all(|count| *count > 0));
    assert_eq!(gateway.get("/").text(), "one", "the last generation serves");
}

fn an_aborted_generation_never_serves(driver: Driver) {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let gateway = Gateway::start(driver, &Config::to(old.address()));
    let generation = gateway_ir::Generation(99);
    let config = Config::default().rule(forward("/", "new")).endpoints("new", &[new.address()]);
    let snapshot = Arc::new(gateway_snapshot::compile(&config.ir(gateway.address), generation));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let extra = socket.local_addr().unwrap();
    let sockets = vec![socket].into();
    let prepare = |reply| WorkerCommand::Prepare { generation, snapshot, sockets, reply };
    gateway.ask(prepare).unwrap();
    assert_eq!(gateway.get("/").text(), "old", "prepared is not committed");
    gateway.tell(WorkerCommand::Abort { generation });
    let (retire, retire_datagrams) = (vec![], vec![]);
    let commit = |reply| WorkerCommand::Commit { generation, retire, retire_datagrams, reply };
    assert!(!gateway.ask(commit));
    assert_eq!(gateway.get("/").text(), "old");
    until("the aborted socket's close", || Client::connect(extra).is_err().then_some(()));
}

fn a_retired_socket_serves_what_it_had_queued(driver: Driver) {
    let backend = Backend::named("here");
    let config = Config::to(backend.address());
    let mut gateway = Gateway::start(driver, &config);
    let mut kept = gateway.connect();
    assert_eq!(kept.get("a", "/").unwrap().text(), "here");
    let address = gateway.address;
    gateway.publish(&config, vec![], vec![address]);
    until("the socket's close", || match Client::connect(address) {
        Ok(mut late) => {
            // Accepted while the socket was closing: served all the same.
            match late.get("a", "/") {
                Ok(answer) => assert_eq!(answer.text(), "here"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
            }
            None
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            Some(())
        }
    });
    assert_eq!(kept.get("a", "/").unwrap().text(), "here", "connections outlive their socket");
}

fn a_drain_ends_in_order(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target == "/slow" {
                thread::sleep(Duration::from_millis(300));
            }
            if exchange.stream.write_all(&ok("here")).is_err() {
                return;
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let (mut busy, mut idle, mut late) = (gateway.connect(), gateway.connect(), gateway.connect());
    for client in [&mut busy, &mut idle, &mut late] {
        assert_eq!(client.get("a", "/").unwrap().header("connection"), None);
    }
    thread::sleep(QUIET);
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    gateway.until("the slow request", |counters| counters.active_requests == 1);
    let min = Duration::from_millis(700);
    let limits = DrainLimits { accept: min, idle: min, max: WAIT_TIMEOUT };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    let answer = busy.response().unwrap();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("here", Some("close")));
    assert!(busy.at_end().unwrap());
    assert!(is_silent(&late, Duration::from_millis(50)).unwrap(), "idle connections stay for a while");
    assert_eq!(late.get("a", "/").unwrap().header("connection"), Some("close"), "and are answered");
    assert!(idle.at_end().unwrap(), "then they are closed");
    assert_eq!(block_on(drained).unwrap().aborted, 0);
    assert!(Client::connect(gateway.address).is_err(), "nothing new is accepted");
}

/// As when another process has taken the sockets over: nothing is accepted, but kept connections have their next request.
fn a_drain_without_accepting_leaves_idle_connections_their_next_request(driver: Driver) {
    let backend = Backend::named("here");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let sockets = block_on(gateway.send(|reply| WorkerCommand::Listeners { reply })).unwrap().unwrap();
    assert!(!sockets.is_empty());
    let mut kept: Vec<Client> = (0..4).map(|_| gateway.connect()).collect();
    for client in &mut kept {
        assert_eq!(client.get("a", "/").unwrap().header("connection"), None);
    }
    thread::sleep(QUIET);
    let (max, zero) = (Duration::from_secs(2), Duration::ZERO);
    let limits = DrainLimits { accept: zero, idle: max, max };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    until("the drain", || {
        let listeners = block_on(gateway.send(|reply| WorkerCommand::Listeners { reply })).unwrap();
        listeners.unwrap().is_empty().then_some(())
    });
    let mut idle = kept.pop().unwrap();
    for client in &mut kept {
        assert_eq!(client.get("a", "/").unwrap().header("connection"), Some("close"));
        assert!(client.at_end().unwrap());
    }
    assert!(idle.at_end().unwrap(), "closed in order at the end");
    assert_eq!(block_on(drained).unwrap().aborted, 0);
    // The worker's own descriptor is closed; whoever has the duplicate gets who comes now.
    sockets[0].set_nonblocking(true).unwrap();
    let late = gateway.connect();
    let (_, peer) = until("the late connection", || sockets[0].accept().ok());
    assert_eq!(peer, late.stream().local_addr().unwrap());
}

/// Clients that ask without a rest come back at different times, and none is cut between two requests.
fn a_drain_tells_busy_connections_one_after_another(driver: Driver) {
    let backend = Backend::named("here");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let begun = AtomicBool::new(false);
    let (max, zero) = (Duration::from_secs(4), Duration::ZERO);
    let clients: Vec<Client> = (0..12).map(|_| gateway.connect()).collect();
    let later = thread::scope(|scope| {
        let asking: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let begun = &begun;
                scope.spawn(move || {
                    let mut more = 0;
                    loop {
                        let was_begun = begun.load(Ordering::SeqCst);
                        let response = client.get("a", "/").unwrap();
                        assert_eq!(response.text(), "here");
                        if response.header("connection") == Some("close") {
                            return more;
                        }
                        more += usize::from(was_begun);
                        thread::sleep(Duration::from_millis(10));
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        let limits = DrainLimits { accept: zero, idle: max, max };
        let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
        begun.store(true, Ordering::SeqCst);
        let later = asking.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>();
        assert_eq!(block_on(drained).unwrap().aborted, 0);
        later
    });
    // Ports of neighbours are spread over the whole time.
    assert!(later.iter().filter(|more| **more > 5).count() >= 6, "responses without a word of it: {later:?}");
}

fn a_drain_cuts_what_will_not_end(driver: Driver) {
    let backend = Backend::start(|mut exchange| while exchange.request().is_some() {});
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut stuck = gateway.connect();
    stuck.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut partial = gateway.connect();
    partial.send("GET / HT").unwrap();
    gateway.until("both requests", |counters| counters.active_requests == 2);
    let drained = gateway.drain(Duration::from_millis(50), Duration::from_millis(200));
    assert_eq!(drained.aborted, 2);
    assert!(
        stuck.rest().is_ok_and(|rest| rest.is_empty()) && partial.rest().is_ok_and(|rest| rest.is_empty())
    );
}

fn logged_octets_stay_json(driver: Driver) {
    let backend = Backend::named("here");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client
        .send(b"GET /a\"b\\c?<x>&\x7b HTTP/1.1\r\nHost: a.example:81\r\nUser-Agent: \xff\xfe\"\\\t\xc3\xa4\r\n\r\n")
        .unwrap();
    let answer = client.response().unwrap();
    let lines = gateway.log_lines(1);
    assert_eq!(lines[0]["response_code"], answer.status);
    assert_eq!(lines[0]["path"], "/a\"b\\c?<x>&{");
    assert_eq!(lines[0]["user_agent"], "\u{ff}\u{fe}\"\\\t\u{e4}");
    assert_eq!(lines[0]["authority"], "a.example:81");
    assert_eq!(lines[0]["protocol"], "HTTP/1.1");
    assert!(lines[0]["start_time"].as_str().unwrap().ends_with('Z'));
    let series = gateway.metrics().series;
    let (key, numbers) = series.sorted()[0];
    assert_eq!((key.method, numbers.duration.count()), ("GET", 1));
}
