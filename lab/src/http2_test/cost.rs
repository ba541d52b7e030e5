//! The cost of an attack for the process that it meets, and its bounds.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use gateway_testkit::http2::Server;
use gateway_testkit::http2::attacks::Attack;
use gateway_testkit::http2::holds::Hold;

use super::neighbour::{Neighbour, Served};
use crate::bars::Attacks;
use crate::{proc, process};

/// An attack is made on as many connections, one after another, and on more until neighbours were served meanwhile.
const MIN_CONNECTIONS: usize = 5;
const MAX_CONNECTIONS: usize = 200;
/// For what an attack has left to be done.
const SETTLING: Duration = Duration::from_millis(200);

/// Bounds of what an attack costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Frames within which it must be ended.
    pub(super) frames: usize,
    /// CPU time that one connection may cost.
    pub(super) cpu: Duration,
    /// CPU time that one frame may cost where honest clients send the same, so that nothing is to end it.
    pub(super) cpu_per_honest_frame: Duration,
    /// Memory that one kind of attack may take.
    pub(super) growth_kib: u64,
    /// Neighbours that must be served meanwhile.
    pub(super) neighbours: usize,
}

impl Bounds {
    /// The bars of a release build, or of one that takes several times as long for everything.
    pub(super) fn of(bars: &Attacks, optimised: bool) -> Self {
        let times = if optimised { 1.0 } else { bars.unoptimised_cpu.figure() };
        Self {
            frames: bars.frames.count() as usize,
            cpu: bars.cpu_ms.milliseconds().mul_f64(times),
            cpu_per_honest_frame: bars.cpu_us_per_honest_frame.microseconds().mul_f64(times),
            growth_kib: bars.growth_mib.count() << 10,
            neighbours: bars.neighbours.count() as usize,
        }
    }
}

/// A gateway under attack.
pub(super) struct Target {
    /// Where attacks go.
    pub(super) server: Server,
    /// Its name in a table.
    pub(super) over: &'static str,
    /// Where neighbours go.
    pub(super) neighbours: SocketAddr,
    pub(super) pid: u32,
    pub(super) bounds: Bounds,
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
    bounds: Bounds,
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
        let neighbour = Neighbour::of(self.neighbours, self.bounds.neighbours);
        let mut cost = self.cost(attack.name, End::Closed(None));
        while cost.connections < MIN_CONNECTIONS
            || cost.connections < MAX_CONNECTIONS && neighbour.served().during < self.bounds.neighbours
        {
            process::check_interrupt()?;
            let ended = attack.run_told(self.server.clone(), self.bounds.frames, &neighbour.sent);
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
        if attack.is_honest {
            cost.max_cpu = self.bounds.cpu_per_honest_frame * u32::try_from(cost.frames)?;
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
        let neighbour = Neighbour::of(self.neighbours, self.bounds.neighbours);
        let peers = hold.begin(&self.server, &neighbour.sent);
        let begun = neighbour.served();
        // One may have begun before.
        process::until("neighbours beside what is left open", || {
            let served = neighbour.served();
            let enough = served.all > begun.all + self.bounds.neighbours || served.failed > begun.failed;
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
            bounds: self.bounds,
            max_cpu: self.bounds.cpu,
            rss_kib: 0,
            max_rss_kib: Some(self.bounds.growth_kib),
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
        if self.served.during < self.bounds.neighbours || self.served.failed > 0 {
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
    use crate::bars::Bars;

    fn cost(change: impl FnOnce(&mut Cost)) -> Vec<String> {
        let target = Target {
            server: SocketAddr::from(([127, 0, 0, 1], 1)).into(),
            over: "TLS",
            neighbours: SocketAddr::from(([127, 0, 0, 1], 1)),
            pid: 1,
            bounds: Bounds::of(&Bars::read().unwrap().attacks, true),
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
            |cost| cost.rss_kib = cost.bounds.growth_kib + 1,
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
