//! The table of backends that are spoken to over TLS.

use crate::admin::document::{BackendTlsLine, StatusDocument};
use crate::cmd::table::Table;

/// The policy and the authorities of each; `wide` adds names and faults. Empty without such a backend.
pub(super) fn render(document: &StatusDocument, wide: bool) -> String {
    let mut heading = vec!["BACKEND", "TLS POLICY", "TRUST", "STATE"];
    if wide {
        heading.extend(["NAMES", "MESSAGE"]);
    }
    let mut table = Table::new(&heading);
    for line in &document.backend_tls {
        let mut cells =
            vec![line.backend.clone(), line.policy.clone(), line.trust.join(", "), state(line).to_owned()];
        if wide {
            let names = if line.names.is_empty() { line.hostname.clone() } else { line.names.join(", ") };
            cells.extend([names, line.fault.clone().unwrap_or_else(|| line.refused_gateways.join(", "))]);
        }
        table.row(cells);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

fn state(line: &BackendTlsLine) -> &'static str {
    match (&line.fault, line.refused_gateways.is_empty()) {
        (Some(_), _) => "Invalid",
        (None, true) => "OK",
        (None, false) => "TooManyAncestors",
    }
}
