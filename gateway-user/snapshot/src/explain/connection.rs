//! The way of a connection that is not looked into.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{Opening, Serve, Transport};

use super::text::{clients_text, failing};
use super::{
    ExplainedHit, Explanation, Verdict, find_bind, found, hostname_text, hosts, list, server_name,
    unrecognized,
};
use crate::{BindTable, RouteMiss, Selected, Snapshot};

/// Explains the way of a TCP connection to `local`.
pub fn explain_connection(snapshot: &Snapshot, local: SocketAddr) -> Explanation {
    let (bind, mut steps) = match find_bind(snapshot, local) {
        Ok(found) => found,
        Err(steps) => return not_served(steps),
    };
    let selected = bind.select(None).filter(|_| bind.opening() == Opening::Bytes);
    let Some(selected) = selected else {
        steps.push(format!("connections are looked into here: ask with {}", scheme(bind)));
        return not_served(steps);
    };
    steps.push(format!("listener {} takes every connection", selected.listener.text));
    if selected.rule.is_none() {
        steps.push("no_route: no route is attached to it, and connections are reset".to_owned());
    }
    taken(selected, steps)
}

/// Explains the way of a UDP datagram to `local`.
pub fn explain_datagram(snapshot: &Snapshot, local: SocketAddr) -> Explanation {
    let (bind, mut steps) = match found(snapshot, local, snapshot.datagram_bind(local)) {
        Ok(found) => found,
        Err(steps) => return not_served(steps),
    };
    let Some(selected) = bind.select(None) else { return not_served(steps) };
    steps.push(format!("listener {} takes every datagram", selected.listener.text));
    if selected.rule.is_none() {
        steps.push("no_route: no route is attached to it, and datagrams are dropped".to_owned());
    }
    taken(selected, steps)
}

/// Explains the way of a TLS connection to `local` whose client asks for `host`, in lower case.
pub fn explain_tls(snapshot: &Snapshot, local: SocketAddr, host: &str) -> Explanation {
    let (bind, mut steps) = match find_bind(snapshot, local) {
        Ok(found) => found,
        Err(steps) => return not_served(steps),
    };
    if bind.opening() != Opening::ClientHello {
        steps.push(format!("TLS is not looked into here: ask with {}", scheme(bind)));
        return not_served(steps);
    }
    let name = server_name(host.as_bytes());
    let asks = name.map_or_else(|| "no server name".into(), |name| format!("server name {name:?}"));
    let Some(selected) = bind.select(name) else {
        steps.push(match bind.terminates_tls() {
            true => unrecognized(bind, &asks),
            false => {
                let code = RouteMiss::NoListenerForHost.code();
                format!("{code}: no listener here takes {asks}, and connections are reset; {}", hosts(bind))
            }
        });
        return not_served(steps);
    };
    let Selected { listener, tls, rule } = selected;
    let hostname = hostname_text(listener.hostname.as_ref());
    let certificates = tls.map(|tls| tls.certificates.as_slice()).unwrap_or_default();
    let use_of_it = match listener.serve {
        Serve::TlsPassthrough => "passes TLS through to the backend (mode Passthrough)".to_owned(),
        Serve::TlsTerminate => {
            if let Some(failing) = failing(tls, &listener.text, &asks) {
                steps.push(failing);
                return not_served(steps);
            }
            let secrets = certificates.iter().map(|one| format!("Secret {}", one.secret));
            format!("ends TLS with {} (mode Terminate){}", list(secrets), clients_text(tls))
        }
        Serve::Http | Serve::Https | Serve::Tcp | Serve::Udp => {
            steps.push(format!("listener {} takes {asks} for HTTP: ask with METHOD https://", listener.text));
            return not_served(steps);
        }
    };
    steps.push(format!("listener {} for {hostname} takes {asks} and {use_of_it}", listener.text));
    if rule.is_none() {
        let miss = RouteMiss::NoRouteForHost;
        steps.push(format!("{}: {miss}, and connections are reset", miss.code()));
    }
    taken(selected, steps)
}

/// The way to ask about connections to a bind.
fn scheme(bind: &BindTable) -> &'static str {
    match bind.opening() {
        Opening::Request => "METHOD http://",
        Opening::ClientHello => "METHOD https:// or tls://",
        Opening::Bytes => "tcp://",
        Opening::Datagram => "udp://",
    }
}

fn not_served(steps: Vec<String>) -> Explanation {
    Explanation { steps, verdict: Verdict::NotServed, hit: None, listener: None }
}

/// The end of an explanation: the rule that takes the connection, if there is one.
fn taken(selected: Selected<'_>, mut steps: Vec<String>) -> Explanation {
    let Selected { listener, rule: Some(rule), .. } = selected else { return not_served(steps) };
    let name = rule.name.as_deref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let text = format!("{} rules[{}]{name}", rule.route.id, rule.index);
    let what = match listener.serve.transport() {
        Transport::Tcp => "connection",
        Transport::Udp => "datagram",
    };
    steps.push(format!("{text} takes the {what}"));
    let hit = ExplainedHit {
        rule: Arc::clone(rule),
        listener: Arc::clone(listener),
        match_index: 0,
        matched_len: 0,
    };
    Explanation { steps, verdict: Verdict::Hit(text), hit: Some(hit), listener: Some(Arc::clone(listener)) }
}
