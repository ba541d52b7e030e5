//! The way of a connection that is not looked into.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::Opening;

use super::{ExplainedHit, Explanation, Verdict, find_bind};
use crate::Snapshot;

/// Explains the way of a TCP connection to `local`.
pub fn explain_connection(snapshot: &Snapshot, local: SocketAddr) -> Explanation {
    let not_served = |steps| Explanation { steps, verdict: Verdict::NotServed, hit: None };
    let (bind, mut steps) = match find_bind(snapshot, local) {
        Ok(found) => found,
        Err(steps) => return not_served(steps),
    };
    let scheme = match bind.opening() {
        Opening::Request => "http",
        Opening::ClientHello => "https",
        Opening::Bytes => "tcp",
    };
    let Some((listener, rule)) = bind.tunnel() else {
        steps.push(format!("connections are looked into here: ask with {scheme}://"));
        return not_served(steps);
    };
    steps.push(format!("listener {} takes every connection", listener.text));
    let Some(rule) = rule else {
        steps.push("no_route: no route is attached to it, and connections are reset".to_owned());
        return not_served(steps);
    };
    let name = rule.name.as_deref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let text = format!("{} rules[{}]{name}", rule.route.id, rule.index);
    steps.push(format!("{text} takes the connection"));
    let hit = ExplainedHit { rule: Arc::clone(rule), listener: Arc::clone(listener), matched_len: 0 };
    Explanation { steps, verdict: Verdict::Hit(text), hit: Some(hit) }
}
