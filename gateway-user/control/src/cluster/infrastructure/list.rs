//! Lists of the accounts that were made for Gateways.

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_ir::ObjectName;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::timeout;

use super::account::{HeldAccount, MARK};
use super::fault::hint;

/// Limit for one response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Accounts in one response.
const PAGE: u32 = 500;

/// The accounts of ours in these namespaces; none stands for all.
///
/// # Errors
/// The server does not respond, or refuses it; with what to do.
pub(super) async fn accounts(
    client: &Client,
    namespaces: &[String],
) -> Result<BTreeMap<ObjectName, HeldAccount>, String> {
    let apis: Vec<Api<ServiceAccount>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
    };
    let mut held = BTreeMap::new();
    for api in apis {
        let mut params = ListParams::default().labels(&format!("{}={}", MARK.0, MARK.1)).limit(PAGE);
        loop {
            let listed = timeout(TIMEOUT, api.list(&params)).await;
            let page = listed.map_err(|_| "list ServiceAccounts: no response in time".to_owned())?;
            let page =
                page.map_err(|error| format!("list ServiceAccounts: {error}{}", hint(&error, "list")))?;
            for account in &page.items {
                let (namespace, name) = (&account.metadata.namespace, &account.metadata.name);
                if let (Some(namespace), Some(name)) = (namespace, name) {
                    held.insert(ObjectName::new(namespace.as_str(), name.as_str()), HeldAccount::of(account));
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(held)
}
