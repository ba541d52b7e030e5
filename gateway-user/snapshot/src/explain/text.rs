//! The words of an explanation.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{BindAddress, ClientValidationMode, Hostname, ListenerTls, PathMatch};

use crate::{FieldLines, Rule};

/// The certificates of clients that a listener asks for, as the end of a sentence about its own; empty without a check.
pub(super) fn clients_text(tls: Option<&Arc<ListenerTls>>) -> String {
    let Some(clients) = tls.and_then(|tls| tls.clients.as_ref()) else { return String::new() };
    let trust = list(clients.trust.iter().map(|bundle| bundle.source.to_string()));
    match clients.mode {
        ClientValidationMode::AllowValidOnly => format!(", for clients with a certificate of {trust}"),
        ClientValidationMode::AllowInsecureFallback => {
            format!(", and asks clients for a certificate of {trust}, which they may do without")
        }
    }
}

/// The step of a handshake that no client gets through; `None` if some do.
pub(super) fn failing(tls: Option<&Arc<ListenerTls>>, listener: &str, asks: &str) -> Option<String> {
    let shows = tls.is_some_and(|tls| !tls.certificates.is_empty());
    let why = match (shows, tls.is_some_and(|tls| tls.trusts_nobody())) {
        (false, _) => "",
        (true, true) => ", and has no authority to check clients' certificates by",
        (true, false) => return None,
    };
    Some(format!("handshake fails, no_certificate: listener {listener} takes {asks}{why}"))
}

/// Most patterns or hostnames that one line lists.
const LISTED: usize = 8;

pub(super) fn header_lines(fields: &dyn FieldLines, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut from = 0;
    while let Some((at, value)) = fields.find(name, from) {
        lines.push(text(value));
        from = at + 1;
    }
    lines
}

pub(super) fn place(rule: &Rule, match_index: u32) -> String {
    let name = rule.name.as_deref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let path = rule.paths.get(match_index as usize).map(path_text).unwrap_or_default();
    format!("{} rules[{}]{name} matches[{match_index}] ({path})", rule.route.id, rule.index)
}

pub(super) fn path_text(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("Exact {path}"),
        PathMatch::Prefix(path) => format!("PathPrefix {path}"),
        PathMatch::Regex(path) => format!("RegularExpression {path}"),
    }
}

pub(super) fn hostname_text(hostname: Option<&Hostname>) -> String {
    hostname.map_or_else(|| "every host".into(), |hostname| format!("host {hostname}"))
}

pub(super) fn bind_text(address: BindAddress, port: u16) -> String {
    match address {
        BindAddress::Any => format!("port {port} on every address"),
        BindAddress::Ip(ip) => SocketAddr::from((ip, port)).to_string(),
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let mut items: Vec<_> = items.into_iter().collect();
    let more = items.len().saturating_sub(LISTED);
    items.truncate(LISTED);
    match (items.is_empty(), more) {
        (true, _) => "none".into(),
        (false, 0) => items.join(", "),
        (false, more) => format!("{} and {more} more", items.join(", ")),
    }
}
