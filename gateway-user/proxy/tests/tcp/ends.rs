//! The ends of a connection, each told to the other side as what it is.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gateway_io::Driver;
use gateway_testkit::wait::{WAIT_TIMEOUT, until};

use crate::on_every_driver;
use crate::peer::{Peer, accepting, echo, is_reset, reset};
use crate::support::Gateway;
use crate::support::ir::Config;

on_every_driver![
    a_client_may_finish_first,
    a_backend_may_finish_first,
    a_clients_reset_reaches_the_backend,
    a_backends_reset_reaches_the_client,
    a_slow_reader_slows_its_sender,
    everything_arrives_before_an_end,
    much_and_little_arrive_in_order,
];

/// A gateway before a backend whose connections are handed out.
fn handed_out(driver: Driver) -> (Gateway, Receiver<TcpStream>) {
    let (give, taken) = channel();
    let give = Mutex::new(give);
    let backend = accepting(move |stream| drop(give.lock().unwrap().send(stream)));
    (Gateway::start(driver, &Config::to_tcp(&[backend])), taken)
}

fn both_ends(driver: Driver) -> (Gateway, Peer, TcpStream) {
    let (gateway, taken) = handed_out(driver);
    let client = Peer::connect(gateway.address);
    let backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    // The kernel has made the connection before the gateway knows: what happens until then is another thing.
    gateway.until("the tunnel", |counters| counters.tunnels == 1);
    (gateway, client, backend)
}

fn a_client_may_finish_first(driver: Driver) {
    let (gateway, mut client, mut backend) = both_ends(driver);
    client.write("question");
    client.finish();
    let mut asked = String::new();
    backend.read_to_string(&mut asked).unwrap();
    assert_eq!(asked, "question");
    // Only then does the response begin.
    backend.write_all(b"answer").unwrap();
    assert_eq!(client.read(6), b"answer");
    drop(backend);
    assert_eq!(client.rest().unwrap(), b"");
    assert_eq!(gateway.log_lines(1)[0]["reason"], serde_json::Value::Null);
}

fn a_backend_may_finish_first(driver: Driver) {
    let (gateway, mut client, mut backend) = both_ends(driver);
    backend.write_all(b"bye").unwrap();
    backend.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest().unwrap(), b"bye");
    client.write("still here");
    client.finish();
    let mut got = String::new();
    backend.read_to_string(&mut got).unwrap();
    assert_eq!(got, "still here");
    assert_eq!(gateway.log_lines(1)[0]["reason"], serde_json::Value::Null);
}

fn a_clients_reset_reaches_the_backend(driver: Driver) {
    let (gateway, client, mut backend) = both_ends(driver);
    client.reset();
    assert!(is_reset(&backend.read(&mut [0]).unwrap_err()));
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}

fn a_backends_reset_reaches_the_client(driver: Driver) {
    let (gateway, mut client, backend) = both_ends(driver);
    reset(backend);
    assert!(is_reset(&client.rest().unwrap_err()));
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_upstream_closed");
}

/// Writes until nothing is taken any more; says how much was.
fn fill(mut stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (piece, mut written, mut refused) = ([b'x'; 16 * 1024], 0, 0);
    // Bytes that are on their way still find room for a moment.
    while refused < 20 {
        match stream.write(&piece) {
            Ok(n) => (written, refused) = (written + n, 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                refused += 1;
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    written
}

fn a_slow_reader_slows_its_sender(driver: Driver) {
    let (gateway, client, backend) = both_ends(driver);
    for (from, to) in [(&client.0, &backend), (&backend, &client.0)] {
        let sent = fill(from);
        let held = gateway.metrics().counters.buffer_bytes;
        assert!(held <= 512 * 1024, "{held} bytes are held of {sent}");
        let mut rest = sent;
        let mut to: &TcpStream = to;
        let mut piece = vec![0; 64 * 1024];
        while rest > 0 {
            rest -= to.read(&mut piece).unwrap();
        }
    }
}

/// Much of each direction is moved without a copy, what is little is not, and nothing is lost from one to the other.
fn much_and_little_arrive_in_order(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::to_tcp(&[echo()]));
    let spliced = || gateway.metrics().counters.tunnel_bytes_spliced;
    let client = Peer::connect(gateway.address);
    let (mut reader, mut writer) = (client.0.try_clone().unwrap(), client.0.try_clone().unwrap());
    let large: Vec<u8> = (0..6_000_000_u32).map(|at| (at ^ (at >> 9)) as u8).collect();
    for round in 1..=3 {
        thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&large).unwrap());
            let mut back = vec![0; large.len()];
            reader.read_exact(&mut back).unwrap();
            assert!(back == large, "round {round}");
        });
        for length in (1..40).chain([1000, 20_000]) {
            (&client.0).write_all(&large[..length]).unwrap();
            let mut back = vec![0; length];
            reader.read_exact(&mut back).unwrap();
            assert!(back == large[..length], "{length}");
        }
    }
    assert!(spliced() > 6_000_000, "{}", spliced());
    client.finish();
    gateway.until("the end", |counters| counters.tunnels == 0);
    let counters = gateway.metrics().counters;
    assert_eq!(counters.tunnel_bytes_sent, counters.tunnel_bytes_received);
    assert_eq!(counters.tunnel_bytes_sent, 3 * (6_000_000 + 39 * 40 / 2 + 21_000));
}

fn everything_arrives_before_an_end(driver: Driver) {
    const LEN: usize = 3_000_000;
    let (gateway, taken) = handed_out(driver);
    let bytes: Arc<Vec<u8>> = Arc::new((0..LEN).map(|n| (n % 251) as u8).collect());
    let mut client = Peer::connect(gateway.address);
    let mut backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    let up = {
        let (mut client, bytes) = (client.0.try_clone().unwrap(), Arc::clone(&bytes));
        thread::spawn(move || {
            client.write_all(&bytes).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        })
    };
    let down = {
        let (mut backend, bytes) = (backend.try_clone().unwrap(), Arc::clone(&bytes));
        thread::spawn(move || {
            backend.write_all(&bytes).unwrap();
            backend.shutdown(Shutdown::Write).unwrap();
        })
    };
    let received = thread::spawn(move || {
        let mut all = Vec::new();
        backend.read_to_end(&mut all).unwrap();
        all
    });
    assert!(client.rest().unwrap() == *bytes, "the client's bytes differ");
    assert!(received.join().unwrap() == *bytes, "the backend's bytes differ");
    up.join().unwrap();
    down.join().unwrap();
    until("the record", || {
        let line = gateway.log_lines(1).remove(0);
        (line["bytes_received"] == LEN && line["bytes_sent"] == LEN).then_some(())
    });
}
