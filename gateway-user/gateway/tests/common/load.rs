//! Load that must not fail, and the judgement on it.

use std::process::Command;

use gateway_testkit::process::Guarded;
use nix::sys::signal::Signal;

/// A running `wrk`, bounded by its own duration.
pub struct Wrk(Guarded);

/// Counts of `wrk`.
#[derive(Debug)]
pub struct Report {
    /// Number of responses received.
    pub requests: u64,
    /// Number of responses that were not 2xx or 3xx.
    pub bad_responses: u64,
    /// The line of socket errors, if there were any.
    pub socket_errors: Option<String>,
}

impl Wrk {
    /// Starts one thread with `connections` keep-alive connections for `seconds`.
    pub fn start(url: &str, connections: u32, seconds: u32) -> Self {
        let mut command = Command::new("wrk");
        command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "20s", url]);
        Self(Guarded::spawn(&mut command).expect("wrk is installed by `cargo xtask test`"))
    }

    /// True if it still sends.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Ends it before its time, which must not have come, and reads the report.
    #[track_caller]
    pub fn stop(mut self) -> Report {
        assert!(self.is_running(), "it ended by itself: {}", self.0.output());
        self.0.signal(Signal::SIGINT).unwrap();
        self.report()
    }

    /// Waits for the end and reads the report.
    pub fn report(mut self) -> Report {
        let status = self.0.wait();
        assert!(status.success(), "wrk: {}", self.0.output());
        // The reader of its output may be a moment behind its end.
        gateway_testkit::wait::until("wrk's report", || {
            self.0.output().contains("Transfer/sec").then_some(())
        });
        let text = self.0.output();
        let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<u64>().ok());
        let requests = text.lines().find(|line| line.contains("requests in")).and_then(number).unwrap_or(0);
        let bad_responses = text
            .lines()
            .find(|line| line.contains("Non-2xx"))
            .and_then(|line| line.rsplit(' ').next()?.parse().ok());
        let socket_errors = text.lines().find(|line| line.contains("Socket errors")).map(str::to_owned);
        Report { requests, bad_responses: bad_responses.unwrap_or(0), socket_errors }
    }
}

impl Report {
    /// Not one request failed, and there were some.
    #[track_caller]
    pub fn must_be_clean(&self) {
        assert!(self.requests > 0, "nothing was sent: {self:?}");
        assert!(self.bad_responses == 0 && self.socket_errors.is_none(), "requests failed: {self:?}");
    }
}
