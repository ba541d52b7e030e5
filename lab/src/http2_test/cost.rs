//! The cost of an attack for the process that it meets, and its bounds.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use gateway_testkit::http2::Server;
use gateway_testkit::http2::attacks::Attack;
use gateway_testkit::http2::holds::Hold;

use super::neighbour::{Neighbour, Served};
use crate::{proc, process};

/// Within so many frames an attack must be ended.
const MAX_FRAMES: usize = 10_000;
/// Memory that one kind of attack may take.
pub(super) const MAX_GROWTH_KIB: u64 = 10 << 10;
/// An attack is made on as many connections, one after another, and on more until neighbours were served meanwhile.
const MIN_CONNECTIONS: usize = 5;
const MAX_CONNECTIONS: usize = 200;
/// Neighbours that must be served meanwhile.
const MIN_SERVED: usize = 3;
/// Frames that honest clients send too may cost as many times more for as many frames, since nothing is to end it.
const HONEST_CPU: u32 = 5;
/// For what an attack has left to be done.
const SETTLING: Duration = Duration::from_millis(200);

/// A gateway under attack.
pub(super) struct Target {
    /// Where attacks go.
    pub(super) server: Server,
    /// Its name in a table.
    pub(super) over: &'static str,
    /// Where neighbours go.
    pub(super) neighbours: SocketAddr,
    pub(super) pid: u32,
    /// CPU time that one connection may cost.
    pub(super) max_cpu: Duration,
}

/// An attack and what it cost.
pub(super) struct Cost {
    pub(super) name: &'static str,
    pub(super) over: &'static str,
    pub(super) connections: usize,
    /// Most frames and bytes that went on one connection.
    pub(super) frames: usize,
    pub(super) bytes: usize,
    pub(super) end: End,
    /// Of one connection, on average.
    pub(super) cpu: Duration,
    max_cpu: Duration,
    /// Most growth of the process that was seen.
    pub(super) rss_kib: u64,
    /// The bound, where there is one.
    max_rss_kib: Option<u64>,
    pub(super) served: Served,
}

/// Time and memory that a process has used before an attack.
struct Usage {
    pid: u32,
    /// Of all of its threads.
    cpu: Duration,
    rss_kib: u64,
}

impl Usage {
    fn begin(pid: u32) -> Result<Self> {
        proc::forget_peak(pid)?;
        Ok(Self { pid, cpu: proc::cpu(pid)?, rss_kib: proc::rss_kib(pid)? })
    }
}

/// How connections ended, by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed(Option<u32>),
    /// At least one was not.
    Open,
    /// The connection stays.
    Allowed,
}

impl Target {
    /// Makes an attack, on connection after connection.
    ///
    /// # Errors
    /// The process's numbers cannot be read.
    pub(super) fn attack(&self, attack: &Attack) -> Result<Cost> {
        let before = Usage::begin(self.pid)?;
        let neighbour = Neighbour::of(self.neighbours);
        let mut cost = self.cost(attack.name, End::Closed(None));
        if attack.is_honest {
            cost.max_cpu *= HONEST_CPU;
        }
        while cost.connections < MIN_CONNECTIONS
            || cost.connections < MAX_CONNECTIONS && neighbour.served().during < MIN_SERVED
        {
            process::check_interrupt()?;
            let ended = attack.run_told(self.server.clone(), MAX_FRAMES, &neighbour.sent);
            cost.connections += 1;
            cost.frames = cost.frames.max(ended.frames);
            cost.bytes = cost.bytes.max(ended.bytes);
            cost.end = match (attack.is_honest, ended.closed, cost.end) {
                (true, false, _) => End::Allowed,
                // An honest client that is ended is as bad as an attack that is not.
                (true, true, _) | (false, false, _) | (_, _, End::Open) => End::Open,
                (_, _, end) => End::Closed(ended.goaway.or(end.code())),
            };
        }
        cost.served = neighbour.served();
        drop(neighbour);
        cost.settle(&before)
    }

    /// Leaves open what is to be left open, until neighbours were served beside it.
    ///
    /// # Errors
    /// The process's numbers cannot be read, or neighbours are served no more.
    pub(super) fn hold(&self, hold: &Hold) -> Result<Cost> {
        let before = Usage::begin(self.pid)?;
        let neighbour = Neighbour::of(self.neighbours);
        let peers = hold.begin(&self.server, &neighbour.sent);
        let begun = neighbour.served();
        // One may have begun before.
        process::until("neighbours beside what is left open", || {
            let served = neighbour.served();
            let enough = served.all > begun.all + MIN_SERVED || served.failed > begun.failed;
            Ok(enough.then_some(()))
        })?;
        let mut cost = self.cost(hold.name, End::Allowed);
        cost.connections = peers.len();
        cost.frames = peers.iter().map(|peer| peer.sent).max().unwrap_or_default();
        cost.bytes = peers.iter().map(|peer| peer.bytes).max().unwrap_or_default();
        cost.max_rss_kib = hold.max_growth_mib.map(|mib| mib << 10);
        cost.served = neighbour.served();
        // Before the last stream was begun they were no neighbours of all of it.
        cost.served.during = cost.served.all - begun.all;
        drop(neighbour);
        drop(peers);
        cost.settle(&before)
    }

    fn cost(&self, name: &'static str, end: End) -> Cost {
        Cost {
            name,
            over: self.over,
            connections: 0,
            frames: 0,
            bytes: 0,
            end,
            cpu: Duration::ZERO,
            max_cpu: self.max_cpu,
            rss_kib: 0,
            max_rss_kib: Some(MAX_GROWTH_KIB),
            served: Served::default(),
        }
    }
}

impl End {
    fn code(self) -> Option<u32> {
        match self {
            Self::Closed(code) => code,
            Self::Open | Self::Allowed => None,
        }
    }
}

impl Cost {
    fn settle(mut self, before: &Usage) -> Result<Self> {
        sleep(SETTLING);
        let spent = proc::cpu(before.pid)?.saturating_sub(before.cpu);
        self.cpu = spent / u32::try_from(self.connections.max(1))?;
        self.rss_kib = proc::peak_kib(before.pid)?.saturating_sub(before.rss_kib);
        Ok(self)
    }

    /// The faults that there are.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.end == End::Open {
            faults.push(format!("not ended as it is to be, within {} frames", self.frames));
        }
        if self.cpu > self.max_cpu {
            faults.push(format!("{:.2?} of CPU a connection, above {:.2?}", self.cpu, self.max_cpu));
        }
        if let Some(most) = self.max_rss_kib.filter(|most| self.rss_kib > *most) {
            faults.push(format!("{} KiB more memory, above {most}", self.rss_kib));
        }
        if self.served.during < MIN_SERVED || self.served.failed > 0 {
            let Served { during, failed, fault, .. } = &self.served;
            let fault = fault.as_deref().unwrap_or_default();
            faults.push(format!("{during} neighbours served meanwhile, {failed} not served {fault}"));
        }
        faults.into_iter().map(|fault| format!("{} over {}: {fault}", self.name, self.over)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(change: impl FnOnce(&mut Cost)) -> Vec<String> {
        let target = Target {
            server: SocketAddr::from(([127, 0, 0, 1], 1)).into(),
            over: "TLS",
            neighbours: SocketAddr::from(([127, 0, 0, 1], 1)),
            pid: 1,
            max_cpu: Duration::from_millis(200),
        };
        let mut cost = target.cost("pings", End::Closed(Some(11)));
        cost.served = Served { all: 5, during: 3, ..Served::default() };
        change(&mut cost);
        cost.failures()
    }

    #[test]
    fn every_bound_is_held() {
        assert!(cost(|_| {}).is_empty());
        let broken: [fn(&mut Cost); 5] = [
            |cost| cost.end = End::Open,
            |cost| cost.cpu = Duration::from_millis(210),
            |cost| cost.rss_kib = MAX_GROWTH_KIB + 1,
            |cost| cost.served.during = 2,
            |cost| cost.served.failed = 1,
        ];
        for change in broken {
            assert_eq!(cost(change).len(), 1);
        }
        assert!(cost(|cost| (cost.rss_kib, cost.max_rss_kib) = (u64::MAX, None)).is_empty());
        assert!(cost(|cost| cost.end = End::Allowed).is_empty());
    }
}
