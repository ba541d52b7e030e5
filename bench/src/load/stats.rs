//! Counting what happens to requests.

use std::cell::RefCell;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::LoadSpec;
use super::queue::Job;
use crate::report::{Arrivals, Connections, Conversations, FailureKind, Failures, Latency, Report, Sample};

/// Longer latencies count as this one.
const MAX_LATENCY_US: u64 = 3_600_000_000;

/// A failed request: its kind, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestError {
    pub(super) kind: FailureKind,
    pub(super) detail: String,
}

/// Counts of one run, shared by its connections.
#[derive(Debug)]
pub(super) struct RunStats {
    start: Instant,
    counts: RefCell<Counts>,
}

#[derive(Debug)]
struct Counts {
    sent: u64,
    ok: u64,
    failed: Failures,
    connections: Connections,
    conversations: Conversations,
    latency: Histogram<u64>,
    last_ok: Option<Instant>,
    longest_gap: Duration,
    samples: Vec<Sample>,
}

impl RunStats {
    pub(super) fn new(start: Instant) -> Self {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)
            .expect("an hour in microseconds with three digits is within the histogram's limits");
        let counts = Counts {
            sent: 0,
            ok: 0,
            failed: Failures::default(),
            connections: Connections::default(),
            conversations: Conversations::default(),
            latency,
            last_ok: None,
            longest_gap: Duration::ZERO,
            samples: Vec::new(),
        };
        Self { start, counts: RefCell::new(counts) }
    }

    pub(super) fn sent(&self) {
        self.counts.borrow_mut().sent += 1;
    }

    pub(super) fn ended(&self, job: Job, outcome: Result<(), RequestError>) {
        let mut counts = self.counts.borrow_mut();
        match outcome {
            Ok(()) => {
                counts.ok += 1;
                let now = Instant::now();
                counts.latency.saturating_record(micros(now - job.due));
                if let Some(last) = counts.last_ok.replace(now) {
                    counts.longest_gap = counts.longest_gap.max(now - last);
                }
            }
            Err(error) => {
                counts.failed.add(error.kind);
                counts.sample(job.id.to_string(), self.at_ms(), error);
            }
        }
    }

    pub(super) fn connection(&self, count: impl FnOnce(&mut Connections)) {
        count(&mut self.counts.borrow_mut().connections);
    }

    pub(super) fn conversation(&self, count: impl FnOnce(&mut Conversations)) {
        count(&mut self.counts.borrow_mut().conversations);
    }

    /// Counts one that the other side ended in order.
    pub(super) fn conversation_ended(&self) {
        let at_ms = self.at_ms();
        self.conversation(|c| {
            c.ended += 1;
            c.first_end_ms.get_or_insert(at_ms);
        });
    }

    /// Counts one that ended otherwise while no message was under way.
    pub(super) fn conversation_broken(&self, error: RequestError) {
        let mut counts = self.counts.borrow_mut();
        counts.conversations.broken += 1;
        counts.sample("-".to_owned(), self.at_ms(), error);
    }

    /// Milliseconds since the start of the run.
    fn at_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Of a run whose schedule had `planned` requests.
    pub(super) fn report(&self, spec: &LoadSpec, planned: u64, witness: Option<Arrivals>) -> Report {
        let counts = self.counts.borrow();
        Report {
            mode: spec.mode.name().to_owned(),
            planned,
            sent: counts.sent,
            ok: counts.ok,
            failed: counts.failed,
            missing: planned.saturating_sub(counts.ok + counts.failed.total()),
            witness,
            connections: counts.connections,
            conversations: counts.conversations,
            latency: Latency {
                p50_us: counts.latency.value_at_quantile(0.5),
                p99_us: counts.latency.value_at_quantile(0.99),
                max_us: counts.latency.max(),
            },
            longest_gap_us: micros(counts.longest_gap),
            seconds: self.start.elapsed().as_secs_f64(),
            samples: counts.samples.clone(),
        }
    }
}

impl Counts {
    fn sample(&mut self, id: String, at_ms: u64, RequestError { kind, detail }: RequestError) {
        if self.samples.len() < Report::SAMPLES {
            self.samples.push(Sample { id, at_ms, kind, detail });
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl RequestError {
    pub(super) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(super) fn wrong(detail: impl Into<String>) -> Self {
        Self::new(FailureKind::Wrong, detail)
    }
}
