//! Flows of datagrams over hot restarts: their backends see the ports that they saw before.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::metric;
use crate::line::{Line, StopPoint, ended_well, with_line};
use crate::udp;

/// Room for all of them, though they have one address.
const ROOM: [&str; 4] = ["--max-udp-flows", "1000", "--max-udp-flows-per-client", "1000"];

/// A client, and the port by which the backend knows its flow.
struct Client {
    socket: UdpSocket,
    port: u16,
}

impl Client {
    /// One whose flow goes both ways.
    fn begin(to: SocketAddr) -> Self {
        let mut client = Self { socket: udp::client(to), port: 0 };
        client.port = client.ask();
        client.stays();
        client
    }

    /// The port that the backend sees now.
    fn ask(&self) -> u16 {
        let response = udp::ask(&self.socket, udp::PORT_PLEASE).expect("a response");
        String::from_utf8(response).unwrap().parse().unwrap()
    }

    #[track_caller]
    fn stays(&self) {
        assert_eq!(self.ask(), self.port, "the flow's port towards its backend");
    }

    /// Gets a datagram that nobody asked for.
    fn is_called(&self, server: &UdpSocket) {
        server.send_to(b"unasked", ("127.0.0.1", self.port)).unwrap();
        let mut room = [0; 16];
        let length = self.socket.recv(&mut room).expect("the backend's datagram");
        assert_eq!(&room[..length], b"unasked");
    }
}

/// Clients that ask again and again, each by its one flow, and lose nothing.
struct Steady {
    done: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Steady {
    fn start(clients: Vec<Client>) -> Self {
        let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let asking = |client: Client| {
            let (done, count) = (Arc::clone(&done), Arc::clone(&count));
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    client.stays();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = clients.into_iter().map(asking).collect();
        Self { done, count, threads }
    }

    fn more(&self) {
        let before = self.count.load(Ordering::Relaxed);
        wait::until("more of them", || {
            (self.count.load(Ordering::Relaxed) > before + 200
                || self.threads.iter().any(|one| one.is_finished()))
            .then_some(())
        });
    }

    fn end(self) {
        self.done.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|client| client.join().unwrap());
    }
}

/// Serves the resources; gives addresses of the listener, and the backend's socket.
fn serve(line: &Line<'_>) -> ([SocketAddr; 2], UdpSocket) {
    let server = udp::start_servers();
    line.running.config.write("udp.yaml", &udp::resources("team2")).unwrap();
    let both = [([127, 0, 0, 1], 53).into(), (Ipv6Addr::LOCALHOST, 53).into()];
    let first = udp::client(both[0]);
    wait::until("the listener", || udp::ask(&first, b"x").ok());
    (both, server)
}

fn begin(both: [SocketAddr; 2], count: usize) -> Vec<Client> {
    both.iter().cycle().take(count).map(|to| Client::begin(*to)).collect()
}

/// Flows that the process before had, by what became of them.
fn totals() -> [f64; 3] {
    let of = |outcome| metric("sluice_takeover_flows", &[outcome]);
    [of("outcome=\"adopted\""), of("outcome=\"ended\""), of("outcome=\"kept\"")]
}

fn all_keep_their_ports(label: &str, flags: &'static [&'static str]) {
    let flags: &[&str] = Box::leak([flags, &ROOM].concat().into_boxed_slice());
    with_line(label, flags, move |line| {
        let (both, server) = serve(line);
        let quiet = begin(both, 60);
        let steady = Steady::start(begin(both, 8));
        for _ in 0..3 {
            steady.more();
            let old = line.begin_upgrade(flags);
            // Before their clients send anything.
            quiet.iter().for_each(|client| client.is_called(&server));
            steady.more();
            // It has no flow left to wait for.
            ended_well(old);
            quiet.iter().for_each(Client::stays);
            // One more has asked whether the listener is there.
            assert_eq!(totals(), [69.0, 0.0, 0.0], "{}", line.running.log());
        }
        steady.end();
        assert_eq!(metric("sluice_udp_flows_evicted_total", &[]), 0.0);
    });
}

#[test]
fn keep_their_ports_ebpf_uring() {
    let flags = &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"];
    all_keep_their_ports("take-flows-eu", flags);
}

#[test]
fn keep_their_ports_ebpf_epoll() {
    all_keep_their_ports("take-flows-ee", &["--steering", "ebpf", "--io", "epoll"]);
}

#[test]
fn keep_their_ports_reuseport_uring() {
    let flags = &["--steering", "reuseport", "--io", "uring", "--ring-entries", "256"];
    all_keep_their_ports("take-flows-ru", flags);
}

#[test]
fn keep_their_ports_reuseport_epoll() {
    all_keep_their_ports("take-flows-re", &["--steering", "reuseport", "--io", "epoll"]);
}

/// With more workers the kernel gives some clients other ones.
fn all_keep_their_ports_with_other_workers(label: &str, flags: &'static [&'static str]) {
    let of = move |workers: &'static str| -> &'static [&'static str] {
        Box::leak([flags, &ROOM, &["--workers", workers]].concat().into_boxed_slice())
    };
    with_line(label, of("2"), move |line| {
        let (both, server) = serve(line);
        let quiet = begin(both, 40);
        let steady = Steady::start(begin(both, 4));
        for workers in ["1", "4", "3", "2", "3"] {
            steady.more();
            let old = line.begin_upgrade(of(workers));
            quiet.iter().for_each(|client| client.is_called(&server));
            quiet.iter().for_each(Client::stays);
            quiet.iter().for_each(|client| client.is_called(&server));
            steady.more();
            ended_well(old);
            assert_eq!(totals(), [45.0, 0.0, 0.0], "{}", line.running.log());
            wait::until("one worker to have each flow", || {
                (metric("sluice_udp_flows", &[]) == 45.0).then_some(())
            });
        }
        steady.end();
        quiet.iter().for_each(Client::stays);
    });
}

#[test]
fn keep_their_ports_with_other_workers_uring() {
    let flags = &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"];
    all_keep_their_ports_with_other_workers("take-flows-wu", flags);
}

#[test]
fn keep_their_ports_with_other_workers_epoll() {
    all_keep_their_ports_with_other_workers("take-flows-we", &["--steering", "reuseport", "--io", "epoll"]);
}

/// The new process has room for a part of them.
#[test]
fn those_beyond_the_limit_end_in_the_process_before() {
    const FLAGS: &[&str] = &["--steering", "reuseport", "--io", "epoll", "--workers", "1"];
    const MANY: &[&str] = &["--max-udp-flows", "100", "--max-udp-flows-per-client", "100"];
    const FEW: &[&str] = &["--max-udp-flows", "20", "--max-udp-flows-per-client", "20"];
    let [many, few] = [MANY, FEW].map(|limit| &*Box::leak([FLAGS, limit].concat().into_boxed_slice()));
    with_line("take-flows-few", many, move |line| {
        let (both, server) = serve(line);
        // Those that were used last are handed over.
        let kept = begin(both, 20);
        let handed = begin(both, 20);
        let old = line.begin_upgrade(few);
        // Datagrams that nobody asked for still come to all of them.
        kept.iter().chain(&handed).for_each(|client| client.is_called(&server));
        assert_eq!(totals(), [20.0, 0.0, 21.0], "{}", line.running.log());
        handed.iter().for_each(Client::stays);
        let old = ended_well(old);
        assert!(
            old.output().contains("20 flows of datagrams were handed over, and 21 stay"),
            "{}",
            old.output()
        );
    });
}

/// The new process ends when it has flows and the old one has not let go: they are the old one's again.
#[test]
fn come_back_if_the_new_process_ends() {
    const FLAGS: &[&str] = &["--steering", "ebpf", "--io", "epoll"];
    let flags: &[&str] = Box::leak([FLAGS, &ROOM].concat().into_boxed_slice());
    with_line("take-flows-back", flags, move |line| {
        let (both, server) = serve(line);
        let quiet = begin(both, 30);
        let gate = StopPoint::closed(line.inside, "flows");
        ended_well(line.begin_upgrade_with(flags, &[("SLUICE_FAULT", gate.fault())]));
        let steady = Steady::start(begin(both, 4));
        steady.more();
        let mut new = line.spawn(flags, &[]);
        line.running.gateway.wait_for_output("injected: stopped at flows");
        new.signal(Signal::SIGKILL).unwrap();
        new.wait();
        gate.open();
        line.running.gateway.wait_for_output("did not take over");
        steady.more();
        quiet.iter().for_each(|client| client.is_called(&server));
        quiet.iter().for_each(Client::stays);
        assert_eq!(metric("sluice_takeover_failures_total", &["vanished"]), 1.0);
        // And they go on with the next one.
        ended_well(line.begin_upgrade(flags));
        steady.more();
        steady.end();
        quiet.iter().for_each(Client::stays);
    });
}

/// To a version that makes sockets of its own and back: flows begin anew, and no client is without a response for long.
#[test]
fn begin_anew_with_older_versions() {
    const FLAGS: &[&str] = &["--steering", "reuseport", "--io", "epoll"];
    let flags: &[&str] = Box::leak([FLAGS, &ROOM].concat().into_boxed_slice());
    with_line("take-flows-old", flags, move |line| {
        let (both, server) = serve(line);
        let older = &[("SLUICE_FAULT", "takeover:no-datagrams")];
        for environment in [&older[..], &[]] {
            let clients = begin(both, 20);
            let old = line.begin_upgrade_with(flags, environment);
            // The one before still sends what its flows' backends say.
            clients.iter().for_each(|client| client.is_called(&server));
            clients.iter().for_each(|client| assert_ne!(client.ask(), client.port));
            assert_eq!(totals(), [0.0; 3]);
            ended_well(old);
            begin(both, 4);
        }
        // Two of this version again.
        let clients = begin(both, 20);
        ended_well(line.begin_upgrade(flags));
        clients.iter().for_each(Client::stays);
    });
}
