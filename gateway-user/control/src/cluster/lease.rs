//! One leader among the processes of a cluster, by a Lease.
//!
//! As client-go's leader election: clocks of different machines are never compared. A holder has lost the
//! Lease when its record has not changed for as long as it says, counted from when *we* saw it change; and it
//! stops acting as the holder well before that, counted from when it last began to renew.

use std::time::Duration;

use gateway_sync::server::Leading;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use super::failures::ErrorLog;
use crate::backoff::jittered;

/// Durations of leader election.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// Time for which others leave a record alone that does not change, as client-go's `LeaseDuration`. Whole
    /// seconds.
    pub duration: Duration,
    /// Time from the beginning of the last renewal for which a holder still acts as one, as client-go's
    /// `RenewDeadline`; shorter than `duration`.
    pub deadline: Duration,
    /// Time between two attempts to renew or to acquire, as client-go's `RetryPeriod`; a fifth more at
    /// random.
    pub retry: Duration,
}

impl Default for LeaseTimes {
    /// Those of client-go.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Tells if this process may act as the leader. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Term>>);

/// The annotation of the Lease with the address at which nodes reach the holder.
pub const STREAM_ADDRESS: &str = "sluice.dev/stream-address";

/// The end of an election for nodes that follow the leader.
#[derive(Debug)]
pub struct Herald {
    /// This process's address for nodes, as `IP:PORT`.
    pub address: String,
    /// Where it says who leads.
    pub leading: watch::Sender<Leading>,
}

/// A time in which this process may act as the leader.
#[derive(Clone, Copy, Debug)]
struct Term {
    since: Instant,
    until: Instant,
}

impl Leadership {
    /// True while this process acts as the leader. To be asked before every write.
    pub fn holds(&self) -> bool {
        self.0.borrow().is_some_and(|term| Instant::now() < term.until)
    }

    /// Start of the unbroken time as the leader; `None` if this process is not.
    pub fn since(&self) -> Option<Instant> {
        self.0.borrow().map(|term| term.since)
    }

    /// Resolves when leadership is won or lost; a renewal is neither. One that runs out is not told of before
    /// the next attempt has failed.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The candidate has ended: nothing changes any more.
            std::future::pending::<()>().await;
        }
    }
}

/// A process that would lead.
#[derive(Debug)]
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    times: LeaseTimes,
    observed: ObservedLease,
    /// True if the record is certain to be the newest: not after an attempt whose outcome is unknown.
    certain: bool,
    /// Most changes of the holder that any record has shown: a record that was deleted does not begin anew.
    transitions: i32,
    leads: watch::Sender<Option<Term>>,
    herald: Option<Herald>,
}

/// The record as it was seen last.
#[derive(Debug, Default)]
struct ObservedLease(Option<Seen>);

#[derive(Debug)]
struct Seen {
    lease: Lease,
    /// Since when it is like that, by our clock.
    since: Instant,
    /// When it was looked at last.
    at: Instant,
}

impl ObservedLease {
    /// Takes note of the record. Who saw nothing of it for its whole time begins to wait anew: the server was away for the
    /// holder as well, whom nodes follow and who is to renew it first.
    fn see(&mut self, lease: Lease, now: Instant) {
        let waits_on = |seen: &Seen| seen.lease.spec == lease.spec && now < seen.at + duration(&lease);
        let since = self.0.as_ref().filter(|seen| waits_on(seen)).map_or(now, |seen| seen.since);
        self.0 = Some(Seen { lease, since, at: now });
    }

    /// True if `me` may write itself into the record.
    fn is_free_for(&self, me: &str, now: Instant) -> bool {
        let Some(Seen { lease, since, .. }) = &self.0 else { return true };
        let holder = self.holder();
        holder.is_empty() || holder == me || now >= *since + duration(lease)
    }

    /// The address of the holder for nodes; empty if nobody holds it, or it does not say.
    fn stream_address(&self, now: Instant) -> String {
        if self.is_free_for("", now) {
            return String::new();
        }
        let annotations = self.0.as_ref().and_then(|seen| seen.lease.metadata.annotations.as_ref());
        annotations.and_then(|all| all.get(STREAM_ADDRESS)).cloned().unwrap_or_default()
    }

    /// Changes of the holder so far, as the record has them.
    fn transitions(&self) -> i32 {
        let spec = self.0.as_ref().and_then(|seen| seen.lease.spec.as_ref());
        spec.and_then(|spec| spec.lease_transitions).unwrap_or(0)
    }

    fn holder(&self) -> &str {
        let spec = self.0.as_ref().and_then(|seen| seen.lease.spec.as_ref());
        spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
    }
}

impl Candidate {
    /// A candidate for the Lease `name` in `namespace`, who signs as `identity`, which no other process does.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        times: LeaseTimes,
    ) -> (Self, Leadership) {
        let (leads, leadership) = watch::channel(None);
        let candidate = Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            times,
            observed: ObservedLease::default(),
            certain: false,
            transitions: 0,
            leads,
            herald: None,
        };
        (candidate, Leadership(leadership))
    }

    /// Has nodes told who leads, and where.
    #[must_use]
    pub fn heralded(self, herald: Option<Herald>) -> Self {
        Self { herald, ..self }
    }

    /// Stands for the Lease until `stop` says true or its sender is gone; then gives it back if it is held.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut errors = ErrorLog::default();
        loop {
            let begun = Instant::now();
            // A request without a response leaves time for another before the deadline.
            let patience = self.times.deadline / 2;
            let outcome = match timeout(patience, self.attempt()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no response within {}s", patience.as_secs_f32())),
            };
            match &outcome {
                Ok(_) => errors.passed(),
                Err(error) => errors.failed(format!("Lease {}: {error}", self.name)),
            }
            self.conclude(begun, &outcome);
            tokio::select! {
                () = sleep(jittered(self.times.retry)) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.release().await;
    }

    /// Renews or acquires; gives whether we hold it.
    async fn attempt(&mut self) -> Result<bool, String> {
        let outcome = self.try_once().await;
        self.transitions = self.transitions.max(self.observed.transitions());
        outcome
    }

    async fn try_once(&mut self) -> Result<bool, String> {
        let held = self.leads.borrow().is_some_and(|term| Instant::now() < term.until);
        if !held || self.observed.0.is_none() || !self.certain {
            match self.leases.get_opt(&self.name).await.map_err(|error| self.explain("get", &error))? {
                // Counted from the response on: the record may have been renewed while it was on its way.
                Some(lease) => self.observed.see(lease, Instant::now()),
                None => self.observed.0 = None,
            }
            self.transitions = self.transitions.max(self.observed.transitions());
        }
        self.certain = false;
        if !self.observed.is_free_for(&self.identity, Instant::now()) {
            return Ok(false);
        }
        match self.write(self.record()).await {
            Ok(lease) => {
                self.observed.see(lease, Instant::now());
                self.certain = true;
                Ok(true)
            }
            Err(error) if is_conflict(&error) => {
                // Somebody else was faster; what is known of the record is not worth anything.
                self.observed.0 = None;
                Ok(false)
            }
            Err(error) => Err(self.explain("update", &error)),
        }
    }

    async fn write(&self, lease: Lease) -> Result<Lease, Error> {
        match &lease.metadata.resource_version {
            Some(_) => self.leases.replace(&self.name, &PostParams::default(), &lease).await,
            None => self.leases.create(&PostParams::default(), &lease).await,
        }
    }

    /// The record with us as its holder.
    fn record(&self) -> Lease {
        let now = MicroTime(Timestamp::now());
        let known = self.observed.0.as_ref().map(|seen| seen.lease.clone()).unwrap_or_default();
        let before = known.spec.unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(&*self.identity);
        let acquired = before.acquire_time.filter(|_| ours);
        let mut annotations = known.metadata.annotations.unwrap_or_default();
        match &self.herald {
            Some(herald) => drop(annotations.insert(STREAM_ADDRESS.to_owned(), herald.address.clone())),
            None => drop(annotations.remove(STREAM_ADDRESS)),
        }
        let annotations = (!annotations.is_empty()).then_some(annotations);
        Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), annotations, ..known.metadata },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(
                    i32::try_from(self.times.duration.as_secs()).unwrap_or(i32::MAX),
                ),
                acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(self.transitions.saturating_add(i32::from(!ours))),
                ..LeaseSpec::default()
            }),
        }
    }

    fn conclude(&mut self, begun: Instant, outcome: &Result<bool, String>) {
        let before = *self.leads.borrow();
        let next = match outcome {
            Ok(true) => {
                let unbroken = before.filter(|term| begun < term.until);
                let since = unbroken.map_or_else(Instant::now, |term| term.since);
                Some(Term { since, until: begun + self.times.deadline })
            }
            Ok(false) => None,
            // Until then nobody else can have it.
            Err(_) => before.filter(|term| Instant::now() < term.until),
        };
        match (before, next) {
            (None, Some(_)) => {
                info!(lease = self.name, "became leader: writes the status of objects from now on")
            }
            (Some(_), None) => {
                info!(lease = self.name, "lost leadership to {:?}", self.observed.holder())
            }
            _ => {}
        }
        self.leads.send_if_modified(|term| {
            let news = term.map(|term| term.since) != next.map(|term| term.since);
            *term = next;
            news
        });
        self.proclaim(next.is_some(), outcome.is_err());
    }

    /// Tells nodes who leads. While the server does not say who holds the Lease, whoever led may still do.
    fn proclaim(&self, here: bool, is_away: bool) {
        let Some(herald) = &self.herald else { return };
        let leader = || self.observed.stream_address(Instant::now());
        herald.leading.send_if_modified(|known| {
            let led = !matches!(known, Leading::Elsewhere { .. });
            let now = match here {
                true => Leading::Here { term: u64::try_from(self.transitions).unwrap_or(0) },
                false if is_away && led => Leading::Unknown,
                false => Leading::Elsewhere { leader: leader() },
            };
            std::mem::replace(known, now.clone()) != now
        });
    }

    /// Says that nobody holds it, so that the next leader need not wait.
    async fn release(self) {
        if self.leads.send_replace(None).is_none() {
            return;
        }
        self.herald.iter().for_each(|herald| {
            herald.leading.send_replace(Leading::nobody());
        });
        let mut lease = self.record();
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        // Without a response, the next leader waits for the time in the record.
        let _ = timeout(self.times.retry, self.write(lease)).await;
    }

    fn explain(&self, verb: &str, error: &Error) -> String {
        let hint = match error {
            Error::Api(status) if status.code == 403 => {
                format!(" (allow verb {verb} on leases in group coordination.k8s.io)")
            }
            _ => String::new(),
        };
        format!("{verb}: {error}{hint}; until one process holds it, no status is written")
    }
}

/// Time for which a record is its holder's from when it was written.
fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: i64) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[test]
    fn a_record_is_free_once_it_has_not_changed_for_its_time_by_our_clock() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut observed = ObservedLease::default();
        assert!(observed.is_free_for("me", at(0)), "there is none");
        // The holder's clock is of no interest: it says 1970.
        observed.see(lease("other", 1), at(0));
        assert!(!observed.is_free_for("me", at(14)));
        assert!(observed.is_free_for("other", at(1)));
        observed.see(lease("other", 1), at(14));
        assert!(observed.is_free_for("me", at(15)), "it is what it was");
        observed.see(lease("other", 0), at(15));
        assert!(!observed.is_free_for("me", at(29)), "it changed, whatever to");
        assert!(observed.is_free_for("me", at(30)));
        observed.see(lease("", 0), at(30));
        assert!(observed.is_free_for("me", at(30)), "given back");
    }

    #[test]
    fn after_a_time_without_the_server_the_holder_comes_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut observed = ObservedLease::default();
        observed.see(lease("other", 1), at(0));
        // Single requests that fail prolong nothing.
        observed.see(lease("other", 1), at(14));
        assert!(observed.is_free_for("me", at(15)));
        observed.see(lease("other", 1), at(29));
        assert!(!observed.is_free_for("me", at(43)), "nothing was seen of it for 15 seconds");
        observed.see(lease("other", 1), at(43));
        assert!(observed.is_free_for("me", at(44)), "the holder is gone");
    }
}
