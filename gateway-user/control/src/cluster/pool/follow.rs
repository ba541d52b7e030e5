//! The watch that the assignments come by.

use std::collections::HashSet;
use std::time::Duration;

use gateway_api_types::ObjectKey;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ApiResource;
use kube::{Api, Client};
use serde::Deserialize as _;
use tokio::sync::watch;
use tracing::warn;

use super::{NAME, ObservedAssignments};
use crate::cluster::failures::ErrorLog;
use crate::kube_watch::{ApiError, Handler, Item, Watch};

/// Follows the assignments until nobody listens any more.
pub async fn follow(client: Client, namespace: String, given: watch::Sender<ObservedAssignments>) {
    let resource = ApiResource::erase::<ConfigMap>(&());
    let maps: Api<Item<false>> = Api::namespaced_with(client, &namespace, &resource);
    let handler =
        Keep { name: format!("{namespace}/{NAME}"), given: given.clone(), errors: ErrorLog::default() };
    let mut watch = Watch::new(handler).with_fields(Some(format!("metadata.name={NAME}")));
    tokio::select! {
        () = watch.run(&maps) => {}
        () = given.closed() => {}
    }
}

/// Keeps what the watch of the object brings.
struct Keep {
    /// Namespace and name of the object.
    name: String,
    given: watch::Sender<ObservedAssignments>,
    errors: ErrorLog,
}

impl Keep {
    fn take(&self, map: Option<ConfigMap>) {
        let (next, said) = self.given.borrow().after(map);
        said.into_iter().for_each(|said| warn!("ConfigMap {}: {said}", self.name));
        self.given.send_replace(next);
    }
}

impl Handler for Keep {
    fn apply<const META: bool>(&mut self, item: Item<META>) {
        match ConfigMap::deserialize(item.into_value()) {
            Ok(map) => self.take(Some(map)),
            Err(error) => {
                warn!("ConfigMap {}: {error}; Gateways keep the addresses they have", self.name);
            }
        }
    }

    fn delete(&mut self, _: ObjectKey) {
        self.take(None);
    }

    fn retain(&mut self, listed: &HashSet<ObjectKey>) {
        if listed.is_empty() {
            self.take(None);
        }
    }

    fn succeeded(&mut self) {
        self.errors.passed();
    }

    fn failed(&mut self, error: ApiError) -> Option<Duration> {
        let hint = match error {
            ApiError::Denied { .. } => "; allow verbs list and watch on configmaps",
            _ => "",
        };
        let name = &self.name;
        self.errors
            .failed(format!("watch ConfigMap {name}: {error}; Gateways keep the addresses they have{hint}"));
        None
    }
}
