//! Helpers of the kernel tests: workers that name themselves, and clients that ask them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gateway_steer::{SteerBind, SteerOptions, SteerPlan, Steering, SteeringMode};
use gateway_testkit::netns::Inside;
use gateway_testkit::wait::{self, WAIT_TIMEOUT};

/// Threads that accept, send `<slot> <local address>` and close; they end when dropped.
pub(crate) struct Workers {
    stop: Arc<AtomicBool>,
    accepted: Arc<Vec<AtomicU64>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// One worker per list of sockets.
    pub(crate) fn start(listeners: Vec<Vec<TcpListener>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let accepted: Arc<Vec<_>> = Arc::new(listeners.iter().map(|_| AtomicU64::new(0)).collect());
        let mut threads = Vec::new();
        for (slot, sockets) in listeners.into_iter().enumerate() {
            for socket in sockets {
                let (stop, accepted) = (Arc::clone(&stop), Arc::clone(&accepted));
                threads.push(thread::spawn(move || serve(slot, &socket, &stop, &accepted[slot])));
            }
        }
        Self { stop, accepted, threads }
    }

    /// Connections accepted per worker.
    pub(crate) fn accepted(&self) -> Vec<u64> {
        self.accepted.iter().map(|n| n.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(slot: usize, socket: &TcpListener, stop: &AtomicBool, accepted: &AtomicU64) {
    socket.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        match socket.accept() {
            Ok((mut stream, _)) => {
                accepted.fetch_add(1, Ordering::Relaxed);
                let local = stream.local_addr().unwrap();
                let local = SocketAddr::new(local.ip().to_canonical(), local.port());
                let _ = stream.write_all(format!("{slot} {local}").as_bytes());
            }
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Connects and gives the worker's slot and the local address that it saw.
pub(crate) fn ask(address: &str) -> io::Result<(usize, SocketAddr)> {
    response(TcpStream::connect_timeout(&address.parse().unwrap(), WAIT_TIMEOUT)?)
}

/// Asks so many times; each attempt must get a response.
#[track_caller]
pub(crate) fn ask_times(times: u32, address: &str) {
    for _ in 0..times {
        ask(address).unwrap();
    }
}

/// Reads a worker's response.
pub(crate) fn response(mut stream: TcpStream) -> io::Result<(usize, SocketAddr)> {
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (slot, local) =
        text.split_once(' ').ok_or_else(|| io::Error::other(format!("unexpected response {text:?}")))?;
    Ok((slot.parse().unwrap(), local.parse().unwrap()))
}

/// Asserts that nobody serves `address`. A reset is not the end of it: a child that another test is just
/// starting holds a copy of a closed socket until it calls exec(2).
#[track_caller]
pub(crate) fn refused(address: &str) {
    wait::until(&format!("{address} to be refused"), || {
        let kind = ask(address).expect_err("somebody serves it").kind();
        (kind == io::ErrorKind::ConnectionRefused).then_some(())
    });
}

/// Options with a bpffs of the namespace's own.
pub(crate) fn options(inside: &Inside, workers: usize) -> SteerOptions {
    SteerOptions { bpffs: inside.bpffs().to_owned(), ..SteerOptions::new(workers, "test") }
}

/// Kernel programs or a failed test.
pub(crate) fn open(inside: &Inside, workers: usize) -> Steering {
    Steering::open(SteeringMode::Ebpf, options(inside, workers)).unwrap()
}

/// A plan of binds written as `*:80` or as a socket address.
pub(crate) fn plan(binds: &[&str]) -> SteerPlan {
    let parse = |bind: &&str| match bind.strip_prefix("*:") {
        Some(port) => SteerBind::any(port.parse().unwrap()),
        None => SteerBind::exact(bind.parse().unwrap()),
    };
    binds.iter().map(parse).collect()
}

/// The workers' own sockets as lists for [`Workers::start`].
pub(crate) fn one_each(steering: &mut Steering) -> Vec<Vec<TcpListener>> {
    steering.worker_listeners().into_iter().map(|socket| vec![socket]).collect()
}
