//! `kill -9` of a process under a supervisor, seen by clients that verify every response and repeat nothing.

mod clients;
mod supervisor;
mod verdict;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::wait;
pub use clients::Attempt;
use clients::Clients;
pub use supervisor::Supervisor;
pub use verdict::{Kill, Verdict};

/// Settings of a run of kills.
#[derive(Clone, Debug)]
pub struct CrashRun {
    /// Where clients connect; `/httpbin/anything/ID` must get a response with that path in
    /// quotes in its body.
    pub to: SocketAddr,
    /// Number of kills.
    pub kills: u32,
    /// Number of clients: threads with one request at a time, every other one on a kept connection.
    pub clients: usize,
    /// Number of requests that must be served between two kills.
    pub between: u64,
}

impl CrashRun {
    /// Starts `command` under a supervisor, waits until it serves, kills it so many times, and judges
    /// the responses that clients saw.
    ///
    /// # Errors
    /// The command cannot be started, or not killed.
    ///
    /// # Panics
    /// If requests are not served any more.
    pub fn run(&self, command: impl FnMut() -> Command + Send + 'static) -> io::Result<Verdict> {
        let supervisor = Supervisor::start(command)?;
        let complain = |what: &str| format!("{what}; the last process says:\n{}", supervisor.output());
        wait::until(&complain("the first response"), || {
            clients::ask(self.to, &mut None, "first", false).1.ok()
        });
        let clients = Clients::start(self.to, self.clients);
        let mut kills = Vec::new();
        for _ in 0..self.kills {
            self.wait_for(&clients, Instant::now(), &complain);
            let kill = supervisor.kill()?;
            // The next responses must come on connections of the next process.
            self.wait_for(&clients, kill.reaped, &complain);
            kills.push(kill);
        }
        thread::sleep(Duration::from_millis(50));
        Ok(Verdict::new(kills, &clients.stop()))
    }

    /// Waits for responses on connections that were opened after a moment.
    fn wait_for(&self, clients: &Clients, after: Instant, complain: &impl Fn(&str) -> String) {
        let what = complain("responses");
        wait::until(&what, || (clients.served_since(after) >= self.between).then_some(()));
    }
}
