//! Fetches the Secrets, ConfigMaps and ClusterTrustBundles that are wanted, one by one.
//!
//! A list with `metadata.name` gives one object and needs no right beside that to list, which the watch needs
//! too; a Secret's type is asked for with it, so that no other one comes whatever it is called.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kube::api::{ListParams, ObjectList};
use kube::{Api, Client};
use tokio::sync::Semaphore;
use tracing::debug;

use super::kinds::Subject;
use super::object::typed;
use super::served;
use super::shared::Shared;
use super::wanted::Place;
use crate::backoff::Backoff;
use crate::kube_watch::{ApiError, Item};

/// Most requests at the same time.
const REQUESTS: usize = 8;
/// Limit for the server's response. Changes of a Gateway or policy wait so long for its certificates at most.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches what becomes due until the runtime ends.
pub(super) async fn run(client: Client, shared: Arc<Shared>) {
    shared.begin_to_fetch();
    let requests = Semaphore::new(REQUESTS);
    let mut fetches = FuturesUnordered::new();
    loop {
        let changed = shared.wanted_changed();
        for key in shared.due() {
            fetches.push(fetch(&client, &shared, &requests, key));
        }
        tokio::select! {
            () = changed => {}
            Some(()) = fetches.next() => {}
        }
    }
}

/// Fetches one, again and again if that fails, as long as it is wanted.
async fn fetch(client: &Client, shared: &Shared, requests: &Semaphore, place: Place) {
    let (kind, key) = &place;
    let subject = Subject::Objects(*kind);
    let of_type = subject.field_selector().map(|type_| format!(",{type_}")).unwrap_or_default();
    let params = ListParams::default().fields(&format!("metadata.name={}{of_type}", key.name));
    let mut backoff = Backoff::default();
    loop {
        let response = {
            let _permit = requests.acquire().await;
            tokio::time::timeout(TIMEOUT, list(client, &place, &params)).await
        };
        let why = match response {
            Ok(Ok(list)) => {
                let found = list.items.into_iter().find(|item| item.key() == *key);
                return shared.put_fetched(&place, found.map(|item| typed(item, *kind)));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no response within {}s", TIMEOUT.as_secs()),
        };
        debug!("{kind} {key}: {why}");
        if !shared.miss(&place, why) {
            return;
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn list(
    client: &Client,
    (kind, key): &Place,
    params: &ListParams,
) -> Result<ObjectList<Item<false>>, ApiError> {
    let subject = Subject::Objects(*kind);
    let resource = subject.api_resource(served::version(client, subject).await?);
    let api = match subject.namespaced() {
        true => Api::namespaced_with(client.clone(), &key.namespace, &resource),
        false => Api::all_with(client.clone(), &resource),
    };
    api.list(params).await.map_err(|error| ApiError::of(&error))
}
