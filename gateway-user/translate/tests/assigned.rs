//! Conditions of a Gateway about addresses that it was given, or not.

mod common;

use std::sync::Arc;

use gateway_ir::ObjectName;
use gateway_translate::{Assignment, Assignments, Severity, TranslateOptions, Translation, Translator};

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge, generation: 2}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: web, protocol: HTTP, port: 80}
";
const PROBLEM: &str = "the pool has no IPv6 address left (2 in use)";

/// With these addresses, and not all that it asked for.
fn translation(given: &[&str]) -> Translation {
    let gateway = ObjectName::new("edge", "gw");
    let one = |address: &&str| Assignment { address: address.parse().unwrap(), node: "n".to_owned() };
    let assignments = Assignments {
        given: [(gateway.clone(), given.iter().map(one).collect())].into(),
        problems: [(gateway, PROBLEM.to_owned())].into(),
    };
    let mut translator = Translator::new(TranslateOptions::default());
    translator.assign(Some(Arc::new(assignments)));
    translator.update(&common::resources(GATEWAY))
}

/// Its errors and warnings.
fn found(translation: &Translation) -> Vec<(Severity, &str)> {
    let all = translation.diagnostics.iter().map(|one| (one.severity, &*one.message));
    all.filter(|(severity, _)| *severity != Severity::Note).collect()
}

fn programmed(translation: &Translation) -> String {
    let shown = common::status(&translation.status).remove("Gateway edge/gw").unwrap();
    shown["Programmed"].as_str().unwrap().to_owned()
}

#[test]
fn a_gateway_that_lacks_an_address_of_one_family_is_served_with_a_warning() {
    let translation = translation(&["10.0.0.1"]);
    assert!(programmed(&translation).starts_with("Unknown Pending"), "{}", programmed(&translation));
    assert_eq!(found(&translation), [(Severity::Warning, PROBLEM)]);
}

#[test]
fn a_gateway_without_any_address_is_not_programmed() {
    let translation = translation(&[]);
    assert!(programmed(&translation).starts_with("False AddressNotAssigned"), "{}", programmed(&translation));
    assert_eq!(found(&translation), [(Severity::Error, PROBLEM)]);
}
