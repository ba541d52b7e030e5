//! Gateways: listeners, certificates.

use gateway_ir::ObjectName;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::pipeline::Pipeline;
use crate::world::{base, hosts, long, route};
use crate::{KIB, MIB};

/// A Secret of so many certificates, the first for so many names.
fn secret(name: &str, names: usize, certificates: usize) -> Value {
    let names: Vec<String> = (0..names).map(|n| format!("n{n}.{}.example.com", long(n, 20))).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let encoded = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    let chain = made.cert.pem().repeat(certificates);
    json!({"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": "loud"},
        "data": {"tls.crt": encoded(&chain), "tls.key": encoded(&made.signing_key.serialize_pem())}})
}

/// A Gateway of 64 listeners with 64 references each, to these Secrets in turn.
fn secured(secrets: usize) -> Value {
    let references: Vec<_> = (0..64).map(|n| json!({"name": format!("s{}", n % secrets)})).collect();
    let listener = |n: usize| {
        json!({"name": format!("t{n}"), "port": 9_000 + n, "protocol": "HTTPS", "hostname": format!("x{n}.example.com"),
            "tls": {"certificateRefs": references}})
    };
    json!({"kind": "Gateway", "metadata": {"name": "gw", "namespace": "loud"},
        "spec": {"gatewayClassName": "sluice", "listeners": (0..64).map(listener).collect::<Vec<_>>()}})
}

/// Four certificates for 1,000 names each on 4,096 references. Each name of each reference was compared and
/// written out for every edit of anybody.
#[test]
fn names_of_certificates_are_not_gone_through_for_each_reference() {
    let mut objects = base(1);
    objects.extend((0..4).map(|n| secret(&format!("s{n}"), 1_000, 1)));
    objects.push(secured(4));
    let (mut pipeline, cost) = Pipeline::new(objects);
    let served = &pipeline.translation.ir.binds;
    let shown = served.iter().flat_map(|bind| &bind.listeners).filter_map(|one| one.tls.as_ref());
    assert_eq!(shown.map(|tls| tls.certificates.len()).collect::<Vec<_>>(), [4; 64], "each once");
    assert!(cost.asked() < 16 * MIB && cost.kept() < 4 * MIB, "{cost:?}");
    pipeline.assert_edit_costs(4 * MIB);
}

/// A Secret has room for a mebibyte, and every handshake sends the chain.
#[test]
fn a_chain_that_no_client_reads_is_refused_with_its_size() {
    let mut objects = base(1);
    objects.push(secret("s0", 100, 100));
    objects.push(secured(1));
    let (mut pipeline, cost) = Pipeline::new(objects);
    let findings: Vec<String> = pipeline.translation.diagnostics.iter().map(ToString::to_string).collect();
    assert!(
        findings.iter().any(|line| line.contains("clients take at most 102400")),
        "{:?}",
        findings.first()
    );
    assert!(cost.kept() < MIB, "{cost:?}");
    pipeline.assert_edit_costs(16 * MIB);
}

/// References that lead nowhere, beside 500 Secrets of like names, are judged with every edit of anybody.
#[test]
fn references_to_missing_secrets_do_not_look_for_names_without_end() {
    let mut objects = base(1);
    let other = |n| json!({"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": long(n, 60), "namespace": "loud"}});
    objects.extend((0..500).map(other));
    let mut gateway = secured(1);
    let missing: Vec<_> = (0..64).map(|n| json!({"name": format!("{n:02}{}", "y".repeat(58))})).collect();
    for listener in gateway["spec"]["listeners"].as_array_mut().unwrap() {
        listener["tls"]["certificateRefs"] = json!(missing);
    }
    objects.push(gateway);
    let (mut pipeline, _) = Pipeline::new(objects);
    let status = &pipeline.translation.status.gateways[&ObjectName::new("loud", "gw")];
    let bytes = serde_json::to_vec(status).unwrap().len();
    assert!(bytes < 600 << 10, "a status of {bytes} bytes");
    // 4,096 messages; a comparison of names asks for two lists of characters, and 4,096 × 500 of them for a
    // gigabyte.
    pipeline.assert_edit_costs(16 * MIB);
}

/// 64 listeners that all take sixteen hosts from a route of each of 100 namespaces.
#[test]
fn listeners_times_routes_are_lists_and_not_tables() {
    let mut objects = base(64);
    for n in 0..100 {
        let mut one = route(0, &hosts(16), &[json!({"matches": [{"path": {"value": format!("/{n}")}}]})]);
        one["metadata"]["namespace"] = json!(format!("loud{n}"));
        objects.push(one);
    }
    let (mut pipeline, cost) = Pipeline::new(objects);
    assert!(cost.compile.kept < 32 << 20, "{cost:?}");
    pipeline.assert_edit_costs(24 * MIB);
    assert!(cost.translate.kept < 32 << 20, "{} KiB", cost.translate.kept as u64 / KIB);
}
