//! ServiceAccounts of Gateways: what one is to be, and what the server was seen to have. Pure.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{GATEWAY_GROUP, Gateway};
use gateway_ir::ObjectName;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};
use serde_json::{Value, json};

/// The label by which our accounts are listed; it stays from the first write on.
pub(super) const MARK: (&str, &str) = ("sluice.dev/infrastructure", "account");
/// The label that the Gateway API wants on all that is made for a Gateway (`GatewayNameLabelKey`).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Field manager of what follows the Gateway: what it no longer applies, the server removes.
pub(super) const MANAGER: &str = "sluice-infrastructure";
/// Most bytes of a label's value and of an account's name.
const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 253;

/// Labels and annotations that follow the Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// An account that a Gateway is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedAccount {
    pub(super) gateway: ObjectName,
    pub(super) gateway_uid: String,
    /// Its name, in the Gateway's namespace.
    pub(super) name: String,
    pub(super) metadata: Metadata,
}

/// An account as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldAccount {
    pub(super) uid: String,
    /// The `metadata.uid` of the Gateway that controls it, if one does.
    pub(super) owner: Option<String>,
    /// The parts that follow the Gateway, by the server's record of who set what; `None` if the rest is not as it should be.
    pub(super) applied: Option<Metadata>,
}

impl WantedAccount {
    /// The account of a Gateway; with `infrastructure` missing what it is to be if it is there.
    ///
    /// # Errors
    /// Its name does not fit.
    pub(super) fn of(gateway: &ObjectName, object: &Gateway) -> Result<Self, String> {
        let class = &object.spec.gateway_class_name;
        let name = format!("{}-{class}", gateway.name);
        if gateway.name.len() > LABEL_MAX || name.len() > NAME_MAX {
            return Err(format!(
                "no ServiceAccount is made: the Gateway's name must have {LABEL_MAX} bytes at most, for the label {GATEWAY_NAME}, and \
                 with its class's {NAME_MAX}"
            ));
        }
        let infrastructure = object.spec.infrastructure.as_ref();
        let mut labels = infrastructure.map(|one| one.labels.clone()).unwrap_or_default();
        labels.remove(MARK.0);
        labels.insert(GATEWAY_NAME.to_owned(), gateway.name.to_string());
        let annotations = infrastructure.map(|one| one.annotations.clone()).unwrap_or_default();
        Ok(Self {
            gateway: gateway.clone(),
            gateway_uid: object.metadata.uid.clone().unwrap_or_default(),
            name,
            metadata: Metadata { labels, annotations },
        })
    }

    /// The object to create: what never changes, so that the rest is of one field manager from its first write on.
    pub(super) fn created(&self) -> ServiceAccount {
        let owner = OwnerReference {
            api_version: format!("{GATEWAY_GROUP}/v1"),
            kind: "Gateway".to_owned(),
            name: self.gateway.name.to_string(),
            uid: self.gateway_uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        };
        let (key, value) = MARK;
        ServiceAccount {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.gateway.namespace.to_string()),
                labels: Some([(key.to_owned(), value.to_owned())].into()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        }
    }

    /// The object to apply to the one with this uid: to another one of its name the server refuses it.
    pub(super) fn applied(&self, uid: &str) -> Value {
        let Metadata { labels, annotations } = &self.metadata;
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false,
            "metadata": {"name": self.name, "uid": uid, "labels": labels, "annotations": annotations},
        })
    }
}

impl HeldAccount {
    pub(super) fn of(account: &ServiceAccount) -> Self {
        let metadata = &account.metadata;
        let owners = metadata.owner_references.iter().flatten();
        let owner = owners
            .filter(|one| one.kind == "Gateway" && one.controller == Some(true))
            .find(|one| one.api_version.split('/').next() == Some(GATEWAY_GROUP));
        let own = |field: &str, map: &Option<BTreeMap<String, String>>| {
            let keys = keys_of_ours(metadata.managed_fields.as_deref().unwrap_or_default(), field);
            let pairs = map.iter().flatten().filter(|(key, _)| keys.contains(key.as_str()));
            pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let applied = Metadata {
            labels: own("f:labels", &metadata.labels),
            annotations: own("f:annotations", &metadata.annotations),
        };
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            owner: owner.map(|one| one.uid.clone()),
            applied: (account.automount_service_account_token == Some(false)).then_some(applied),
        }
    }
}

/// The keys of a map in the metadata that our field manager applied (`metav1.FieldsV1`).
fn keys_of_ours<'a>(entries: &'a [ManagedFieldsEntry], field: &str) -> BTreeSet<&'a str> {
    let ours = entries
        .iter()
        .filter(|one| one.manager.as_deref() == Some(MANAGER) && one.operation.as_deref() == Some("Apply"));
    let fields = ours.filter_map(|one| one.fields_v1.as_ref()?.0.get("f:metadata")?.get(field)?.as_object());
    fields.flat_map(|map| map.keys()).filter_map(|key| key.strip_prefix("f:")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(infrastructure: Value) -> Gateway {
        let value = json!({"metadata": {"name": "gw", "namespace": "edge", "uid": "g"},
            "spec": {"gatewayClassName": "sluice", "infrastructure": infrastructure, "listeners": []}});
        serde_json::from_value(value).unwrap()
    }

    fn wanted(infrastructure: Value) -> WantedAccount {
        WantedAccount::of(&ObjectName::new("edge", "gw"), &gateway(infrastructure)).unwrap()
    }

    fn held(automount: bool, managers: &[(&str, &str)]) -> HeldAccount {
        let fields = json!({"f:metadata": {
            "f:labels": {"f:gateway.networking.k8s.io/gateway-name": {}, "f:team": {}},
            "f:annotations": {"f:note": {}},
        }});
        let entry = |(manager, operation): &(&str, &str)| json!({"manager": manager, "operation": operation, "fieldsV1": fields});
        let managed: Vec<_> = managers.iter().map(entry).collect();
        let owner = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "gw", "uid": "g",
            "controller": true});
        let labels = json!({"gateway.networking.k8s.io/gateway-name": "gw", "team": "a", "sluice.dev/infrastructure": "account", "others": "1"});
        let account = json!({"metadata": {"name": "gw-sluice", "uid": "s", "labels": labels, "annotations": {"note": "b", "others": "2"},
            "ownerReferences": [owner], "managedFields": managed}, "automountServiceAccountToken": automount});
        HeldAccount::of(&serde_json::from_value(account).unwrap())
    }

    #[test]
    fn an_account_has_the_gateways_labels_and_annotations_and_no_token() {
        let wanted = wanted(json!({"labels": {"team": "a", "sluice.dev/infrastructure": "mine",
            "gateway.networking.k8s.io/gateway-name": "other"}, "annotations": {"note": "b"}}));
        let created = serde_json::to_value(wanted.created()).unwrap();
        assert_eq!(created["automountServiceAccountToken"], json!(false));
        assert_eq!(created["metadata"]["labels"], json!({"sluice.dev/infrastructure": "account"}));
        assert_eq!(created["metadata"]["ownerReferences"][0]["uid"], json!("g"));
        let applied = wanted.applied("s");
        let labels = json!({"gateway.networking.k8s.io/gateway-name": "gw", "team": "a"});
        assert_eq!(applied["metadata"]["labels"], labels, "our own labels are nobody else's to set");
        assert_eq!(applied["metadata"]["uid"], json!("s"));
    }

    #[test]
    fn what_we_applied_is_told_from_what_others_set() {
        let ours = held(false, &[(MANAGER, "Apply"), ("kubectl", "Update")]);
        assert_eq!(ours.owner.as_deref(), Some("g"));
        let same = wanted(json!({"labels": {"team": "a"}, "annotations": {"note": "b"}}));
        assert_eq!(ours.applied.as_ref(), Some(&same.metadata));
        assert_ne!(ours.applied, Some(wanted(json!({"labels": {"team": "a"}})).metadata), "one to remove");
        assert_eq!(held(true, &[(MANAGER, "Apply")]).applied, None, "a token would be mounted");
        assert_eq!(held(false, &[("kubectl", "Apply")]).applied, Some(Metadata::default()));
    }

    #[test]
    fn a_name_that_does_not_fit_is_told() {
        let name = ObjectName::new("edge", "g".repeat(64).as_str());
        let said = WantedAccount::of(&name, &gateway(json!({}))).unwrap_err();
        assert!(said.contains("63 bytes"), "{said}");
    }
}
