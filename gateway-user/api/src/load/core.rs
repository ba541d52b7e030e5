//! Checks and defaults of core kinds that the API server has beyond their schemas: its own code checks them,
//! so their OpenAPI documents do not say it. Only what routing relies on is checked here.

use std::collections::HashSet;

use k8s_openapi::ByteString;
use serde_json::Value;

use super::tree::{Entry, Node, Tree};
use crate::Kind;
use crate::schema::{FieldDiagnostic, plain_base64};

/// Checks, writes base64 as our types read it, and for Secrets merges `stringData` into `data`.
pub(super) fn check(kind: Kind, object: &mut Node, diagnostics: &mut Vec<FieldDiagnostic>) {
    match kind {
        Kind::Service => service(object, diagnostics),
        Kind::EndpointSlice => endpoint_slice(object, diagnostics),
        Kind::Secret => {
            write_plainly(object.get_mut("data"));
            merge_string_data(object);
        }
        Kind::ConfigMap => write_plainly(object.get_mut("binaryData")),
        _ => {}
    }
}

fn service(object: &Node, diagnostics: &mut Vec<FieldDiagnostic>) {
    let ports = object.get("spec").and_then(|spec| spec.get("ports"));
    let Some(Node { tree: Tree::List(ports), .. }) = ports else { return };
    let mut names = HashSet::new();
    for (n, port) in ports.iter().enumerate() {
        check_port(port.get("port"), &format!("spec.ports[{n}].port"), diagnostics);
        check_port(port.get("targetPort"), &format!("spec.ports[{n}].targetPort"), diagnostics);
        let name = port.get("name").and_then(Node::as_str).filter(|name| !name.is_empty());
        match name {
            None if ports.len() > 1 => {
                let message = "required field is missing: a Service with several ports names each".to_owned();
                diagnostics.push(diagnostic(port, &format!("spec.ports[{n}].name"), message));
            }
            Some(name) if !names.insert(name) => {
                let message =
                    format!("another port before it is called {name:?}; each name may be there once");
                diagnostics.push(diagnostic(port, &format!("spec.ports[{n}].name"), message));
            }
            _ => {}
        }
    }
}

fn endpoint_slice(object: &Node, diagnostics: &mut Vec<FieldDiagnostic>) {
    let family = object.get("addressType");
    let kind = family.and_then(Node::as_str);
    if let (Some(node), Some(text)) = (family, kind.filter(|k| !["IPv4", "IPv6", "FQDN"].contains(k))) {
        let message = format!("{text:?} is not one of \"IPv4\", \"IPv6\", \"FQDN\"");
        diagnostics.push(diagnostic(node, "addressType", message));
    }
    if let Some(Node { tree: Tree::List(ports), .. }) = object.get("ports") {
        for (n, port) in ports.iter().enumerate() {
            check_port(port.get("port"), &format!("ports[{n}].port"), diagnostics);
        }
    }
    let Some(Node { tree: Tree::List(endpoints), .. }) = object.get("endpoints") else { return };
    for (n, endpoint) in endpoints.iter().enumerate() {
        let Some(Node { tree: Tree::List(addresses), .. }) = endpoint.get("addresses") else { continue };
        for (a, address) in addresses.iter().enumerate() {
            let Some(text) = address.as_str() else { continue };
            let valid = match kind {
                Some("IPv4") => text.parse::<std::net::Ipv4Addr>().is_ok(),
                Some("IPv6") => text.parse::<std::net::Ipv6Addr>().is_ok(),
                _ => true,
            };
            if !valid {
                let message =
                    format!("{text:?} is not an {} address, as addressType says", kind.unwrap_or_default());
                diagnostics.push(diagnostic(address, &format!("endpoints[{n}].addresses[{a}]"), message));
            }
        }
    }
}

fn check_port(port: Option<&Node>, field: &str, diagnostics: &mut Vec<FieldDiagnostic>) {
    if let Some(node @ Node { tree: Tree::Int(number), .. }) = port
        && !(1..=65535).contains(number)
    {
        diagnostics.push(diagnostic(node, field, format!("{number} is not a port: 1 to 65535")));
    }
}

/// Base64 in the one form that our types read; the API server's reader takes more of them. Text that is no
/// base64 has its diagnostic already.
fn write_plainly(field: Option<&mut Node>) {
    let Some(Node { tree: Tree::Map(entries), .. }) = field else { return };
    for entry in entries {
        if let Tree::String { text, .. } = &mut entry.value.tree
            && let Some(plain) = plain_base64(text)
        {
            *text = plain;
        }
    }
}

/// `stringData` goes over `data`, as text in place of base64, and is gone afterwards (`v1.Secret`).
fn merge_string_data(object: &mut Node) {
    let Some(Node { tree: Tree::Map(texts), .. }) = object.take("stringData") else { return };
    if object.get("data").is_none() {
        object.put("data", Tree::Map(Vec::new()));
    }
    let Some(Node { tree: Tree::Map(data), .. }) = object.get_mut("data") else { return };
    let replaced: HashSet<&str> = texts.iter().map(|e| e.key.as_str()).collect();
    data.retain(|e| !replaced.contains(e.key.as_str()));
    for Entry { key, key_at, value } in texts {
        let Some(text) = value.as_str() else { continue };
        let encoded = serde_json::to_value(ByteString(text.as_bytes().to_vec()));
        if let Ok(Value::String(text)) = encoded {
            let tree = Tree::String { text, ambiguous: false };
            data.push(Entry { key, key_at, value: Node { at: value.at, tree } });
        }
    }
}

fn diagnostic(node: &Node, field: &str, message: String) -> FieldDiagnostic {
    FieldDiagnostic { at: node.at, field: field.to_owned(), message, warning: false }
}
