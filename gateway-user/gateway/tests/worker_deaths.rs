//! A panic ends a connection, or a worker's thread, of a gateway that serves: what else notices it.

mod common;
#[path = "common/kernel.rs"]
mod kernel;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{HTTP, Running, metric, metrics, sluice, text};
use gateway_testkit::http::{self, Client};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::wait;

/// Connections that wait in the queues when the worker dies.
const QUEUED: usize = 60;
/// Kept connections that send all the time.
const KEPT: u64 = 12;

fn connect() -> Client {
    Client::connect(HTTP.parse().unwrap()).unwrap()
}

fn request(id: &str, more: &str) -> String {
    format!("GET /httpbin/anything/{id} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

/// Checks that the next response is the one to this request.
fn check_response(client: &mut Client, id: &str) -> Result<(), String> {
    let response = client.response().map_err(|error| error.to_string())?;
    let fits = response.status == 200 && response.text().contains(&format!("/anything/{id}\""));
    fits.then_some(()).ok_or_else(|| format!("{id}: {} {}", response.status, response.text()))
}

/// Clients on kept connections, each a thread that sends until it is stopped or its connection breaks.
struct KeptConnections {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl KeptConnections {
    fn start() -> Self {
        let (stop, served): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let clients: Vec<_> = (0..KEPT)
            .map(|number| {
                let mut client = connect();
                client.send(request(&format!("first{number}"), "")).unwrap();
                check_response(&mut client, &format!("first{number}")).unwrap();
                client
            })
            .collect();
        let send = |(number, client): (usize, Client)| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || send(client, number, &stop, &served))
        };
        let threads = clients.into_iter().enumerate().map(send).collect();
        let kept = Self { stop: Arc::clone(&stop), served: Arc::clone(&served), threads };
        kept.wait_for_more(50);
        kept
    }

    fn wait_for_more(&self, count: u64) {
        let goal = self.served.load(Ordering::SeqCst) + count;
        wait::until("more responses", || (self.served.load(Ordering::SeqCst) >= goal).then_some(()));
    }

    /// Ends sending; says whose connections broke, and how.
    fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.drain(..).filter_map(|thread| thread.join().unwrap().err()).collect()
    }
}

impl Drop for KeptConnections {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn send(mut client: Client, number: usize, stop: &AtomicBool, count: &AtomicU64) -> Result<(), String> {
    for turn in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let id = format!("{number}-{turn}");
        client.send(request(&id, "")).map_err(|error| error.to_string())?;
        check_response(&mut client, &id)?;
        count.fetch_add(1, Ordering::SeqCst);
        // Leaves the processes under test a part of the machine.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Makes a worker stand still, fills its queue, has it die, and looks at everybody else.
fn a_worker_dies(inside: &Inside, steering: &str, io: &str, workers: usize) {
    let count = workers.to_string();
    let flags =
        ["--steering", steering, "--io", io, "--workers", &count, "--cpus", "none", "--access-log", "off"];
    let running = Running::start_with(inside, &flags, &[("SLUICE_FAULT", "requests")]);
    let kept = KeptConnections::start();
    let release = inside.scratch().join("release");
    let mut victim = connect();
    victim.send(request("victim", &format!("X-Sluice-Fault: worker {}\r\n", release.display()))).unwrap();
    wait::until("a worker to stand still", || running.log().contains("stands still").then_some(()));

    let mut waiting: Vec<Client> = (0..QUEUED)
        .map(|number| {
            let mut client = connect();
            client.send(request(&format!("queued{number}"), "")).unwrap();
            client.stream().set_nonblocking(true).unwrap();
            client
        })
        .collect();
    let has_answer = |client: &&Client| client.stream().peek(&mut [0]).is_ok_and(|n| n > 0);
    // One queue: the sum alone is right too before a living worker has accepted its share.
    let queued = wait::until("connections in the queue of the one, and responses of the others", || {
        let (done, queues) = (waiting.iter().filter(has_answer).count(), kernel::queues());
        (queues.len() == 1 && done + queues[0] == QUEUED).then_some(queues[0])
    });
    if workers > 1 {
        kept.wait_for_more(100);
    }
    let before = metric("sluice_requests_total", &[]);
    let migrated = kernel::netstat("TCPMigrateReqSuccess");
    std::fs::write(&release, "").unwrap();

    for (number, client) in waiting.iter_mut().enumerate() {
        client.stream().set_nonblocking(false).unwrap();
        let what = check_response(client, &format!("queued{number}"));
        assert!(what.is_ok(), "{queued} were queued; {what:?}\n{}", running.log());
    }
    let migrated = kernel::netstat("TCPMigrateReqSuccess") - migrated;
    // Without kernel programs, or with one worker, the socket itself stays, with all that waits in it.
    let expected = if steering == "ebpf" && workers > 1 { queued } else { 0 };
    assert_eq!(migrated, expected as u64, "{queued} were queued");
    assert!(victim.response().is_err());
    must_serve_again(&running, workers);

    let lost = kept.stop();
    let counted = metric("sluice_worker_lost_connections_total", &[]);
    assert_eq!(counted, lost.len() as f64 + 1.0, "the dead worker's own, and no other: {lost:?}");
    assert!(workers == 1 || (lost.len() as u64) < KEPT, "some were on other workers");
    assert_eq!(metric("sluice_worker_deaths_total", &[]), 1.0);
    assert!(metric("sluice_requests_total", &[]) > before, "what the dead one counted stays: {}", metrics());
    assert_eq!(metric("sluice_panics_total", &[]), 0.0, "no connection was to blame");
    for verdict in ["migrate_failed", "hashed", "broken"] {
        let verdict = format!("verdict=\"{verdict}\"");
        assert_eq!(metric("sluice_steering_verdicts_total", &[&verdict]), 0.0, "{}", metrics());
    }
    wait::until("the log", || running.log().contains("a worker died").then_some(()));
    let said = text(&sluice(&["status"]));
    assert!(said.contains("deaths"), "{said}");
}

/// Every slot has a worker that gets connections and serves them.
fn must_serve_again(running: &Running, workers: usize) {
    let accepted = |slot: usize| metric("sluice_worker_accepted_total", &[&format!("worker=\"{slot}\"")]);
    wait::until("the successor to have its sockets", || {
        running.log().contains("replacement worker is serving").then_some(())
    });
    assert_eq!(metric("sluice_workers", &[]), workers as f64);
    let before: Vec<f64> = (0..workers).map(accepted).collect();
    // So many that none is passed over by chance, and all open at once: balanced by load, all go to the
    // successor until it has as many as the others, who still have everybody that was there before.
    let mut clients: Vec<Client> = (0..2 * (QUEUED + 40)).map(|_| connect()).collect();
    for client in &mut clients {
        client.send(request("again", "")).unwrap();
        let what = check_response(client, "again");
        assert!(what.is_ok(), "{what:?}\n{}", running.log());
    }
    let after: Vec<f64> = (0..workers).map(accepted).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| after > before), "{before:?} {after:?}");
}

#[test]
fn with_ebpf_and_uring_the_queue_of_a_dead_worker_moves_to_others() {
    netns::run("died-eu", |inside| a_worker_dies(inside, "ebpf", "uring", 2));
}

#[test]
fn with_ebpf_and_epoll_the_queue_of_a_dead_worker_moves_to_others() {
    netns::run("died-ee", |inside| a_worker_dies(inside, "ebpf", "epoll", 2));
}

#[test]
fn with_reuseport_and_uring_the_queue_of_a_dead_worker_waits_for_its_successor() {
    netns::run("died-ru", |inside| a_worker_dies(inside, "reuseport", "uring", 2));
}

#[test]
fn with_reuseport_and_epoll_the_queue_of_a_dead_worker_waits_for_its_successor() {
    netns::run("died-re", |inside| a_worker_dies(inside, "reuseport", "epoll", 2));
}

#[test]
fn with_ebpf_the_queue_of_the_only_worker_waits_for_its_successor() {
    netns::run("died-e1", |inside| a_worker_dies(inside, "ebpf", "uring", 1));
}

#[test]
fn with_reuseport_the_queue_of_the_only_worker_waits_for_its_successor() {
    netns::run("died-r1", |inside| a_worker_dies(inside, "reuseport", "epoll", 1));
}

/// Descriptors that a process has open.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Panics before and while a backend has a part in it, on new connections and on used ones.
fn connections_panic(inside: &Inside, io: &str) {
    const ROUNDS: usize = 10;
    let flags = ["--steering", "ebpf", "--io", io, "--workers", "1", "--access-log", "off"];
    let running = Running::start_with(inside, &flags, &[("SLUICE_FAULT", "requests")]);
    let mut others: Vec<Client> = (0..8).map(|_| connect()).collect();
    let ask_others = |others: &mut [Client]| {
        for client in others {
            client.send(request("other", "")).unwrap();
            let what = check_response(client, "other");
            assert!(what.is_ok(), "{what:?}\n{}", running.log());
        }
    };
    ask_others(&mut others);
    let pid = running.gateway.pid();
    let backends = || metric("sluice_upstream_idle", &[]);
    let base = wait::until("the pool to be counted", || (backends() > 0.0).then(|| descriptors(pid)));
    for round in 0..ROUNDS {
        for fault in ["routing", "leased"] {
            let mut doomed = connect();
            if round % 2 == 0 {
                doomed.send(request("before", "")).unwrap();
                check_response(&mut doomed, "before").unwrap();
            }
            doomed.send(request("doomed", &format!("X-Sluice-Fault: panic {fault}\r\n"))).unwrap();
            assert!(doomed.response().is_err(), "its connection ends without a response");
            ask_others(&mut others);
        }
    }
    let panics = (2 * ROUNDS) as f64;
    wait::until("the books to be right", || {
        let now = ["sluice_panics_total", "sluice_connections", "http_server_active_requests"];
        (now.map(|name| metric(name, &[])) == [panics, 8.0, 0.0]).then_some(())
    });
    // A connection to the backend that was leased is not given back; whatever else was opened is closed.
    wait::until("descriptors to be given back", || (descriptors(pid) <= base).then_some(()));
    assert_eq!(metric("sluice_worker_deaths_total", &[]), 0.0);
    let said = || running.log().matches("a connection was ended by a panic").count();
    wait::until("the log", || (said() == 2 * ROUNDS).then_some(()));
    ask_others(&mut others);
    drop(others);
    wait::until("nobody to be left", || (metric("sluice_connections", &[]) == 0.0).then_some(()));
    let response = http::get(HTTP.parse().unwrap(), "a", "/httpbin/get").unwrap();
    assert_eq!(response.status, 200);
}

#[test]
fn with_uring_a_panic_in_a_connection_is_noticed_by_nobody_else() {
    netns::run("panic-u", |inside| connections_panic(inside, "uring"));
}

#[test]
fn with_epoll_a_panic_in_a_connection_is_noticed_by_nobody_else() {
    netns::run("panic-e", |inside| connections_panic(inside, "epoll"));
}
