//! Kind of a document.

use super::Position;
use super::tree::{Node, Tree};
use crate::Kind;
use crate::schema::{self, Schema, did_you_mean};
use crate::suggest::closest;

/// The identity that a document claims.
pub(super) enum Identity {
    /// A kind that we read.
    KnownKind(KnownKind),
    /// `List`, or the list of one kind.
    List,
    /// A kind that we do not read, or no Kubernetes object at all: somebody else's business, and why it is
    /// passed over.
    Foreign { shown: String, why: String },
    /// Nothing that can be said to be any kind.
    Wrong { at: Position, shown: String, field: &'static str, message: String },
}

/// A kind that we read, and the schema of the version that the document names.
pub(super) struct KnownKind {
    pub(super) kind: Kind,
    pub(super) schema: &'static Schema,
}

/// Reads `apiVersion` and `kind`; `file` is where the document stands.
pub(super) fn identify(file: &str, node: &Node) -> Identity {
    let identity = read(node);
    match (&identity, passed_over(file, node)) {
        (Identity::Wrong { .. }, Some(why)) => {
            Identity::Foreign { shown: shown(node), why: format!("ignored: {why}") }
        }
        _ => identity,
    }
}

fn read(node: &Node) -> Identity {
    let wrong = |at, field, message| Identity::Wrong { at, shown: shown(node), field, message };
    if !matches!(node.tree, Tree::Map(_)) {
        return wrong(
            node.at,
            "",
            format!("expected an object with apiVersion and kind, found {}", node.type_name()),
        );
    }
    let text = |field: &'static str| match node.get(field) {
        Some(value) => match value.as_str().filter(|text| !text.is_empty()) {
            Some(text) => Ok((value.at, text)),
            None => Err(wrong(value.at, field, format!("expected a string, found {}", value.type_name()))),
        },
        None => Err(wrong(node.at, field, "required field is missing".to_owned())),
    };
    let ((version_at, api_version), (kind_at, kind)) = match (text("apiVersion"), text("kind")) {
        (Ok(version), Ok(kind)) => (version, kind),
        (Err(identity), _) | (_, Err(identity)) => return identity,
    };
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    if api_version == "v1" && kind == "List" {
        return Identity::List;
    }
    let Some(found) = Kind::find(group, kind) else {
        let element = kind.strip_suffix("List").and_then(|element| Kind::find(group, element));
        return match element {
            Some(_) => Identity::List,
            None => foreign(node, (version_at, group), (kind_at, kind)),
        };
    };
    match schema::of(found, version) {
        Some(schema) => Identity::KnownKind(KnownKind { kind: found, schema }),
        None => {
            let served = found.served_versions().iter().map(|v| format!("{group}/{v}"));
            let served: Vec<_> = served.map(|v| v.trim_start_matches('/').to_owned()).collect();
            wrong(
                version_at,
                "apiVersion",
                format!("{api_version:?} is not served; write {}", served.join(" or ")),
            )
        }
    }
}

/// Recognises a document that is no Kubernetes object and commonly lies beside them; gives its kind for the
/// note.
fn passed_over(file: &str, node: &Node) -> Option<&'static str> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let whole = node.get("apiVersion").is_some() && node.get("kind").is_some();
    match stem {
        _ if whole => None,
        "kustomization" => Some("it is kustomize's own; what `kustomize build` prints can be loaded"),
        "Chart" => Some("it is Helm's own; what `helm template` prints can be loaded"),
        _ if stem == "values" || stem.starts_with("values-") || stem.ends_with("-values") => {
            Some("it holds Helm's values; what `helm template` prints can be loaded")
        }
        _ if is_json_patch(node) => Some("it is a JSON patch; what `kustomize build` prints can be loaded"),
        _ if is_no_object(node) => Some("it is no Kubernetes object: it has neither apiVersion nor kind"),
        _ => None,
    }
}

/// RFC 6902: a list of operations, each with `op` and `path`.
fn is_json_patch(node: &Node) -> bool {
    let Tree::List(items) = &node.tree else { return false };
    let is_operation = |item: &Node| item.get("op").is_some() && item.get("path").is_some();
    !items.is_empty() && items.iter().all(is_operation)
}

/// True if a map has no field of an object, nor one that could be a misspelt field of one.
fn is_no_object(node: &Node) -> bool {
    let parts = ["apiVersion", "kind", "metadata", "spec", "data", "items"];
    matches!(node.tree, Tree::Map(_))
        && !node.entries().iter().any(|entry| closest(&entry.key, parts).is_some())
}

/// A kind that we do not read: somebody else's, or ours misspelt. Only a group that we read whole can be
/// misspelt in.
fn foreign(
    node: &Node,
    (version_at, group): (Position, &str),
    (kind_at, kind): (Position, &str),
) -> Identity {
    let wrong = |at, field, message| Identity::Wrong { at, shown: shown(node), field, message };
    if let Some(meant) = Kind::ALL.iter().find(|k| k.as_str() == kind) {
        let near = closest(group, [meant.group()]).is_some() || group.is_empty();
        if near {
            let message = format!("there is no {kind} in this group; write {}", meant.api_version());
            return wrong(version_at, "apiVersion", message);
        }
    }
    if let Some((_, now)) = RENAMED.iter().find(|(then, _)| *then == kind && is_gateway_group(group)) {
        let version = now.api_version();
        return wrong(
            kind_at,
            "kind",
            format!("{kind} is now {now}; write kind {now} and apiVersion {version}"),
        );
    }
    if is_gateway_group(group) {
        let known = Kind::ALL.iter().filter(|k| k.group() == group).map(|k| k.as_str());
        return wrong(kind_at, "kind", format!("{group} has no kind {kind:?}{}", did_you_mean(kind, known)));
    }
    let why = match (group, kind) {
        ("", "Endpoints") => {
            "ignored: Sluice reads EndpointSlices in their place (discovery.k8s.io/v1, labelled kubernetes.io/service-name)"
        }
        _ => "ignored: Sluice does not read this kind",
    };
    Identity::Foreign { shown: shown(node), why: why.to_owned() }
}

fn is_gateway_group(group: &str) -> bool {
    group == crate::GATEWAY_GROUP || group == crate::EXPERIMENTAL_GROUP
}

/// Kinds of the Gateway API that have another name now.
const RENAMED: [(&str, Kind); 2] =
    [("ReferencePolicy", Kind::ReferenceGrant), ("XListenerSet", Kind::ListenerSet)];

/// `Kind namespace/name`, as far as the object says.
pub(super) fn shown(node: &Node) -> String {
    let metadata = |field| node.get("metadata").and_then(|m| m.get(field)).and_then(Node::as_str);
    let kind = node.get("kind").and_then(Node::as_str).unwrap_or("");
    let name = match (metadata("namespace").filter(|n| !n.is_empty()), metadata("name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (None, Some(name)) => name.to_owned(),
        _ => String::new(),
    };
    match (kind.is_empty(), name.is_empty()) {
        (false, false) => format!("{kind} {name}"),
        _ => format!("{kind}{name}"),
    }
}
