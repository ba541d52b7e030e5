//! Observations of clients in each event, held against its bar.

use std::time::Duration;

use serde::Serialize;
use sluice_bench::load::Mode;
use sluice_bench::report::Report;

/// The bar of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bar {
    /// No request, and no conversation ends.
    Nothing,
    /// No request. A conversation of a process that drains may be ended in the second half of its `--drain-max`, in order;
    /// the message that is under way then is sent again.
    Drained,
    /// Requests that the killed process had accepted: others wait for the next one, for a second at most.
    InFlight,
}

/// One event under load.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Phase {
    pub(super) event: String,
    pub(super) bar: Bar,
    /// Until all was as before.
    pub(super) took_ms: u64,
    pub(super) clients: Vec<Report>,
}

/// All events of one name together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) event: String,
    pub(super) bar: Bar,
    pub(super) times: usize,
    /// Longest time of one.
    pub(super) took_ms: u64,
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// Of these, requests that found nobody: refused.
    pub(super) refused: u64,
    /// Longest time without a response on any way of using connections for short requests.
    pub(super) gap_us: u64,
    /// WebSockets and calls of gRPC that were begun, and those that a drain ended.
    pub(super) opened: u64,
    pub(super) ended: u64,
    /// Milliseconds from a client's start to the first such end, of the events that had one.
    pub(super) first_end_ms: Option<u64>,
}

/// Time within which a node whose process was killed serves again.
const BACK: Duration = Duration::from_secs(1);
/// Half of `--drain-max`, whose default the release has: conversations are not ended before that (docs/websocket.md).
/// Clients start before the event and with it before any drain.
const KEPT_MS: u64 = 15_000;

impl Phase {
    /// Requests of the short kind, which `--requests` counts.
    pub(super) fn short(&self) -> u64 {
        self.clients.iter().filter(|report| is_short(report)).map(|report| report.sent).sum()
    }
}

impl Row {
    /// One for each name, in the order in which they came first.
    pub(super) fn all(phases: &[Phase]) -> Vec<Self> {
        let mut rows: Vec<Self> = Vec::new();
        for phase in phases {
            let row = Self::of(phase);
            match rows.iter_mut().find(|row| row.event == phase.event) {
                Some(old) => old.add(&row),
                None => rows.push(row),
            }
        }
        rows
    }

    fn of(phase: &Phase) -> Self {
        let sum = |reports: fn(&Report) -> u64| phase.clients.iter().map(reports).sum::<u64>();
        let short = phase.clients.iter().filter(|report| is_short(report));
        Self {
            event: phase.event.clone(),
            bar: phase.bar,
            times: 1,
            took_ms: phase.took_ms,
            sent: sum(|r| r.sent),
            lost: sum(Report::lost),
            refused: sum(|r| r.failed.refused),
            gap_us: short.map(|report| report.longest_gap_us).max().unwrap_or_default(),
            opened: sum(|r| r.conversations.opened),
            ended: sum(|r| r.conversations.ended),
            first_end_ms: phase.clients.iter().filter_map(|r| r.conversations.first_end_ms).min(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.times += other.times;
        self.took_ms = self.took_ms.max(other.took_ms);
        self.sent += other.sent;
        self.lost += other.lost;
        self.refused += other.refused;
        self.gap_us = self.gap_us.max(other.gap_us);
        self.opened += other.opened;
        self.ended += other.ended;
        self.first_end_ms = self.first_end_ms.into_iter().chain(other.first_end_ms).min();
    }

    /// In which way it misses its bar.
    pub(super) fn failure(&self) -> Option<String> {
        let Self { event, lost, refused, sent, ended, .. } = self;
        match self.bar {
            _ if *sent == 0 => Some(format!("{event}: nobody sent anything")),
            Bar::Nothing | Bar::Drained if *lost > 0 => {
                Some(format!("{event}: {lost} of {sent} requests were lost"))
            }
            Bar::Nothing if *ended > 0 => Some(format!("{event}: {ended} conversations were ended")),
            Bar::Drained if self.first_end_ms.is_some_and(|at| at < KEPT_MS) => {
                Some(format!("{event}: a conversation was ended in the first half of a drain"))
            }
            Bar::InFlight if *refused > 0 => Some(format!("{event}: {refused} connections were refused")),
            Bar::InFlight if u128::from(self.gap_us) >= BACK.as_micros() => {
                let gap = Duration::from_micros(self.gap_us);
                Some(format!("{event}: no response for {gap:.1?}, and {BACK:?} is the most"))
            }
            Bar::Nothing | Bar::Drained | Bar::InFlight => None,
        }
    }

    /// Cells of the table.
    pub(super) fn cells(&self) -> Vec<String> {
        let verdict = match (self.failure(), self.bar) {
            (Some(_), _) => "missed",
            (None, Bar::Nothing | Bar::Drained) => "held",
            (None, Bar::InFlight) => "held: in flight alone",
        };
        vec![
            self.event.clone(),
            self.times.to_string(),
            format!("{:.1}", self.took_ms as f64 / 1e3),
            self.sent.to_string(),
            self.lost.to_string(),
            self.refused.to_string(),
            format!("{}, {} ended", self.opened, self.ended),
            format!("{:.0}", self.gap_us as f64 / 1e3),
            verdict.to_owned(),
        ]
    }
}

/// Headers of the table, and its columns of words.
pub(super) const HEADERS: [&str; 9] =
    ["event", "times", "longest s", "sent", "failed", "refused", "conversations", "longest gap ms", "bar"];
pub(super) const TEXT_COLUMNS: [usize; 2] = [0, 8];

fn is_short(report: &Report) -> bool {
    Mode::ALL.iter().any(|mode| mode.is_short() && report.mode == mode.name())
}

#[cfg(test)]
mod tests {
    use sluice_bench::report::{Conversations, Failures};

    use super::*;

    fn phase(event: &str, bar: Bar, (sent, refused, gap_us): (u64, u64, u64)) -> Phase {
        let mut report: Report = serde_json::from_value(serde_json::json!({
            "mode": "keep-alive", "planned": sent, "sent": sent, "ok": sent - refused, "failed": {}, "missing": 0,
            "witness": null, "connections": {}, "latency": { "p50Us": 1, "p99Us": 1, "maxUs": 1 },
            "seconds": 1.0, "samples": [],
        }))
        .unwrap();
        report.failed = Failures { refused, ..Failures::default() };
        report.longest_gap_us = gap_us;
        let download = Report { mode: "download".to_owned(), longest_gap_us: 9_000_000, ..report.clone() };
        Phase { event: event.to_owned(), bar, took_ms: 10, clients: vec![report, download] }
    }

    #[test]
    fn events_of_one_name_are_one_row() {
        let phases = [
            phase("a", Bar::Nothing, (100, 0, 7)),
            phase("b", Bar::Nothing, (10, 0, 8)),
            phase("a", Bar::Nothing, (50, 1, 3)),
        ];
        assert_eq!(phases[0].short(), 100, "transfers are not counted");
        let rows = Row::all(&phases);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].times, rows[0].sent, rows[0].lost, rows[0].gap_us), (2, 300, 2, 7));
        assert_eq!(rows[1].failure(), None);
        assert!(rows[0].failure().unwrap().starts_with("a: 2 of 300 requests"), "{:?}", rows[0].failure());
    }

    #[test]
    fn only_a_drain_may_end_conversations_and_not_before_its_second_half() {
        let failure = |bar, first_end_ms| {
            let mut phase = phase("roll", bar, (100, 0, 7));
            phase.clients[0].conversations =
                Conversations { opened: 8, ended: 3, first_end_ms, ..Default::default() };
            Row::all(&[phase])[0].failure()
        };
        assert_eq!(failure(Bar::Drained, Some(KEPT_MS)), None);
        assert!(failure(Bar::Drained, Some(KEPT_MS - 1)).is_some());
        assert!(failure(Bar::Nothing, Some(KEPT_MS)).is_some());
        assert_eq!(failure(Bar::InFlight, Some(1)), None);
    }

    #[test]
    fn a_killed_process_may_lose_what_it_had_and_must_be_back_within_a_second() {
        let failure = |figures| Row::all(&[phase("kill", Bar::InFlight, figures)])[0].failure();
        assert_eq!(failure((100, 0, 999_999)), None);
        assert!(failure((100, 1, 999_999)).is_some(), "connections wait");
        assert!(failure((100, 0, 1_000_000)).is_some());
        assert!(failure((0, 0, 0)).is_some(), "a run without requests proves nothing");
    }
}
