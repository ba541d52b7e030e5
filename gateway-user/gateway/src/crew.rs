//! Starts workers, and replaces one that died.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_control::engine::Engine;
use gateway_control::steer::SharedSteering;
use gateway_io::Driver;
use gateway_io::file::LogSink;
use gateway_proxy::ProxyConfig;
use gateway_proxy::worker::{WorkerHandle, WorkerSpec, start};
use tracing::error;

use crate::fleet::Fleet;

/// How often the workers are looked after.
const LOOK: Duration = Duration::from_secs(1);

/// What every worker of this process is started with.
pub(crate) struct Crew {
    /// The CPU of each, by slot.
    pub(crate) places: Vec<Option<usize>>,
    pub(crate) driver: Driver,
    pub(crate) ring_entries: u32,
    pub(crate) config: Arc<ProxyConfig>,
    pub(crate) steering: SharedSteering,
    pub(crate) log: LogSink,
}

impl Crew {
    /// Starts all workers; `listeners` has one steering socket for each, or none at all.
    ///
    /// # Errors
    /// A worker cannot be started.
    pub(crate) fn start(&self, listeners: Vec<TcpListener>) -> anyhow::Result<Fleet> {
        let mut listeners = listeners.into_iter();
        let workers = (0..self.places.len())
            .map(|slot| self.start_one(slot, listeners.next()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Fleet::new(workers))
    }

    fn start_one(&self, slot: usize, listener: Option<TcpListener>) -> anyhow::Result<WorkerHandle> {
        let gauge = self.steering.gauge(slot)?.context("steering is closed")?;
        let log = self.log.clone();
        start(WorkerSpec {
            slot: u16::try_from(slot).context("more workers than slots")?,
            cpu: self.places.get(slot).copied().flatten(),
            driver: self.driver,
            ring_entries: self.ring_entries,
            listeners: listener.into_iter().collect(),
            config: Arc::clone(&self.config),
            gauge: Box::new(move |connections| gauge.set(connections)),
            log: Box::new(move |lines| log.try_push(lines)),
        })
        .with_context(|| {
            format!("worker {slot} cannot be started; fewer --workers or --ring-entries may help")
        })
    }

    /// Returns after a while, having replaced every worker that had died by then.
    ///
    /// # Errors
    /// The only worker died, and without kernel programs its sockets went with it.
    pub(crate) async fn look_after(
        &self,
        fleet: &Fleet,
        engine: &Engine<SharedSteering>,
    ) -> anyhow::Result<()> {
        tokio::time::sleep(LOOK).await;
        for slot in fleet.ended() {
            error!(slot, "a worker died; its connections are lost, another one takes its place");
            let socket = self.steering.refill(slot)?;
            if socket.is_none() && self.places.len() == 1 {
                bail!("the only worker died and its listening sockets with it");
            }
            // It accepts nothing before it has its tables: the socket travels with them.
            fleet.replace(slot, self.start_one(slot, None)?);
            engine.adopt(slot, socket.into_iter().collect());
        }
        Ok(())
    }
}
