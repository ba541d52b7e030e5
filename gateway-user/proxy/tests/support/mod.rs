//! One worker on loopback with a hand-built configuration, and backends behind it.
// Each test file is a program of its own that uses a part of this.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod backend;
pub mod ir;
pub mod secure;

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use gateway_io::Driver;
use gateway_ir::Generation;
use gateway_proxy::ProxyConfig;
use gateway_proxy::metrics::{Counters, WorkerMetrics};
use gateway_proxy::worker::{
    DrainLimits, Drained, WorkerCommand, WorkerHandle, WorkerSockets, WorkerSpec, start,
};
use gateway_snapshot::compile;
use gateway_testkit::http::{Client, Response};
#[allow(unused_imports)] // each test uses a part
pub use gateway_testkit::http2::backend as h2_backend;
use gateway_testkit::wait::{WAIT_TIMEOUT, until};

use ir::Config;

/// Makes a test of every function for every driver that a worker may run on.
#[macro_export]
macro_rules! on_every_driver {
    ($($name:ident,)+) => {
        mod uring {
            $(#[test] fn $name() { super::$name(gateway_io::Driver::UringDefer); })+
        }
        mod epoll {
            $(#[test] fn $name() { super::$name(gateway_io::Driver::Epoll); })+
        }
    };
}

/// A running worker with one listener; dropping it ends the worker.
pub struct Gateway {
    /// Where the listener is.
    pub address: SocketAddr,
    bind: SocketAddr,
    handle: Option<WorkerHandle>,
    gauge: Arc<AtomicU64>,
    log: Arc<Mutex<Vec<u8>>>,
    generation: u64,
}

impl Gateway {
    /// A worker with default limits.
    pub fn start(driver: Driver, config: &Config) -> Self {
        Self::with(driver, config, ProxyConfig::default())
    }

    /// A worker with these limits.
    pub fn with(driver: Driver, config: &Config, proxy: ProxyConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self::on(driver, config, proxy, listener, address)
    }

    /// A worker that accepts from `listener`; its listener in the configuration is `bind`.
    pub fn on(
        driver: Driver,
        config: &Config,
        proxy: ProxyConfig,
        listener: TcpListener,
        bind: SocketAddr,
    ) -> Self {
        Self::build(driver, config, proxy, listener, bind, || ())
    }

    /// A worker that calls `hook` on its own thread whenever its number of connections changes.
    pub fn hooked(driver: Driver, config: &Config, proxy: ProxyConfig, hook: fn()) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self::build(driver, config, proxy, listener, address, hook)
    }

    fn build(
        driver: Driver,
        config: &Config,
        proxy: ProxyConfig,
        listener: TcpListener,
        bind: SocketAddr,
        hook: fn(),
    ) -> Self {
        let gauge = Arc::new(AtomicU64::new(0));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (set, lines) = (gauge.clone(), log.clone());
        let spec = WorkerSpec {
            slot: 0,
            cpu: None,
            driver,
            ring_entries: 1024,
            listeners: Vec::new(),
            config: Arc::new(proxy),
            gauge: Box::new(move |count| {
                hook();
                set.store(count, Ordering::Relaxed);
            }),
            log: Box::new(move |batch| {
                lines.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&batch);
                Ok(())
            }),
            heartbeat: Arc::default(),
            ended: Box::new(|_| ()),
        };
        let address = listener.local_addr().unwrap();
        let mut gateway =
            Self { address, bind, handle: Some(start(spec).unwrap()), gauge, log, generation: 0 };
        gateway.publish(config, vec![listener], vec![]);
        gateway
    }

    /// Puts a configuration live.
    pub fn publish(&mut self, config: &Config, listeners: Vec<TcpListener>, retire: Vec<SocketAddr>) {
        self.publish_with(config, listeners.into(), retire, vec![]);
    }

    /// The same with sockets for datagrams.
    pub fn publish_with(
        &mut self,
        config: &Config,
        sockets: WorkerSockets,
        retire: Vec<SocketAddr>,
        retire_datagrams: Vec<SocketAddr>,
    ) {
        self.generation += 1;
        let generation = Generation(self.generation);
        let table = Arc::new(config.endpoints.clone());
        self.ask(|reply| WorkerCommand::Endpoints { table, reply });
        let snapshot = Arc::new(compile(&config.ir(self.bind), generation));
        let prepare = |reply| WorkerCommand::Prepare { generation, snapshot, sockets, reply };
        self.ask(prepare).unwrap();
        let commit = |reply| WorkerCommand::Commit { generation, retire, retire_datagrams, reply };
        assert!(self.ask(commit));
    }

    /// Sends a command and waits for its reply.
    pub fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> WorkerCommand) -> T {
        let (reply, answer) = oneshot::channel();
        self.handle.as_ref().unwrap().send(command(reply)).unwrap();
        block_on(answer).expect("the worker answers")
    }

    /// Sends a command that may be answered late.
    pub fn send<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> WorkerCommand) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        self.handle.as_ref().unwrap().send(command(reply)).unwrap();
        answer
    }

    /// Sends a command that has no reply.
    pub fn tell(&self, command: WorkerCommand) {
        self.handle.as_ref().unwrap().send(command).unwrap();
    }

    /// The worker's numbers.
    pub fn metrics(&self) -> WorkerMetrics {
        self.ask(|reply| WorkerCommand::Metrics { reply })
    }

    /// Waits until the counters are as wanted.
    pub fn until(&self, what: &str, wanted: impl Fn(&Counters) -> bool) -> Counters {
        until(what, || Some(self.metrics().counters).filter(&wanted))
    }

    /// The last value of the gauge.
    pub fn gauge(&self) -> u64 {
        self.gauge.load(Ordering::Relaxed)
    }

    /// A connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// One `GET` on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.connect().get("test.example", target).unwrap()
    }

    /// Sends bytes on a connection of their own and reads one response.
    pub fn raw(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(request).unwrap();
        client.response().unwrap()
    }

    /// Waits for `count` lines of the access log.
    pub fn log_lines(&self, count: usize) -> Vec<serde_json::Value> {
        until("the access log", || {
            let bytes = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let lines: Vec<_> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
            (lines.len() >= count).then(|| {
                lines.iter().map(|line| serde_json::from_slice(line).expect("a line is JSON")).collect()
            })
        })
    }

    /// Takes the whole lines that the access log has so far.
    pub fn take_log(&self) -> Vec<u8> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drains and waits for the worker's end.
    pub fn drain(mut self, min: Duration, max: Duration) -> Drained {
        let limits = DrainLimits { accept: min, idle: min, max };
        let drained = self.ask(|reply| WorkerCommand::Drain { limits, reply });
        self.handle.take().unwrap().join().unwrap();
        drained
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

/// Waits for a future on this thread, with a bound.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let end = Instant::now() + WAIT_TIMEOUT;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "gave up waiting for the worker");
        thread::park_timeout(left);
    }
}
