//! Accepting: one task per listening socket.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_io::{Listener, ListenerHandle, is_out_of_descriptors, sleep, spawn};

use super::descriptors;
use super::state::Worker;
use crate::connection;
use crate::signal::Signal;

/// How long accepting pauses when the process has no file descriptor left: closing ones take about that long.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);
/// Until closed connections have given their descriptors back: a few turns of the ring.
const CLOSING_PAUSE: Duration = Duration::from_millis(5);
/// After an error that concerns one connection only. It keeps an error that stays from spinning.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

/// The listening sockets of one worker.
#[derive(Default)]
pub(super) struct Acceptors {
    running: RefCell<Vec<Acceptor>>,
    /// Tasks that have not ended.
    open: Rc<Open>,
}

struct Acceptor {
    address: SocketAddr,
    socket: ListenerHandle,
    stop: Rc<Signal>,
}

#[derive(Default)]
struct Open {
    count: Cell<usize>,
    waiting: RefCell<Option<Rc<Signal>>>,
}

impl Acceptors {
    /// Starts accepting.
    pub(super) fn add(&self, worker: &Rc<Worker>, listener: Listener) {
        let Ok(address) = listener.local_addr() else { return };
        let stop = Rc::new(Signal::default());
        let socket = listener.handle();
        self.running.borrow_mut().push(Acceptor { address, socket, stop: Rc::clone(&stop) });
        self.open.count.set(self.open.count.get() + 1);
        spawn(accept(Rc::clone(worker), listener, stop, Rc::clone(&self.open)));
    }

    /// Stops the sockets bound to these addresses, once what they have queued is accepted.
    pub(super) fn retire(&self, addresses: &[SocketAddr]) {
        self.running.borrow_mut().retain(|acceptor| {
            let stays = !addresses.contains(&acceptor.address);
            if !stays {
                acceptor.stop.raise();
            }
            stays
        });
    }

    /// Duplicates of all sockets, in the order in which they came.
    pub(super) fn duplicates(&self) -> io::Result<Vec<std::net::TcpListener>> {
        self.running.borrow().iter().filter_map(|acceptor| acceptor.socket.duplicate()).collect()
    }

    /// Stops all; ready once all that was queued is accepted and every socket closed.
    pub(super) async fn close(&self) {
        for acceptor in self.running.borrow_mut().drain(..) {
            acceptor.stop.raise();
        }
        if self.open.count.get() > 0 {
            let all = Rc::new(Signal::default());
            self.open.waiting.replace(Some(Rc::clone(&all)));
            all.wait().await;
        }
    }
}

async fn accept(worker: Rc<Worker>, mut listener: Listener, stop: Rc<Signal>, open: Rc<Open>) {
    while !stop.is_raised() {
        match stop.unless(listener.accept()).await {
            None => break,
            Some(Ok(accepted)) => connection::open(&worker, accepted),
            Some(Err(error)) if is_out_of_descriptors(&error) => {
                // What is idle only saves time. Half of it: who is accepted needs a backend too.
                let pause = if worker.context.close_half_of_unused_upstreams() {
                    CLOSING_PAUSE
                } else {
                    worker.context.metrics.borrow_mut().counters.accept_paused += 1;
                    descriptors::ask();
                    DESCRIPTOR_PAUSE
                };
                let _ = stop.unless(pin!(sleep(pause))).await;
            }
            Some(Err(_)) => {
                let _ = stop.unless(pin!(sleep(ERROR_PAUSE))).await;
            }
        }
    }
    for accepted in listener.close().await {
        connection::open(&worker, accepted);
    }
    open.count.set(open.count.get().saturating_sub(1));
    if open.count.get() == 0
        && let Some(waiting) = open.waiting.take()
    {
        waiting.raise();
    }
}
