//! Every attack of the test kit over both transports, with what each cost.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use gateway_testkit::http2::Server;
use gateway_testkit::http2::attacks::{Attack, FLOODS, HEADS, HONEST, PROVOKED_RESETS, UNREAD};
use gateway_testkit::http2::holds::HOLDS;
use gateway_testkit::tls::{Versions, client, offering};

use super::cost::{Bounds, Cost, End, Target};
use crate::bars::Bars;
use crate::clients::{HTTP, HTTPS, Testbed};
use crate::table::render;
use crate::{proc, process};

/// For memory to be given back.
const SHRINKING: Duration = Duration::from_secs(60);

/// Costs, and what was left.
pub(super) struct Costs {
    bounds: Bounds,
    costs: Vec<Cost>,
    /// Memory before and, once it had shrunk as far as it had to, after everything.
    rss_kib: (u64, u64),
}

/// Makes every attack. `optimised` is false for a build that takes longer for everything.
///
/// # Errors
/// The gateway ends.
pub(super) fn run(testbed: &mut Testbed, optimised: bool) -> Result<Costs> {
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let trusting = offering(&client(&[testbed.certificate()], Versions::New), &[b"h2"]);
    let servers = [
        ("clear text", Server::from(address(HTTP))),
        ("TLS", Server::from(address(HTTPS)).over_tls("localhost", &trusting)),
    ];
    let pid = testbed.pid();
    let before = proc::rss_kib(pid)?;
    let bounds = Bounds::of(&Bars::read()?.attacks, optimised);
    let most_left = before + bounds.growth_kib;
    let mut costs = Vec::new();
    for (over, server) in servers {
        let target = Target { server, over, neighbours: address(HTTP), pid, bounds };
        let lists: [&[Attack]; 5] = [FLOODS, UNREAD, PROVOKED_RESETS, HEADS, HONEST];
        for attack in lists.into_iter().flatten() {
            testbed.ensure_running()?;
            costs.push(target.attack(attack)?);
        }
        for hold in HOLDS {
            testbed.ensure_running()?;
            // What the one before has left would hide what this one takes.
            shrunk(pid, most_left)?;
            costs.push(target.hold(hold)?);
        }
    }
    Ok(Costs { bounds, costs, rss_kib: (before, shrunk(pid, most_left)?) })
}

/// The memory of a process once it is no more than `most`, or a minute later.
fn shrunk(pid: u32, most: u64) -> Result<u64> {
    let began = Instant::now();
    loop {
        process::check_interrupt()?;
        let rss = proc::rss_kib(pid)?;
        if rss <= most || began.elapsed() > SHRINKING {
            return Ok(rss);
        }
        sleep(Duration::from_millis(200));
    }
}

impl Costs {
    pub(super) fn failures(&self) -> Vec<String> {
        let (before, after) = self.rss_kib;
        let most = self.bounds.growth_kib;
        let left = (after > before + most)
            .then(|| format!("memory: {after} KiB a minute after all attacks, above {before} + {most}"));
        self.costs.iter().flat_map(Cost::failures).chain(left).collect()
    }

    pub(super) fn print(&self) {
        println!("\n{}", self.table());
        let (before, after) = self.rss_kib;
        println!("\nmemory: {before} KiB before, {after} KiB after all attacks");
    }

    fn table(&self) -> String {
        let rows = self.costs.iter().map(|cost| {
            vec![
                cost.name.to_owned(),
                cost.over.to_owned(),
                cost.connections.to_string(),
                cost.frames.to_string(),
                cost.bytes.div_ceil(1024).to_string(),
                end(cost.end),
                format!("{:.3}", cost.cpu.as_secs_f64()),
                cost.rss_kib.to_string(),
                cost.served.during.to_string(),
                format!("{:.1}", cost.served.longest.as_secs_f64() * 1e3),
            ]
        });
        let headers = [
            "attack",
            "over",
            "connections",
            "frames",
            "KiB sent",
            "end",
            "CPU s each",
            "RSS +KiB",
            "neighbours",
            "longest ms",
        ];
        render(headers, &[0, 1, 5], rows)
    }
}

fn end(end: End) -> String {
    match end {
        End::Closed(Some(code)) => format!("GOAWAY {code}"),
        End::Closed(None) => "closed".to_owned(),
        End::Open => "OPEN".to_owned(),
        End::Allowed => "–".to_owned(),
    }
}
