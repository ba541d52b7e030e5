//! Addresses of a cluster's Gateways: read by every node, given by the leader.
//!
//! All of them are in one ConfigMap, so that giving one is a single write which the server refuses if another process has given
//! something since: no address can be given twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use gateway_translate::{AddressWant, Assignments};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use super::backoff::Backoff;
use super::lease::Leadership;
use super::reports::Heard;
use crate::addresses::allocate::allocate;
use crate::addresses::book;

/// The ConfigMap.
const NAME: &str = "sluice-addresses";
/// Its key.
const KEY: &str = "assignments.json";
/// Without anything that wakes it, the leader finds nodes that fell silent.
const LOOK: Duration = Duration::from_secs(5);
/// How long the server may take, and the watch to bring what was written.
const PATIENCE: Duration = Duration::from_secs(5);

/// What Gateways ask for; `None` until that is known.
pub type Wants = Option<Arc<Vec<AddressWant>>>;

/// The assignments as the watch has brought them.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Whether the cluster was read at all.
    pub read: bool,
    /// Who has what.
    pub assignments: Arc<Assignments>,
    /// The object's version; `None` if there is no object.
    version: Option<String>,
}

/// Follows the assignments until nobody listens any more.
pub async fn follow(client: Client, namespace: String, given: watch::Sender<Given>) {
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let fresh = || Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let (mut backoff, mut trouble) = (fresh(), String::new());
    let stream = watcher(maps, watcher::Config::default().fields(&format!("metadata.name={NAME}")));
    pin_mut!(stream);
    let mut listed = None;
    while let Some(event) = stream.next().await {
        let next = match event {
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(map)) => {
                listed = Some(map);
                continue;
            }
            Ok(Event::InitDone) => listed.take(),
            Ok(Event::Apply(map)) => Some(map),
            Ok(Event::Delete(_)) => None,
            Err(error) => {
                let error = format!(
                    "ConfigMap {namespace}/{NAME}: {error}; Gateways keep the addresses they have (verbs list and \
                     watch on configmaps are needed)"
                );
                if error != trouble {
                    warn!("{error}");
                }
                trouble = error;
                tokio::select! {
                    () = sleep(backoff.pause()) => continue,
                    () = given.closed() => return,
                }
            }
        };
        (backoff, trouble) = (fresh(), String::new());
        take(&namespace, next, &given);
        if given.is_closed() {
            return;
        }
    }
}

fn take(namespace: &str, map: Option<ConfigMap>, given: &watch::Sender<Given>) {
    let text = map.as_ref().and_then(|map| map.data.as_ref()?.get(KEY));
    let assignments = match text.map(|text| book::read(text)).transpose() {
        Ok(assignments) => Arc::new(assignments.unwrap_or_default()),
        Err(error) => {
            warn!("ConfigMap {namespace}/{NAME}: key {KEY}: {error}; Gateways keep the addresses they have");
            Arc::clone(&given.borrow().assignments)
        }
    };
    let version = map.and_then(|map| map.metadata.resource_version);
    given.send_replace(Given { read: true, assignments, version });
}

/// The leader's side.
pub(super) struct Giver {
    pub(super) maps: Api<ConfigMap>,
    pub(super) pool: Vec<IpNet>,
    pub(super) node: String,
    pub(super) wants: watch::Receiver<Wants>,
    pub(super) given: watch::Receiver<Given>,
    pub(super) heard: watch::Receiver<Heard>,
    pub(super) leadership: Leadership,
}

impl Giver {
    /// Gives addresses until `stop` says true or its sender is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let fresh = || Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let (mut backoff, mut trouble) = (fresh(), String::new());
        // The version that was replaced last, and until when its successor is waited for.
        let mut replaced: Option<(Option<String>, Instant)> = None;
        loop {
            let mut next = Instant::now() + LOOK;
            if let Some((given, assignments)) = self.due() {
                let waits = replaced.as_ref().filter(|(version, _)| *version == given.version);
                match waits.map(|(_, until)| *until).filter(|until| Instant::now() < *until) {
                    Some(until) => next = next.min(until),
                    None => match self.write(&given, &assignments).await {
                        Ok(()) => {
                            (backoff, trouble) = (fresh(), String::new());
                            replaced = Some((given.version, Instant::now() + PATIENCE));
                        }
                        Err(error) => {
                            if error != trouble {
                                warn!("{error}");
                            }
                            trouble = error;
                            next = Instant::now() + backoff.pause();
                        }
                    },
                }
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Ok(()) = self.wants.changed() => {}
                Ok(()) = self.given.changed() => {}
                Ok(()) = self.heard.changed() => {}
                () = self.leadership.changed() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// What is to be written in place of what, if anything is and everything is known that it takes to say so.
    fn due(&mut self) -> Option<(Given, Assignments)> {
        let wants = self.wants.borrow_and_update().clone()?;
        let given = self.given.borrow_and_update().clone();
        let heard = self.heard.borrow_and_update();
        if !given.read || !heard.is_complete() || !self.leadership.holds() {
            return None;
        }
        let mut nodes: BTreeSet<String> =
            heard.current(Instant::now(), self.leadership.since()).into_keys().collect();
        nodes.insert(self.node.clone());
        drop(heard);
        let next = allocate(&self.pool, &given.assignments, &wants, &nodes);
        (next != *given.assignments).then_some((given, next))
    }

    async fn write(&self, given: &Given, assignments: &Assignments) -> Result<(), String> {
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            resource_version: given.version.clone(),
            ..ObjectMeta::default()
        };
        let data = BTreeMap::from([(KEY.to_owned(), book::write(assignments))]);
        let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        let params = PostParams::default();
        let written = match given.version {
            Some(_) => timeout(PATIENCE, self.maps.replace(NAME, &params, &map)).await,
            None => timeout(PATIENCE, self.maps.create(&params, &map)).await,
        };
        match written {
            Ok(Ok(_)) => Ok(()),
            // Somebody else has written; the watch brings it.
            Ok(Err(Error::Api(status))) if status.code == 409 => Ok(()),
            Ok(Err(error)) => Err(format!(
                "ConfigMap {NAME}: {error}; no Gateway gets an address (verbs create and update on configmaps are needed)"
            )),
            Err(_) => Err(format!("ConfigMap {NAME}: no answer within {}s; tried again", PATIENCE.as_secs())),
        }
    }
}
