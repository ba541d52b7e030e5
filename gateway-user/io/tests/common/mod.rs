//! Helpers of this crate's tests: every case runs on every driver.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]

use std::{
    future::Future,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    panic,
    sync::mpsc,
    thread,
    time::Duration,
};

use gateway_io::{Driver, RuntimeOptions, Stream, run};

pub mod child;

/// Generous: how long anything may take before the test calls it hung.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Small and quick: 1 ms ticks, receives go quiet after 10 ms.
pub fn options(driver: Driver) -> RuntimeOptions {
    RuntimeOptions {
        ring_entries: 256,
        tick: Duration::from_millis(1),
        quiet_after: Duration::from_millis(10),
        ..RuntimeOptions::new(driver)
    }
}

/// Runs `case` on each driver, each in a thread of its own; names the driver when it fails or hangs.
pub fn on_every_driver<F, Fut>(case: F)
where
    F: Fn(Driver) -> Fut + Send + Clone + 'static,
    Fut: Future<Output = ()>,
{
    with_every_driver(options, case);
}

/// The same with options of the test's own.
pub fn with_every_driver<F, Fut>(options: fn(Driver) -> RuntimeOptions, case: F)
where
    F: Fn(Driver) -> Fut + Send + Clone + 'static,
    Fut: Future<Output = ()>,
{
    for driver in Driver::ALL {
        let case = case.clone();
        on_thread(driver.name(), move || run(&options(driver), move || case(driver)).unwrap());
    }
}

/// Runs `body` in a thread; passes its panic on; panics when it takes longer than [`WAIT_TIMEOUT`].
pub fn on_thread(name: &str, body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let body = move || {
        let _done = done;
        body();
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body).unwrap();
    match ended.recv_timeout(WAIT_TIMEOUT) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name}: hung"),
        _ => {
            if let Err(cause) = thread.join() {
                panic::resume_unwind(cause);
            }
        }
    }
}

/// A connected pair over loopback: ours on the worker, the peer's a plain blocking socket.
pub fn pair() -> (Stream, TcpStream) {
    let (ours, peer) = std_pair();
    (Stream::from_std(ours).unwrap(), peer)
}

pub fn std_pair() -> (TcpStream, TcpStream) {
    let listener = loopback();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    peer.set_write_timeout(Some(WAIT_TIMEOUT)).unwrap();
    peer.set_nodelay(true).unwrap();
    (ours, peer)
}

pub fn loopback() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

/// Open descriptors of this process that are sockets, by inode: unlike a plain count, not disturbed by what
/// other test threads open, when compared with `contains`.
pub fn socket_inode(socket: &impl AsRawFd) -> String {
    std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().display().to_string()
}

/// True if any descriptor of this process still refers to that socket.
pub fn is_socket_open(inode: &str) -> bool {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target.display().to_string() == inode)
}

/// Lets the runtime work until `done`, or panics after [`WAIT_TIMEOUT`].
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..WAIT_TIMEOUT.as_millis() {
        if done() {
            return;
        }
        gateway_io::pause().await;
    }
    panic!("never happened: {what}");
}

/// A pattern in which every lost, doubled or moved byte shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}
