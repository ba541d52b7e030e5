//! The tables.

use std::collections::BTreeMap;

use gateway_translate::condition_type::is_fault_if_true;

use crate::admin::document::{
    ConditionLine, ControllerLine, Placeholders, SettingLine, StatusDocument, TookOverLine,
};
use crate::cmd::table::Table;

use super::backend_tls;

/// Most ports without a placeholder that are listed for one reason.
const LISTED_MAX: usize = 8;

/// The tables; `wide` adds addresses and every condition's message.
pub(super) fn render(document: &StatusDocument, wide: bool) -> String {
    let mut text = head(document);
    if wide && !document.nodes.is_empty() {
        text.push('\n');
        text.push_str(&nodes(document));
    }
    if wide && !document.watches.is_empty() {
        text.push('\n');
        text.push_str(&watches(document));
    }
    for table in [gateways(document, wide), listener_sets(document, wide)] {
        if !table.is_empty() {
            text.push('\n');
            text.push_str(&table);
        }
    }
    text.push('\n');
    text.push_str(&listeners(document, wide));
    let settings = settings(document, wide);
    if !settings.is_empty() {
        text.push('\n');
        text.push_str(&settings);
    }
    for table in [routes(document, wide), backend_tls::render(document, wide)] {
        if !table.is_empty() {
            text.push('\n');
            text.push_str(&table);
        }
    }
    if !document.findings.is_empty() {
        text.push('\n');
        document.findings.iter().for_each(|finding| text.push_str(&format!("{finding}\n")));
    }
    text
}

fn head(document: &StatusDocument) -> String {
    let StatusDocument { process, io, steering, .. } = document;
    let since = document.live_since.as_ref().map(|since| format!(", live since {since}")).unwrap_or_default();
    let mut text = format!(
        "sluice {} (pid {}), serving {}\n{}; generation {}{since}\n",
        process.version, process.pid, process.source, document.readiness, document.generation
    );
    let mut facts = Table::plain();
    let families = steering.without_ipv6.as_ref().map(|why| format!("; IPv4 alone ({why})"));
    facts.row(["steering:".into(), format!("{}{}", steering.detail, families.unwrap_or_default())]);
    if let Some(placeholders) = &steering.placeholders {
        facts.row(["placeholders:".into(), held_ports(placeholders)]);
    }
    let workers = if io.workers == 1 { "1 worker".into() } else { format!("{} workers", io.workers) };
    let refused =
        if io.refused.is_empty() { String::new() } else { format!(" (not {})", io.refused.join("; not ")) };
    // Where workers have no ring either, the reason is said of them.
    let log = match (io.access_log.as_str(), &io.access_log_refused) {
        ("write", Some(why)) if io.refused.is_empty() => format!(", access log by write(2) ({why})"),
        ("write", _) => ", access log by write(2)".to_owned(),
        ("uring", _) => ", access log by io_uring".to_owned(),
        _ => String::new(),
    };
    facts.row(["io:".into(), format!("{}, {workers}{log}{refused}", io.driver)]);
    if io.worker_deaths > 0 {
        let said =
            format!("{} of workers, {} connections lost with them", io.worker_deaths, io.lost_connections);
        facts.row(["deaths:".into(), said]);
    }
    if let Some(held) = &process.capabilities {
        facts
            .row(["capabilities:".into(), if held.is_empty() { "none".to_owned() } else { held.join(", ") }]);
    }
    if let Some(TookOverLine { pid, version, milliseconds }) = &process.took_over {
        facts.row([
            "took over:".into(),
            format!("from sluice {version} (pid {pid}) within {milliseconds} ms"),
        ]);
    }
    if !process.takeover_failures.is_empty() {
        let failures = process.takeover_failures.iter().map(|(reason, count)| format!("{count} ({reason})"));
        facts.row(["failed take-overs:".into(), failures.collect::<Vec<_>>().join(", ")]);
    }
    if !document.watches.is_empty() {
        let synced = document.watches.iter().filter(|watch| watch.synced).count();
        let failing = document.watches.iter().filter(|watch| watch.failing_since.is_some()).count();
        facts.row([
            "watches:".into(),
            format!("{synced} of {} synced, {failing} failing", document.watches.len()),
        ]);
    }
    if let Some(controller) = &document.controller {
        facts.row(["controller:".into(), stream(controller)]);
    }
    if !document.nodes.is_empty() {
        let connected = document.nodes.iter().filter(|node| node.connected).count();
        let newest = document.nodes.iter().map(|node| node.version).max().unwrap_or(0);
        let behind =
            document.nodes.iter().filter(|node| node.version < newest || node.error.is_some()).count();
        let said = format!("{connected} of {} connected, {behind} behind", document.nodes.len());
        facts.row(["nodes:".into(), said]);
        for line in &document.nodes {
            if let Some(suspicion) = &line.suspicion {
                facts.row([format!("node {}:", line.node), suspicion.clone()]);
            }
        }
    }
    if let Some(error) = &document.last_error {
        facts.row(["trouble:".into(), error.clone()]);
    }
    text.push_str(&facts.render());
    text
}

/// The stream of a node that follows a controller.
fn stream(controller: &ControllerLine) -> String {
    let ControllerLine { connected, program, version, age_seconds, error } = controller;
    match (connected, error, age_seconds) {
        (true, _, _) => format!("connected (sluice {program}), version {version}"),
        (false, Some(error), Some(age)) => {
            format!("not connected, heard {age} s ago: {error}; version {version}")
        }
        (false, Some(error), None) => format!("not connected: {error}; version {version}"),
        (false, None, _) => format!("not connected yet; version {version}"),
    }
}

/// Each node that follows: what it acknowledged, and what keeps it from the newest.
fn nodes(document: &StatusDocument) -> String {
    let mut table = Table::new(&["NODE", "PROGRAM", "CONNECTED", "VERSION", "CLOSED ITEMS", "ERROR"]);
    for line in &document.nodes {
        table.row([
            line.node.clone(),
            line.program.clone(),
            if line.connected { "yes".into() } else { "no".into() },
            line.version.to_string(),
            line.closed.to_string(),
            line.error.clone().or_else(|| line.suspicion.clone()).unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.render()
}

/// Number of steered ports that are bound so that nobody else's bind succeeds; those that are not, and why.
fn held_ports(placeholders: &Placeholders) -> String {
    let held =
        if placeholders.held == 1 { "1 port".to_owned() } else { format!("{} ports", placeholders.held) };
    placeholders.missing.iter().fold(held, |text, (reason, binds)| {
        let listed = binds.iter().take(LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = binds.len().saturating_sub(LISTED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{text}; not {listed}{more}: {reason}")
    })
}

/// Each watch of the cluster: what it holds, when the server said something last, and what keeps it from
/// going on.
fn watches(document: &StatusDocument) -> String {
    let mut table =
        Table::new(&["WATCH", "NAMESPACE", "OBJECTS", "SYNCED", "LAST EVENT", "FAILING SINCE", "WHY"]);
    for line in &document.watches {
        let text = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
        table.row([
            line.kind.clone(),
            text(&line.namespace, "*"),
            line.objects.to_string(),
            if line.synced { "yes".into() } else { "no".into() },
            text(&line.last_event, "-"),
            text(&line.failing_since, "-"),
            text(&line.why, "-"),
        ]);
    }
    table.render()
}

/// Settings that GatewayConfigs give; `wide` adds the flags beside them.
fn settings(document: &StatusDocument, wide: bool) -> String {
    let shown = |line: &&SettingLine| wide || line.source.starts_with("GatewayConfig");
    let mut table = Table::new(&["GATEWAY", "SETTING", "VALUE", "FROM"]);
    for line in document.settings.iter().filter(shown) {
        let SettingLine { gateway, setting, value, source } = line.clone();
        table.row(vec![gateway, setting, value, source]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// Gateways with a condition that is wrong, and its message; `wide` adds the others.
fn gateways(document: &StatusDocument, wide: bool) -> String {
    let mut table = Table::new(&["GATEWAY", "STATE", "MESSAGE"]);
    for line in &document.gateways {
        let is_shown = wide || line.conditions.iter().any(|(name, condition)| is_wrong(name, condition));
        if is_shown {
            table.row([line.gateway.clone(), state(&line.conditions), messages(&line.conditions)]);
        }
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// ListenerSets with a condition that is wrong, and its message; `wide` adds the others.
fn listener_sets(document: &StatusDocument, wide: bool) -> String {
    let mut table = Table::new(&["LISTENERSET", "GATEWAY", "STATE", "MESSAGE"]);
    for line in &document.listener_sets {
        let is_shown = wide || line.conditions.iter().any(|(name, condition)| is_wrong(name, condition));
        if is_shown {
            let (set, gateway) = (line.listener_set.clone(), line.gateway.clone());
            table.row([set, gateway, state(&line.conditions), messages(&line.conditions)]);
        }
    }
    if table.is_empty() { String::new() } else { table.render() }
}

fn listeners(document: &StatusDocument, wide: bool) -> String {
    let mut heading =
        vec!["GATEWAY", "LISTENER", "ADDRESS", "PORT", "PROTOCOL", "HOSTNAME", "ROUTES", "STATE"];
    if wide {
        heading.extend(["CLIENT CERTIFICATES", "MESSAGE"]);
    }
    let mut table = Table::new(&heading);
    for line in &document.listeners {
        let port = match (line.port, line.served_on) {
            (Some(port), Some(served)) => format!("{port} (on {served})"),
            (Some(port), None) => port.to_string(),
            (None, _) => String::new(),
        };
        let hostname =
            if line.hostname.is_empty() && line.port.is_some() { "*".into() } else { line.hostname.clone() };
        let mut cells = vec![
            line.gateway.clone(),
            line.listener.clone(),
            line.address.clone(),
            port,
            line.protocol.clone(),
            hostname,
            line.attached_routes.to_string(),
            state(&line.conditions),
        ];
        if wide {
            let asked = line.client_certificates.clone().unwrap_or_else(|| "-".to_owned());
            cells.extend([asked, messages(&line.conditions)]);
        }
        table.row(cells);
    }
    if table.is_empty() { "no listeners\n".to_owned() } else { table.render() }
}

fn routes(document: &StatusDocument, wide: bool) -> String {
    let mut heading = vec!["ROUTE", "PARENT", "STATE"];
    if wide {
        heading.push("MESSAGE");
    }
    let mut table = Table::new(&heading);
    for line in &document.routes {
        let mut cells = vec![line.route.clone(), line.parent.clone(), state(&line.conditions)];
        if wide {
            cells.push(messages(&line.conditions));
        }
        table.row(cells);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

fn is_wrong(name: &str, condition: &ConditionLine) -> bool {
    condition.status != if is_fault_if_true(name) { "False" } else { "True" }
}

/// `OK`, or the reasons of what is wrong, each once.
fn state(conditions: &BTreeMap<String, ConditionLine>) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for (name, condition) in conditions {
        if is_wrong(name, condition) && !reasons.contains(&condition.reason.as_str()) {
            reasons.push(&condition.reason);
        }
    }
    if reasons.is_empty() { "OK".to_owned() } else { reasons.join(",") }
}

fn messages(conditions: &BTreeMap<String, ConditionLine>) -> String {
    let mut messages: Vec<&str> = Vec::new();
    for (name, condition) in conditions {
        if is_wrong(name, condition) && !messages.contains(&condition.message.as_str()) {
            messages.push(&condition.message);
        }
    }
    messages.join("; ")
}
