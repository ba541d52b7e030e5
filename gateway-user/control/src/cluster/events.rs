//! Tells people on their objects what has changed (events.k8s.io).

use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{ConditionStatus, Kind};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::change::Change;
use super::op::Transition;
use super::tally::ClusterTally;

/// Events in a row, and then one per `EVERY`: a mistake that breaks a thousand routes is no reason for a thousand events.
const BURST: u32 = 25;
const EVERY: Duration = Duration::from_millis(500);
/// How many may wait; more are left out.
const WAITING: usize = 256;
/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// `Event.note` holds at most this many bytes, `reason` and `action` fewer.
const NOTE_MAX: usize = 1024;

/// Takes events and sends them when it can. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: mpsc::Sender<(Event, ObjectReference)>,
    tally: Arc<ClusterTally>,
}

impl Events {
    /// With the task that sends them, which ends with the last clone.
    pub(super) fn new(
        client: Client,
        controller: &str,
        identity: &str,
        tally: Arc<ClusterTally>,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let reporter = Reporter { controller: controller.to_owned(), instance: Some(identity.to_owned()) };
        let sending = send(Recorder::new(client, reporter), waiting, Arc::clone(&tally));
        (Self { queue, tally }, sending)
    }

    /// Says what a written change changes for people.
    pub(super) fn tell(&self, change: &Change) {
        for transition in change.transitions.iter().filter(|one| is_news(one)) {
            let sent = self.queue.try_send((event(transition), reference(change)));
            if sent.is_err() {
                self.tally.event(false);
            }
        }
    }
}

/// What was never said before and is well is no news, but for a Gateway that is programmed.
fn is_news(transition: &Transition) -> bool {
    let condition = &transition.condition;
    match (transition.before, condition.status) {
        (_, ConditionStatus::Unknown) => false,
        // To be in conflict is the bad news.
        _ if condition.type_ == "Conflicted" => condition.status == ConditionStatus::True,
        (_, ConditionStatus::False) => true,
        (Some(ConditionStatus::False), ConditionStatus::True) => true,
        (_, ConditionStatus::True) => {
            condition.type_ == "PartiallyInvalid"
                || condition.type_ == "Programmed" && transition.section.is_none()
        }
    }
}

fn event(transition: &Transition) -> Event {
    let condition = &transition.condition;
    let bad = match condition.type_.as_str() {
        "Conflicted" | "PartiallyInvalid" => condition.status == ConditionStatus::True,
        _ => condition.status != ConditionStatus::True,
    };
    let place = transition.section.as_ref().map(|section| format!("{section}: ")).unwrap_or_default();
    let mut note = format!("{place}{}={}: {}", condition.type_, condition.status, condition.message);
    if note.len() > NOTE_MAX {
        let cut = (0..=NOTE_MAX - 4).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
        note.truncate(cut);
        note.push_str(" ...");
    }
    Event {
        type_: if bad { EventType::Warning } else { EventType::Normal },
        reason: condition.reason.clone(),
        note: Some(note),
        action: condition.type_.clone(),
        secondary: None,
    }
}

fn reference(change: &Change) -> ObjectReference {
    let namespace = Some(change.key.namespace.clone()).filter(|namespace| !namespace.is_empty());
    ObjectReference {
        api_version: Some(change.kind.api_version().to_owned()),
        kind: Some(Kind::as_str(change.kind).to_owned()),
        name: Some(change.key.name.clone()),
        namespace,
        uid: Some(change.uid.clone()),
        resource_version: Some(change.resource_version.clone()),
        field_path: None,
    }
}

async fn send(
    recorder: Recorder,
    mut waiting: mpsc::Receiver<(Event, ObjectReference)>,
    tally: Arc<ClusterTally>,
) {
    let (mut tokens, mut filled) = (BURST, Instant::now());
    let mut trouble = String::new();
    while let Some((event, object)) = waiting.recv().await {
        let earned = u32::try_from(filled.elapsed().as_millis() / EVERY.as_millis()).unwrap_or(BURST);
        if earned > 0 {
            tokens = BURST.min(tokens.saturating_add(earned));
            filled = Instant::now();
        }
        if tokens == 0 {
            tally.event(false);
            continue;
        }
        tokens -= 1;
        match timeout(PATIENCE, recorder.publish(&event, &object)).await {
            Ok(Ok(())) => tally.event(true),
            Ok(Err(error)) => {
                tally.event(false);
                let said =
                    format!("events: {error} (they need verbs create and patch in group events.k8s.io)");
                if said != trouble {
                    warn!("{said}");
                }
                trouble = said;
            }
            Err(_) => {
                tally.event(false);
                debug!("events: no answer within {}s", PATIENCE.as_secs());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_api_types::Condition;

    use super::*;

    fn transition(type_: &str, before: Option<ConditionStatus>, status: ConditionStatus) -> Transition {
        let condition = Condition {
            type_: type_.to_owned(),
            status,
            reason: "Reason".to_owned(),
            message: "m".repeat(2000),
            observed_generation: None,
            last_transition_time: None,
        };
        Transition { section: None, before, condition }
    }

    #[test]
    fn news_is_what_got_worse_or_well_again() {
        use ConditionStatus::{False, True, Unknown};
        let news = |type_, before, status| is_news(&transition(type_, before, status));
        assert!(news("Accepted", None, False) && news("Accepted", Some(True), False));
        assert!(news("Accepted", Some(False), True) && !news("Accepted", Some(Unknown), True));
        assert!(!news("Accepted", Some(True), Unknown));
        assert!(news("Programmed", Some(Unknown), True), "a Gateway that is served for the first time");
        assert!(news("Conflicted", None, True) && !news("Conflicted", None, False));
    }

    #[test]
    fn a_note_is_of_the_length_that_is_allowed() {
        let event = event(&transition("Accepted", None, ConditionStatus::False));
        let note = event.note.unwrap();
        assert!(note.len() <= NOTE_MAX && note.starts_with("Accepted=False: mmm"), "{note}");
        assert!(matches!(event.type_, EventType::Warning));
    }
}
