//! The cost of an attack for the process that it meets.

use std::fs;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gateway_testkit::http::Client;
use gateway_testkit::http2::attacks::{Attack, Ended};
use nix::unistd::{SysconfVar, sysconf};

/// For what an attack has left to be done.
const SETTLING: Duration = Duration::from_millis(200);

/// An attack and what it cost.
pub(super) struct Cost {
    pub(super) name: &'static str,
    pub(super) ended: Ended,
    pub(super) cpu: Duration,
    /// Growth of the process.
    pub(super) rss_kib: i64,
    /// How long a neighbour's request took; `None` if it had no response.
    pub(super) neighbour: Option<Duration>,
}

/// Makes an attack.
///
/// # Errors
/// The process's numbers cannot be read.
pub(super) fn of(attack: &Attack, to: SocketAddr, pid: u32, most: usize) -> Result<Cost> {
    let before = Usage::of(pid)?;
    let ended = attack.run(to, most);
    let neighbour = served(to);
    sleep(SETTLING);
    let after = Usage::of(pid)?;
    Ok(Cost {
        name: attack.name,
        ended,
        cpu: after.cpu.saturating_sub(before.cpu),
        rss_kib: after.rss_kib - before.rss_kib,
        neighbour,
    })
}

fn served(to: SocketAddr) -> Option<Duration> {
    let began = Instant::now();
    let response = Client::connect(to).ok()?.get("localhost", "/text").ok()?;
    (response.status == 200).then(|| began.elapsed())
}

impl Cost {
    /// The fault, if there is one.
    pub(super) fn failure(&self) -> Option<String> {
        match (self.ended.closed, self.neighbour) {
            (false, _) => Some(format!("{}: open after {} frames", self.name, self.ended.frames)),
            (_, None) => Some(format!("{}: a neighbour was not served", self.name)),
            _ => None,
        }
    }
}

/// Time and memory that a process has used.
struct Usage {
    cpu: Duration,
    rss_kib: i64,
}

impl Usage {
    /// From `/proc` (proc(5)).
    fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name, which may hold blanks: user and system time are the 14th and 15th field.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let ticks =
            ticks(11).zip(ticks(12)).map(|(user, system)| user + system).context("no times in stat")?;
        let per_second =
            sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in status")?;
        let rss_kib = rss.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { cpu: Duration::from_millis(ticks * 1000 / per_second.max(1)), rss_kib })
    }
}
