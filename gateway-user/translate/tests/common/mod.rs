//! Helpers of the tests: resources from YAML, and the translation as text.
#![allow(dead_code)] // each test binary uses its own part

pub(crate) mod edits;
pub(crate) mod world;

use std::collections::BTreeMap;

use gateway_api_types::{Condition, ListenerStatus, Object, Origin, ResourceSet};
use gateway_ir::{BackendTls, Ir, Placement};
use gateway_translate::{StatusSet, Translation};
use serde::Serialize;

/// Reads a text the way files are read, with every check of the loader; a diagnostic of any kind is an error.
pub(crate) fn load(text: &str, file: &str) -> Result<Vec<(Object, Option<Origin>)>, String> {
    let loaded = gateway_api_types::load::load(file, text);
    if !loaded.diagnostics.is_empty() {
        let lines: Vec<_> = loaded.diagnostics.iter().map(ToString::to_string).collect();
        return Err(lines.join("\n"));
    }
    Ok(loaded.objects.into_iter().map(|one| (one.object, Some(one.origin))).collect())
}

/// The objects of a text as a set.
pub(crate) fn resources(text: &str) -> ResourceSet {
    load(text, "test.yaml").unwrap_or_else(|error| panic!("{error}\n{text}")).into_iter().collect()
}

/// A translation as a golden file shows it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "findings")]
    diagnostics: Vec<String>,
    status: BTreeMap<String, serde_json::Value>,
    /// Nodes of the Gateways that are not served on every one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    placement: BTreeMap<String, String>,
    endpoints: BTreeMap<String, Vec<String>>,
    /// TLS settings of clusters.
    #[serde(rename = "backendTLS", skip_serializing_if = "BTreeMap::is_empty")]
    backend_tls: BTreeMap<String, &'a BackendTls>,
    ir: &'a Ir,
}

/// Everything a translation says, as YAML. Conditions are one line each: `True Accepted: message`.
pub(crate) fn show(translation: &Translation) -> String {
    let shown = Shown {
        diagnostics: translation.diagnostics.iter().map(|f| format!("{}: {f}", f.severity)).collect(),
        status: status(&translation.status),
        placement: placement(&translation.placement),
        endpoints: translation
            .endpoints
            .clusters
            .iter()
            .map(|(cluster, addresses)| {
                (cluster.to_string(), addresses.iter().map(ToString::to_string).collect())
            })
            .collect(),
        backend_tls: backend_tls(translation),
        ir: &translation.ir,
    };
    serde_saphyr::to_string(&shown).expect("a translation is YAML")
}

/// The settings of each cluster that is spoken to over TLS.
pub(crate) fn backend_tls(translation: &Translation) -> BTreeMap<String, &BackendTls> {
    translation.endpoints.tls.iter().map(|(cluster, settings)| (cluster.to_string(), &**settings)).collect()
}

/// The selector of each Gateway that has one, and the nodes that it selects.
fn placement(placement: &Placement) -> BTreeMap<String, String> {
    let nodes = |gateway| {
        let nodes = placement.nodes.keys().filter(|node| placement.serves(gateway, node));
        nodes.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let gateways = placement.gateways.iter();
    gateways.map(|(name, selector)| (name.to_string(), format!("{selector} on [{}]", nodes(name)))).collect()
}

/// The status of every object, one line per condition.
pub(crate) fn status(set: &StatusSet) -> BTreeMap<String, serde_json::Value> {
    use serde_json::json;
    let mut all = BTreeMap::new();
    for (name, status) in &set.gateway_classes {
        // True for every file; `src/features.rs` has tests of what makes it false.
        let told = status
            .conditions
            .iter()
            .filter(|one| one.type_ != "SupportedVersion" || one.status.as_str() != "True");
        all.insert(format!("GatewayClass {name}"), conditions(&told.cloned().collect::<Vec<_>>()));
    }
    for (name, status) in &set.gateways {
        let mut shown = conditions(&status.conditions);
        if !status.addresses.is_empty() {
            let addresses: Vec<_> =
                status.addresses.iter().map(|a| format!("{} {}", a.type_, a.value)).collect();
            shown["addresses"] = json!(addresses);
        }
        if let Some(count) = status.attached_listener_sets {
            shown["attachedListenerSets"] = json!(count);
        }
        listeners(&status.listeners, &mut shown);
        all.insert(format!("Gateway {name}"), shown);
    }
    for (name, status) in &set.listener_sets {
        let mut shown = conditions(&status.conditions);
        listeners(&status.listeners, &mut shown);
        all.insert(format!("ListenerSet {name}"), shown);
    }
    for (id, status) in set.routes.iter() {
        let mut shown = json!({});
        for parent in &status.parents {
            assert_eq!(parent.controller_name, "sluice.dev/gateway");
            shown[parent_text(&parent.parent_ref)] = conditions(&parent.conditions);
        }
        all.insert(id.to_string(), shown);
    }
    for (name, status) in &set.backend_tls_policies {
        let mut shown = json!({});
        for ancestor in &status.ancestors {
            assert_eq!(ancestor.controller_name, "sluice.dev/gateway");
            let text = parent_text(&ancestor.ancestor_ref).replacen("parent", "ancestor", 1);
            shown[text] = conditions(&ancestor.conditions);
        }
        all.insert(format!("BackendTLSPolicy {name}"), shown);
    }
    all
}

/// Adds each listener below its name.
fn listeners(all: &[ListenerStatus], shown: &mut serde_json::Value) {
    for listener in all {
        let mut one = conditions(&listener.conditions);
        one["attachedRoutes"] = listener.attached_routes.into();
        let kinds: Vec<_> = listener.supported_kinds.iter().map(|k| k.kind.clone()).collect();
        one["supportedKinds"] = kinds.into();
        shown[format!("listener {}", listener.name)] = one;
    }
}

fn parent_text(parent: &gateway_api_types::ParentReference) -> String {
    let mut text = String::from("parent ");
    if let Some(namespace) = &parent.namespace {
        text += &format!("{namespace}/");
    }
    text += &parent.name;
    if let Some(section) = &parent.section_name {
        text += &format!(" section {section}");
    }
    if let Some(port) = parent.port {
        text += &format!(" port {port}");
    }
    text
}

fn conditions(conditions: &[Condition]) -> serde_json::Value {
    let mut shown = serde_json::json!({});
    for one in conditions {
        assert_eq!(one.last_transition_time, None, "translate has no clock");
        let generation = one.observed_generation.map(|g| format!(" (generation {g})")).unwrap_or_default();
        let text = format!("{} {}{generation}: {}", one.status, one.reason, one.message);
        let again = shown.as_object_mut().and_then(|map| map.insert(one.type_.clone(), text.into()));
        assert_eq!(again, None, "condition {} twice", one.type_);
    }
    shown
}
