//! BackendTLSPolicies: the whole gateway over YAML, TLS servers behind it.

mod common;

use std::net::SocketAddr;

use common::{BACKEND, HTTP, Running, get, metric, sluice, text, with_gateway_flags};
use gateway_testkit::http::{self, Response};
use gateway_testkit::tls::{Authority, FrontOptions, TlsFront};
use gateway_testkit::wait;

const NAME: &str = "secure.team2.svc";

/// A Service `secure` in front of one address, and a route to it from the shared Gateway.
fn service(address: SocketAddr) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: secure, namespace: team2}}
spec: {{ports: [{{name: https, port: 443}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: secure, namespace: team2, labels: {{kubernetes.io/service-name: secure}}}}
addressType: IPv4
ports: [{{name: https, port: {}}}]
endpoints: [{{addresses: [{}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: secure, namespace: team2}}
spec:
  parentRefs: [{{name: shared-gateway, namespace: ingress}}]
  rules:
  - matches: [{{path: {{value: /secure}}}}]
    filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}]
    backendRefs: [{{name: secure, port: 443}}]
",
        address.port(),
        address.ip(),
    )
}

fn policy(hostname: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: secure, namespace: team2}}
spec:
  targetRefs: [{{group: '', kind: Service, name: secure, sectionName: https}}]
  validation: {{hostname: {hostname}, caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}
"
    )
}

/// Sixteen Gateways beside the shared one, and a route of all of them to the same Service.
fn crowd() -> String {
    let names: Vec<_> = (0..16).map(|number| format!("gw-{number:02}")).collect();
    let gateway = |name: &String| {
        format!(
            "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: team2}}
spec: {{gatewayClassName: sluice, listeners: [{{name: http, protocol: HTTP, port: 80, hostname: {name}.example}}]}}
---"
        )
    };
    let parents: Vec<_> = names.iter().map(|name| format!("{{name: {name}}}")).collect();
    format!(
        "{}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: crowd, namespace: team2}}
spec:
  parentRefs: [{}]
  rules: [{{backendRefs: [{{name: secure, port: 443}}]}}]
",
        names.iter().map(gateway).collect::<String>(),
        parents.join(", ")
    )
}

/// Waits until a request gets this status and reason.
#[track_caller]
fn wait_for(running: &Running, status: u16, reason: Option<&str>) -> Response {
    wait::until(&format!("{status} {reason:?}; the gateway says:\n{}", running.log()), || {
        let response = get("/secure/headers").ok()?;
        (response.status == status && response.reason() == reason).then_some(response)
    })
}

fn a_policy_from_its_first_day_to_its_last(flags: &'static [&'static str], label: &str) {
    with_gateway_flags(label, flags, |_, running| {
        let (authority, other) = (Authority::new(), Authority::new());
        let options = FrontOptions { protocols: &[b"http/1.1"], ..FrontOptions::default() };
        let front = TlsFront::start(&authority.issue(&[NAME]), BACKEND.parse().unwrap(), &options);
        let write = |file: &str, text: &str| running.config.write(file, text).unwrap();
        write("policy.yaml", &policy(NAME));
        write("secure.yaml", &service(front.address()));
        // Its ConfigMap is not there yet.
        wait_for(running, 502, Some("backend_tls_invalid"));
        let status = text(&sluice(&["status"]));
        assert!(status.contains("NoValidCACertificate") || status.contains("team2/ca"), "{status}");
        write("ca.yaml", &authority.config_map("team2", "ca"));
        let response = wait_for(running, 200, None);
        assert!(response.text().contains("\"x-forwarded-proto\": \"http\""), "{}", response.text());
        let handshakes = front.handshakes();
        assert_eq!(handshakes[0].server_name.as_deref(), Some(NAME));
        assert!(metric("sluice_upstream_tls_handshakes_total", &[]) >= 1.0);
        write("ca.yaml", &other.config_map("team2", "ca"));
        wait_for(running, 502, Some("upstream_tls_unknown_authority"));
        write("ca.yaml", &authority.config_map("team2", "ca"));
        wait_for(running, 200, None);
        write("policy.yaml", &policy("other.example"));
        wait_for(running, 502, Some("upstream_tls_wrong_name"));
        assert!(metric("sluice_upstream_tls_failures_total", &[]) >= 1.0);
        // The other routes are served all along.
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
    });
}

#[test]
fn a_policy_is_followed() {
    a_policy_from_its_first_day_to_its_last(&["--workers", "2"], "backend-tls");
}

#[test]
fn a_gateway_beyond_the_sixteenth_ancestor_does_not_use_the_policy() {
    with_gateway_flags("backend-tls-crowd", &["--workers", "1"], |_, running| {
        let authority = Authority::new();
        let options = FrontOptions { protocols: &[b"http/1.1"], ..FrontOptions::default() };
        let front = TlsFront::start(&authority.issue(&[NAME]), BACKEND.parse().unwrap(), &options);
        let write = |file: &str, text: &str| running.config.write(file, text).unwrap();
        write("policy.yaml", &policy(NAME));
        write("ca.yaml", &authority.config_map("team2", "ca"));
        write("secure.yaml", &service(front.address()));
        write("crowd.yaml", &crowd());
        wait_for(running, 200, None);
        // The last one by name, since files have no age.
        let last = |host: &str| http::get(HTTP.parse().unwrap(), host, "/headers").ok();
        wait::until("502 for the last", || {
            last("gw-15.example").filter(|response| response.reason() == Some("backend_tls_no_room"))
        });
        assert_eq!(last("gw-14.example").unwrap().status, 200);
        let status = text(&sluice(&["status", "-o", "wide"]));
        assert!(status.contains("TooManyAncestors"), "{status}");
        let line = status.lines().find(|line| line.starts_with("team2/secure:443 "));
        assert!(line.unwrap().contains("team2/gw-15"), "{status}");
    });
}
