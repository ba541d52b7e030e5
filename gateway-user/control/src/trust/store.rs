//! Certificates of controllers in a cluster: in one Secret, made and replaced by the leader, read by all controllers. The
//! authorities that nodes are to trust are in one ConfigMap of the nodes' namespace, which their pods mount.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::Showing;
use super::rotation::Certificates;
use crate::backoff::jittered;
use crate::cluster::failures::ErrorLog;
use crate::cluster::lease::Leadership;

/// The Secret: `ca`, `next` and `tls`, each with `.crt` and `.key`, and `before.crt`.
pub const SECRET: &str = "sluice-controller-tls";
/// The ConfigMap, whose key `ca.crt` has the authorities that nodes trust.
pub const CONFIG_MAP: &str = "sluice-controller-ca";
/// Its key.
const KEY: &str = "ca.crt";
/// Interval of looking at both, and before there is a certificate.
const INTERVAL: Duration = Duration::from_secs(30);
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// Limit for the server's response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Namespaces of the objects.
#[derive(Clone, Copy, Debug)]
pub struct Namespaces<'a> {
    /// The controllers': that of the Secret.
    pub controllers: &'a str,
    /// That of the nodes' pods, which mount the ConfigMap: a pod mounts what its own namespace has.
    pub nodes: &'a str,
}

/// Keeps certificates.
#[derive(Debug)]
pub struct CertificateStore {
    secrets: Api<Secret>,
    maps: Api<ConfigMap>,
    /// The ConfigMap with its namespace, for messages.
    map: String,
    leadership: Leadership,
    showing: Showing,
    /// Certificates that this process knows, which are written again if they are lost in the cluster.
    known: Option<Certificates>,
}

impl CertificateStore {
    /// `showing` gets the certificates that controllers show.
    pub fn new(client: Client, namespaces: Namespaces<'_>, leadership: Leadership, showing: Showing) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespaces.controllers),
            maps: Api::namespaced(client, namespaces.nodes),
            map: format!("{CONFIG_MAP} in namespace {}", namespaces.nodes),
            leadership,
            showing,
            known: None,
        }
    }

    /// Keeps them until `stop` says true or its sender is gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut errors = ErrorLog::default();
        loop {
            match self.look(Timestamp::now().as_second()).await {
                Ok(()) => errors.passed(),
                Err(error) => errors.failed(error),
            }
            let has_any = self.showing.borrow().is_some() && !errors.has_failed();
            let pause = if has_any { INTERVAL } else { FIRST_INTERVAL };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.leadership.changed() => {}
                () = sleep(jittered(pause)) => {}
            }
        }
    }

    /// Reads what there is, and replaces what is due if this process leads.
    async fn look(&mut self, now: i64) -> Result<(), String> {
        let secret = bounded("get", SECRET, self.secrets.get_opt(SECRET)).await?;
        let stored = secret.as_ref().and_then(|secret| secret.data.as_ref()).map(Certificates::of_data);
        let (stored, wrong) = match stored {
            Some(Ok(stored)) => (Some(stored), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        if !self.leadership.holds() {
            return match (stored, wrong) {
                (Some(stored), _) => self.show(stored),
                (None, Some(why)) => Err(format!("Secret {SECRET}: {why}; the leader makes it anew")),
                (None, None) => Err(format!("Secret {SECRET} is not there yet; the leader makes it")),
            };
        }
        if let Some(why) = wrong {
            error!("Secret {SECRET}: {why}; it is written anew");
        }
        let map = bounded("get", &self.map, self.maps.get_opt(CONFIG_MAP)).await?;
        let published = map.as_ref().and_then(|map| map.data.as_ref()?.get(KEY)).cloned().unwrap_or_default();
        let broken = |error: rcgen::Error| format!("certificates of controllers: {error}");
        let base = match stored.clone().or_else(|| self.known.clone()) {
            Some(base) => base,
            None => Certificates::new(now).map_err(broken)?,
        };
        let next = base.after(now, &published).map_err(broken)?.unwrap_or(base);
        if stored.as_ref() != Some(&next) {
            self.write(secret, &next).await?;
        }
        let trusted = next.trusted();
        if published != trusted {
            self.publish(map, trusted).await?;
        }
        self.show(next)
    }

    async fn write(&self, secret: Option<Secret>, next: &Certificates) -> Result<(), String> {
        let mut secret = secret.unwrap_or_default();
        let is_new = secret.metadata.resource_version.is_none();
        secret.metadata.name = Some(SECRET.to_owned());
        secret.metadata.managed_fields = None;
        secret.data = Some(next.to_data());
        secret.type_.get_or_insert_with(|| "Opaque".to_owned());
        let params = PostParams::default();
        if is_new {
            bounded("create", SECRET, self.secrets.create(&params, &secret)).await?;
        } else {
            bounded("update", SECRET, self.secrets.replace(SECRET, &params, &secret)).await?;
        }
        info!("wrote the certificates of controllers to Secret {SECRET}");
        Ok(())
    }

    async fn publish(&self, map: Option<ConfigMap>, trusted: String) -> Result<(), String> {
        let mut map = map.unwrap_or_default();
        let is_new = map.metadata.resource_version.is_none();
        map.metadata.name = Some(CONFIG_MAP.to_owned());
        map.metadata.managed_fields = None;
        map.data.get_or_insert_with(BTreeMap::new).insert(KEY.to_owned(), trusted);
        let params = PostParams::default();
        if is_new {
            bounded("create", &self.map, self.maps.create(&params, &map)).await?;
        } else {
            bounded("update", &self.map, self.maps.replace(CONFIG_MAP, &params, &map)).await?;
        }
        info!("published the authorities that nodes trust in ConfigMap {}", self.map);
        Ok(())
    }

    fn show(&mut self, certificates: Certificates) -> Result<(), String> {
        if self.known.as_ref() == Some(&certificates) {
            return Ok(());
        }
        let (certificate, key) = (&certificates.serving.certificate, &certificates.serving.key);
        let shown = super::shown(certificate.as_bytes(), key.as_bytes())
            .map_err(|error| format!("Secret {SECRET}: {error}"))?;
        self.showing.send_replace(Some(shown));
        self.known = Some(certificates);
        Ok(())
    }
}

async fn bounded<T>(
    verb: &str,
    name: &str,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, String> {
    let kind = if name == SECRET { "Secret" } else { "ConfigMap" };
    match timeout(TIMEOUT, request).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(Error::Api(status))) if status.code == 403 => Err(format!(
            "{verb} {kind} {name}: {}; allow verb {verb} on {}s there, by that name but for create",
            status.message,
            kind.to_lowercase()
        )),
        Ok(Err(error)) => Err(format!("{verb} {kind} {name}: {error}")),
        Err(_) => {
            Err(format!("{verb} {kind} {name}: no response within {}s; tried again", TIMEOUT.as_secs()))
        }
    }
}
