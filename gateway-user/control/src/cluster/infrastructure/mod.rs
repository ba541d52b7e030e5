//! Objects that are made for Gateways: a ServiceAccount without token, which carries `spec.infrastructure`.
//!
//! The leader alone makes them. An account is created bare, which fails if there is one of that name, and then applied to by its
//! uid: so none that somebody else made is ever changed. It goes with its Gateway, by its owner reference.

mod account;
mod fault;
mod list;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{Kind, Object, ObjectKey};
use gateway_ir::ObjectName;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::account::{HeldAccount, MANAGER, WantedAccount};
use self::fault::{described, not_written, refused, taken};
use super::ObservedObjects;
use super::failures::ErrorLog;
use super::lease::Leadership;
use super::pace::Pace;
use crate::view::View;

pub use self::fault::{InfrastructureFault, InfrastructureFaults};

/// Interval at which all accounts are listed anew.
const LIST_INTERVAL: Duration = Duration::from_secs(300);
/// Time until what failed is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);
/// Time after a look for changes to gather.
const BATCH_DELAY: Duration = Duration::from_millis(250);
/// Limit for the server's response, and for a turn to write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The leader's side.
pub(super) struct Infrastructure {
    client: Client,
    /// The namespaces that are read; empty is all.
    namespaces: Vec<String>,
    seen: Arc<dyn ObservedObjects>,
    view: watch::Receiver<Arc<View>>,
    leadership: Leadership,
    pace: Pace,
    faults: watch::Sender<Arc<InfrastructureFaults>>,
    state: State,
}

/// Accounts as they were seen and written.
#[derive(Debug, Default)]
struct State {
    held: BTreeMap<ObjectName, HeldAccount>,
    /// Time of the last list that still holds; `None` if there is none of this leadership.
    listed: Option<Instant>,
    /// Time of the last list that was asked for.
    asked: Option<Instant>,
    /// Gateways whose account was not to be had, with the account that was wanted, the time, and the fault: the next attempt is not
    /// made by whatever else changes meanwhile.
    failed: BTreeMap<ObjectName, (WantedAccount, Instant, InfrastructureFault)>,
    errors: ErrorLog,
}

impl Infrastructure {
    /// For Gateways of every namespace; the second result has those that lack something.
    pub(super) fn new(
        client: &Client,
        (seen, view): (&Arc<dyn ObservedObjects>, &watch::Receiver<Arc<View>>),
        leadership: &Leadership,
        pace: &Pace,
    ) -> (Self, watch::Receiver<Arc<InfrastructureFaults>>) {
        let (faults, told) = watch::channel(Arc::default());
        let infrastructure = Self {
            client: client.clone(),
            namespaces: Vec::new(),
            seen: Arc::clone(seen),
            view: view.clone(),
            leadership: leadership.clone(),
            pace: pace.clone(),
            faults,
            state: State::default(),
        };
        (infrastructure, told)
    }

    /// For Gateways of these namespaces alone; none stands for all.
    pub(super) fn within(self, namespaces: &[String]) -> Self {
        Self { namespaces: namespaces.to_vec(), ..self }
    }

    /// Runs until `stop` says true or its sender is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Ok(()) = self.view.changed() => {}
                () = self.leadership.changed() => {}
                () = sleep_until(next) => {}
            }
            match self.leadership.holds() {
                true => self.look().await,
                false => {
                    // Another one writes by now.
                    (self.state.listed, self.state.asked) = (None, None);
                    self.state.failed.clear();
                    self.tell(InfrastructureFaults::new());
                }
            }
            let wait = if self.faults.borrow().is_empty() { LIST_INTERVAL } else { RETRY_INTERVAL };
            next = Instant::now() + wait;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(BATCH_DELAY) => {}
            }
        }
    }

    async fn look(&mut self) {
        let wanted = self.wanted();
        let mut faults = InfrastructureFaults::new();
        if wanted.is_empty() && self.state.held.is_empty() && self.state.listed.is_some() {
            return self.tell(faults);
        }
        let is_old = self.state.listed.is_none_or(|when| when.elapsed() >= LIST_INTERVAL);
        let may_ask = self.state.asked.is_none_or(|when| when.elapsed() >= RETRY_INTERVAL);
        if is_old && !may_ask && self.state.held.is_empty() && self.state.failed.is_empty() {
            // The list itself failed, and is asked for later.
            return;
        }
        if is_old
            && may_ask
            && let Err(message) = self.list().await
        {
            let asks = wanted.into_iter().filter(|(_, (asks, _))| *asks);
            faults.extend(asks.map(|(gateway, _)| (gateway, not_written(message.clone()))));
            self.state.errors.failed(message);
            return self.tell(faults);
        }
        let mut failed = std::mem::take(&mut self.state.failed);
        for (gateway, (asks, account)) in wanted {
            let outcome = match account {
                Ok(account) => match failed.remove(&gateway) {
                    Some((before, when, fault)) if before == account && when.elapsed() < RETRY_INTERVAL => {
                        self.state.failed.insert(gateway.clone(), (before, when, fault.clone()));
                        Err(fault)
                    }
                    _ => {
                        let outcome = self.bring(asks, &account).await;
                        if let Err(fault) = &outcome {
                            let failure = (account, Instant::now(), fault.clone());
                            self.state.failed.insert(gateway.clone(), failure);
                        }
                        outcome
                    }
                },
                Err(message) if asks => Err(InfrastructureFault { reason: "NameTooLong", message }),
                Err(_) => Ok(()),
            };
            if let Err(fault) = outcome {
                faults.insert(gateway, fault);
            }
        }
        let written = faults.values().find(|fault| fault.reason == "NotWritten");
        match written {
            Some(fault) => self.state.errors.failed(fault.message.clone()),
            None => self.state.errors.passed(),
        }
        self.tell(faults);
    }

    fn tell(&self, faults: InfrastructureFaults) {
        self.faults.send_if_modified(|told| {
            let differs = **told != faults;
            if differs {
                *told = Arc::new(faults);
            }
            differs
        });
    }

    /// Every Gateway of ours, whether it asks for an account, and what that is to be.
    fn wanted(&mut self) -> BTreeMap<ObjectName, (bool, Result<WantedAccount, String>)> {
        let translated = Arc::clone(&self.view.borrow_and_update().translated);
        let gateways = translated.gateways.keys().filter_map(|name| {
            let key = ObjectKey::new(&*name.namespace, &*name.name);
            let Some(Object::Gateway(gateway)) = self.seen.object(Kind::Gateway, &key) else { return None };
            let asks = gateway.spec.infrastructure.as_ref();
            let asks = asks.is_some_and(|one| !(one.labels.is_empty() && one.annotations.is_empty()));
            Some((name.clone(), (asks, WantedAccount::of(name, &gateway))))
        });
        gateways.collect()
    }

    /// Brings one account to what it is to be. Without its Gateway asking for it, only one that is there.
    async fn bring(&mut self, asks: bool, wanted: &WantedAccount) -> Result<(), InfrastructureFault> {
        let place = ObjectName::new(&*wanted.gateway.namespace, &*wanted.name);
        let mut held = self.state.held.get(&place).cloned();
        if held.is_none() && asks {
            let created = self.create(wanted).await;
            if created.is_err() {
                // It may be there: of an attempt whose response was lost.
                self.state.listed = None;
            }
            held = Some(created?);
        }
        let Some(mut held) = held else { return Ok(()) };
        if held.owner.as_deref() != Some(&*wanted.gateway_uid) {
            // It may be that of an earlier Gateway of this name, which the server is about to remove.
            self.state.listed = None;
            return if asks { Err(taken(wanted)) } else { Ok(()) };
        }
        if held.applied.as_ref() != Some(&wanted.metadata) {
            self.apply(wanted, &held.uid).await?;
            held.applied = Some(wanted.metadata.clone());
        }
        self.state.held.insert(place, held);
        Ok(())
    }

    async fn create(&self, wanted: &WantedAccount) -> Result<HeldAccount, InfrastructureFault> {
        self.turn().await?;
        let params = PostParams { field_manager: Some("sluice".to_owned()), ..PostParams::default() };
        let created = wanted.created();
        match timeout(WRITE_TIMEOUT, self.accounts(wanted).create(&params, &created)).await {
            Ok(Ok(account)) => Ok(HeldAccount { applied: None, ..HeldAccount::of(&account) }),
            Ok(Err(Error::Api(status))) if status.code == 409 => Err(taken(wanted)),
            Ok(Err(error)) => Err(refused("create", wanted, &error)),
            Err(_) => Err(not_written(format!("create {}: no response in time", described(wanted)))),
        }
    }

    async fn apply(&mut self, wanted: &WantedAccount, uid: &str) -> Result<(), InfrastructureFault> {
        self.turn().await?;
        let params = PatchParams::apply(MANAGER).force();
        let body = Patch::Apply(wanted.applied(uid));
        match timeout(WRITE_TIMEOUT, self.accounts(wanted).patch(&wanted.name, &params, &body)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                // It may be gone, or another one.
                self.state.listed = None;
                Err(refused("patch", wanted, &error))
            }
            Err(_) => Err(not_written(format!("patch {}: no response in time", described(wanted)))),
        }
    }

    async fn list(&mut self) -> Result<(), String> {
        self.state.asked = Some(Instant::now());
        self.state.held = list::accounts(&self.client, &self.namespaces).await?;
        self.state.listed = Some(Instant::now());
        Ok(())
    }

    /// Waits until one more may be written.
    async fn turn(&self) -> Result<(), InfrastructureFault> {
        let admitted = self.pace.admit(Instant::now() + WRITE_TIMEOUT).await.is_ok();
        match admitted && self.leadership.holds() {
            true => Ok(()),
            false => Err(not_written("its turn to be written has not come".to_owned())),
        }
    }

    fn accounts(&self, wanted: &WantedAccount) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), &wanted.gateway.namespace)
    }
}
