//! A worker's main task: commands, and the little that happens on a timer.

use std::io;
use std::net::UdpSocket;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_channel::oneshot;
use gateway_io::{Listener, MailReceiver, pool_stats, sleep, spawn, trim_pool};
use gateway_ir::Generation;
use gateway_snapshot::Snapshot;

use super::accept::Acceptors;
use super::command::{DrainLimits, PrepareError, WorkerCommand, WorkerSockets};
use super::descriptors::Want;
use super::drain::drain;
use super::memory::MemoryTrimmer;
use super::scarcity::ScarcityLog;
use super::state::Worker;
use super::{FinalMetrics, Heartbeat, WorkerSpec};
use crate::context::Live;
use crate::l4::udp::{Clients, Datagrams};
use crate::signal::Signal;

/// How long access log lines wait for company.
const LOG_FLUSH: Duration = Duration::from_millis(150);
/// Flushes between two looks at the upstream pools: about a second.
const SWEEP_EVERY: u32 = 7;

/// A generation that waits for its commit.
struct Prepared {
    generation: Generation,
    live: Rc<Live>,
    listeners: Vec<Listener>,
    datagrams: Vec<UdpSocket>,
}

/// Everything that commands act on.
struct Commands {
    worker: Rc<Worker>,
    acceptors: Rc<Acceptors>,
    datagrams: Rc<Datagrams>,
    prepared: Option<Prepared>,
    /// True once the listening sockets are being closed for good.
    closes: bool,
    /// Raised when a drain is over.
    done: Rc<Signal>,
}

/// Leaves what the worker counted to its thread, also when a panic ends it.
struct MetricsOnDrop {
    worker: Rc<Worker>,
    estate: FinalMetrics,
}

impl Drop for MetricsOnDrop {
    fn drop(&mut self) {
        // Lines of requests that have ended belong into the log.
        self.worker.context.flush_log();
        let metrics = self.worker.context.metrics.try_borrow().map(|metrics| metrics.clone());
        self.estate.replace(Some(metrics.unwrap_or_default()));
    }
}

/// Runs until a drain is over or the handle is dropped.
pub(super) async fn serve(
    spec: WorkerSpec,
    mut inbox: MailReceiver<WorkerCommand>,
    ready: &mpsc::SyncSender<io::Result<()>>,
    estate: FinalMetrics,
) {
    let worker = Rc::new(Worker::new(spec.config, spec.driver, spec.gauge, spec.log));
    let acceptors = Rc::new(Acceptors::default());
    for socket in spec.listeners {
        match Listener::from_std(socket) {
            Ok(listener) => acceptors.add(&worker, listener),
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        }
    }
    let _will = MetricsOnDrop { worker: Rc::clone(&worker), estate };
    spawn(housekeeping(Rc::clone(&worker), spec.heartbeat));
    let _ = ready.send(Ok(()));
    let done = Rc::new(Signal::default());
    let datagrams = Datagrams::new(Rc::clone(&worker));
    let mut commands =
        Commands { worker, acceptors, datagrams, prepared: None, closes: false, done: Rc::clone(&done) };
    while let Some(Some(command)) = done.unless(inbox.recv()).await {
        commands.carry_out(command);
    }
    if !done.is_raised() {
        // The handle is gone: nobody is left to ask for more.
        let at_once = DrainLimits { accept: Duration::ZERO, idle: Duration::ZERO, max: Duration::ZERO };
        drain(&commands.worker, &commands.acceptors, &commands.datagrams, at_once).await;
    }
    commands.worker.context.flush_log();
}

async fn housekeeping(worker: Rc<Worker>, heartbeat: Arc<Heartbeat>) {
    let mut turn = 0_u32;
    let mut high_water = MemoryTrimmer::default();
    let mut want = Want::new();
    let mut scarcity = ScarcityLog::default();
    loop {
        // Once in each turn of the loop, and no more often than the timer: a busy worker turns seldom and lives.
        heartbeat.stamp();
        sleep(LOG_FLUSH).await;
        worker.context.flush_log();
        trim_pool();
        {
            let [lingering, half_closed] = worker.evictable_slots();
            let counters = &mut worker.context.metrics.borrow_mut().counters;
            counters.buffer_bytes = pool_stats().lent_bytes as u64;
            (counters.lingering, counters.half_closed) = (lingering, half_closed);
        }
        if want.is_new() {
            worker.context.close_half_of_unused_upstreams();
        }
        turn = turn.wrapping_add(1);
        if turn.is_multiple_of(SWEEP_EVERY) {
            worker.context.shares.sweep();
            let swept = worker.context.upstreams.sweep();
            let counters = &mut worker.context.metrics.borrow_mut().counters;
            counters.upstream_stale += swept.stale;
            counters.upstream_evicted += swept.evicted;
            counters.upstream_idle = swept.idle;
            high_water.look(counters.connections);
            scarcity.look(counters);
        }
    }
}

impl Commands {
    /// Replies may find nobody waiting any more, which is no fault.
    fn carry_out(&mut self, command: WorkerCommand) {
        match command {
            WorkerCommand::Prepare { generation, snapshot, sockets, reply } => {
                let _ = reply.send(self.prepare(generation, snapshot, sockets));
            }
            WorkerCommand::Commit { generation, retire, retire_datagrams, reply } => {
                let committed = self.commit(generation);
                if committed {
                    self.acceptors.retire(&retire);
                    self.datagrams.retire(&retire_datagrams);
                }
                let _ = reply.send(committed);
            }
            WorkerCommand::Abort { generation } => {
                self.prepared.take_if(|prepared| prepared.generation == generation);
            }
            WorkerCommand::Endpoints { table, reply } => {
                self.datagrams.follow(&table);
                self.worker.context.upstreams.update(table);
                let _ = reply.send(());
            }
            WorkerCommand::Ping { reply } => {
                let _ = reply.send(());
            }
            WorkerCommand::Metrics { reply } => {
                let _ = reply.send(self.worker.context.metrics.borrow().clone());
            }
            WorkerCommand::ForgetSeries { keys } => {
                self.worker.context.metrics.borrow_mut().series.forget(&keys);
            }
            WorkerCommand::Listen { listeners } => self.listen(listeners),
            WorkerCommand::Listeners { reply } => {
                let _ = reply.send(self.acceptors.duplicates());
            }
            WorkerCommand::HandOverFlows { budget, reply } => {
                if let Err(unheard) = reply.send(self.datagrams.hand_over(&budget)) {
                    self.datagrams.adopt(Vec::new(), unheard.flows, Clients::Elsewhere);
                }
            }
            WorkerCommand::AdoptFlows { sockets, flows, clients, reply } => {
                let _ = reply.send(self.datagrams.adopt(sockets, flows, clients));
            }
            WorkerCommand::AnnounceDrain { spread, close_spread } => {
                self.worker.begin_drain(spread, close_spread);
            }
            WorkerCommand::Drain { limits, reply } => self.drain(limits, reply),
        }
    }

    fn prepare(
        &mut self,
        generation: Generation,
        snapshot: Arc<Snapshot>,
        sockets: WorkerSockets,
    ) -> Result<(), PrepareError> {
        if self.closes {
            return Err(PrepareError::Draining);
        }
        let adopt = |socket: std::net::TcpListener| {
            let address = socket.local_addr().map_or_else(|error| error.to_string(), |a| a.to_string());
            Listener::from_std(socket).map_err(|source| PrepareError::Listener { address, source })
        };
        let WorkerSockets { listeners, datagrams } = sockets;
        let listeners = listeners.into_iter().map(adopt).collect::<Result<_, _>>()?;
        self.prepared = Some(Prepared {
            generation,
            live: Rc::new(Live::new(
                snapshot,
                &self.worker.context.config,
                Some(&self.worker.context.live()),
            )),
            listeners,
            datagrams,
        });
        Ok(())
    }

    fn listen(&mut self, listeners: Vec<std::net::TcpListener>) {
        for socket in listeners {
            match Listener::from_std(socket) {
                // A worker that drains has closed its sockets for good.
                Ok(listener) if !self.closes => self.acceptors.add(&self.worker, listener),
                Ok(_) => {}
                Err(error) => tracing::error!("a listening socket cannot be accepted from: {error}"),
            }
        }
    }

    fn commit(&mut self, generation: Generation) -> bool {
        let Some(prepared) = self.prepared.take_if(|prepared| prepared.generation == generation) else {
            return false;
        };
        self.worker.go_live(prepared.live);
        for listener in prepared.listeners {
            self.acceptors.add(&self.worker, listener);
        }
        for socket in prepared.datagrams {
            if let Err(error) = self.datagrams.add(socket) {
                tracing::error!("datagrams cannot be received from a socket: {error}");
            }
        }
        true
    }

    /// A drain takes its time; commands are carried out meanwhile.
    fn drain(&mut self, limits: DrainLimits, reply: oneshot::Sender<super::Drained>) {
        self.prepared = None;
        self.closes = true;
        let (worker, acceptors) = (Rc::clone(&self.worker), Rc::clone(&self.acceptors));
        let datagrams = Rc::clone(&self.datagrams);
        let done = Rc::clone(&self.done);
        spawn(async move {
            let drained = drain(&worker, &acceptors, &datagrams, limits).await;
            let _ = reply.send(drained);
            done.raise();
        });
    }
}
