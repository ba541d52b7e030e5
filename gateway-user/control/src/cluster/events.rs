//! Tells people on their objects what has changed (events.k8s.io).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{ConditionStatus, Kind};
use gateway_translate::condition_type::{HOST_CONFLICT, PROGRAMMED, is_fault_if_true};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::change::Change;
use super::op::Transition;
use super::tally::ClusterTally;

/// Events in a row, and then one per `REFILL_INTERVAL`: a mistake that breaks a thousand routes is no reason
/// for a thousand events.
const BURST: u32 = 25;
const REFILL_INTERVAL: Duration = Duration::from_millis(500);
/// Most Events in the queue; more are left out.
const WAITING: usize = 256;
/// Limit for the server's response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of `Event.note` (events.k8s.io/v1); `reason` and `action` have fewer.
const NOTE_MAX: usize = 1024;
/// Most bytes of an object's name in the name of its Event, which has 253 at most.
const NAME_MAX: usize = 230;

/// Takes events and sends them when it can. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: mpsc::Sender<QueuedEvent>,
    reporter: Reporter,
    tally: Arc<ClusterTally>,
}

/// An Event in the queue.
#[allow(clippy::large_enum_variant)] // nearly all are the large one
enum QueuedEvent {
    /// A change that was written.
    Change(Event, ObjectReference),
    /// An Event whose name says what it is about: the server has it once, whoever leads.
    Once(Box<v1::Event>),
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
        let recorder = Recorder::new(client.clone(), reporter.clone());
        let sending = send(client, recorder, waiting, Arc::clone(&tally));
        (Self { queue, reporter, tally }, sending)
    }

    /// Says what a written change changes for people.
    pub(super) fn tell(&self, change: &Change) {
        for transition in change.transitions.iter().filter(|one| is_news(one)) {
            let sent = self.queue.try_send(QueuedEvent::Change(event(transition), reference(change)));
            if sent.is_err() {
                self.tally.event(false);
            }
        }
    }
}

impl Events {
    /// Warns of one generation of an object, once for all processes that ever lead as long as the server
    /// keeps the Event.
    pub(super) fn tell_once(&self, kind: Kind, metadata: &ObjectMeta, reason: &str, note: &str) {
        let event = Box::new(self.warning(kind, metadata, reason, note));
        if self.queue.try_send(QueuedEvent::Once(event)).is_err() {
            self.tally.event(false);
        }
    }

    fn warning(&self, kind: Kind, metadata: &ObjectMeta, reason: &str, note: &str) -> v1::Event {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (name, uid) = (text(&metadata.name), text(&metadata.uid));
        let mut hasher = DefaultHasher::new();
        (uid, metadata.generation, reason).hash(&mut hasher);
        // As client-go names Events: the object's name and a number. Names are ASCII.
        let short = name.get(..NAME_MAX).unwrap_or(&name);
        let namespace = metadata.namespace.clone();
        v1::Event {
            metadata: ObjectMeta {
                name: Some(format!("{short}.{:016x}", hasher.finish())),
                namespace: namespace.clone(),
                ..ObjectMeta::default()
            },
            type_: Some("Warning".to_owned()),
            reason: Some(reason.to_owned()),
            action: Some("Attach".to_owned()),
            note: Some(shortened(note.to_owned())),
            event_time: Some(MicroTime(Timestamp::now())),
            reporting_controller: Some(self.reporter.controller.clone()),
            reporting_instance: self.reporter.instance.clone(),
            regarding: Some(ObjectReference {
                api_version: Some(kind.api_version().to_owned()),
                kind: Some(Kind::as_str(kind).to_owned()),
                name: metadata.name.clone(),
                namespace,
                uid: metadata.uid.clone(),
                resource_version: metadata.resource_version.clone(),
                field_path: None,
            }),
            ..v1::Event::default()
        }
    }
}

/// A new condition that is well is no Event, except that a Gateway is programmed.
fn is_news(transition: &Transition) -> bool {
    let condition = &transition.condition;
    match (transition.before, condition.status) {
        (_, ConditionStatus::Unknown) => false,
        // False says that a host is shared and nothing collides, which is worth a word too.
        _ if condition.type_ == HOST_CONFLICT => true,
        _ if is_fault_if_true(&condition.type_) => condition.status == ConditionStatus::True,
        (_, ConditionStatus::False) => true,
        (Some(ConditionStatus::False), ConditionStatus::True) => true,
        (_, ConditionStatus::True) => condition.type_ == PROGRAMMED && transition.section.is_none(),
    }
}

fn event(transition: &Transition) -> Event {
    let condition = &transition.condition;
    let bad = (condition.status == ConditionStatus::True) == is_fault_if_true(&condition.type_);
    let place = transition.section.as_ref().map(|section| format!("{section}: ")).unwrap_or_default();
    let note = format!("{place}{}={}: {}", condition.type_, condition.status, condition.message);
    let note = shortened(note);
    Event {
        type_: if bad { EventType::Warning } else { EventType::Normal },
        reason: condition.reason.clone(),
        note: Some(note),
        action: condition.type_.clone(),
        secondary: None,
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > NOTE_MAX {
        let cut = (0..=NOTE_MAX - 4).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
        note.truncate(cut);
        note.push_str(" ...");
    }
    note
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

/// Creates an Event. That it is there already is what another leader did.
async fn create(client: &Client, event: &v1::Event) -> Result<(), kube::Error> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
    let events: Api<v1::Event> = Api::namespaced(client.clone(), namespace);
    match events.create(&PostParams::default(), event).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

async fn send(
    client: Client,
    recorder: Recorder,
    mut waiting: mpsc::Receiver<QueuedEvent>,
    tally: Arc<ClusterTally>,
) {
    let (mut tokens, mut filled) = (BURST, Instant::now());
    let mut last_error = String::new();
    while let Some(told) = waiting.recv().await {
        let earned =
            u32::try_from(filled.elapsed().as_millis() / REFILL_INTERVAL.as_millis()).unwrap_or(BURST);
        if earned > 0 {
            tokens = BURST.min(tokens.saturating_add(earned));
            filled = Instant::now();
        }
        if tokens == 0 {
            tally.event(false);
            continue;
        }
        tokens -= 1;
        let sent = async {
            match &told {
                QueuedEvent::Change(event, object) => recorder.publish(event, object).await,
                QueuedEvent::Once(event) => create(&client, event).await,
            }
        };
        match timeout(WRITE_TIMEOUT, sent).await {
            Ok(Ok(())) => tally.event(true),
            Ok(Err(error)) => {
                tally.event(false);
                let said =
                    format!("events: {error} (they need verbs create and patch in group events.k8s.io)");
                if said != last_error {
                    warn!("{said}");
                }
                last_error = said;
            }
            Err(_) => {
                tally.event(false);
                debug!("events: no response within {}s", WRITE_TIMEOUT.as_secs());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_api_types::Condition;
    use gateway_translate::condition_type::SHADOWED;

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
        for type_ in ["Conflicted", "PartiallyInvalid", SHADOWED] {
            assert!(news(type_, None, True) && !news(type_, None, False), "{type_}");
            assert!(matches!(event(&transition(type_, None, True)).type_, EventType::Warning), "{type_}");
        }
        let warns =
            |status| matches!(event(&transition(HOST_CONFLICT, None, status)).type_, EventType::Warning);
        assert!(news(HOST_CONFLICT, None, True) && news(HOST_CONFLICT, None, False));
        assert!(warns(True) && !warns(False), "a host that is merely shared is nobody's fault");
    }

    #[test]
    fn a_note_is_of_the_length_that_is_allowed() {
        let event = event(&transition("Accepted", None, ConditionStatus::False));
        let note = event.note.unwrap();
        assert!(note.len() <= NOTE_MAX && note.starts_with("Accepted=False: mmm"), "{note}");
        assert!(matches!(event.type_, EventType::Warning));
    }
}
