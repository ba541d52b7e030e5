//! Probes of features whose names begin with A to G.

use crate::{Probe, grpc_probe, probe};

/// In the order of names.
pub(crate) const PROBES: &[Probe] = &[
    Probe {
        feature: "BackendTLSPolicy",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: concat!(
            include_str!("../common/trust.yaml"),
            "
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p, namespace: a}
spec:
  targetRefs: [{group: '', kind: Service, name: s}]
  validation: {hostname: s.a.svc, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}
"
        ),
        wants: &[
            ("/action/Forward/0/target/Cluster/tls", "true"),
            ("/tls/a~1s:80 over TLS/hostname", "\"s.a.svc\""),
            ("/tls/a~1s:80 over TLS/trust/0/certificates", "1"),
        ],
    },
    Probe {
        feature: "BackendTLSPolicySANValidation",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: concat!(
            include_str!("../common/trust.yaml"),
            "
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p, namespace: a}
spec:
  targetRefs: [{group: '', kind: Service, name: s}]
  validation:
    hostname: s.a.svc
    subjectAltNames: [{type: URI, uri: 'spiffe://a/b'}, {type: Hostname, hostname: t.a.svc}]
    caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]
"
        ),
        wants: &[
            ("/tls/a~1s:80 over TLS/subject_alt_names/0/Uri", "\"spiffe://a/b\""),
            ("/tls/a~1s:80 over TLS/subject_alt_names/1/Hostname", "\"t.a.svc\""),
        ],
    },
    Probe {
        feature: "ClusterTrustBundle",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: concat!(
            include_str!("../common/trust.yaml"),
            "
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p, namespace: a}
spec:
  targetRefs: [{group: '', kind: Service, name: s}]
  validation:
    hostname: s.a.svc
    caCertificateRefs: [{group: certificates.k8s.io, kind: ClusterTrustBundle, name: roots}]
"
        ),
        wants: &[
            ("/tls/a~1s:80 over TLS/trust/0/source/ClusterTrustBundle", "\"roots\""),
            ("/tls/a~1s:80 over TLS/trust/0/certificates", "1"),
        ],
    },
    grpc_probe(
        "GRPCRoute",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r, namespace: a}
spec:
  parentRefs: [{name: gw}]
  rules: [{matches: [{method: {service: a.B, method: C}, headers: [{name: k, value: v}]}], backendRefs: [{name: s, port: 80}]}]
",
        &[
            ("/matches/0/path/Exact", "\"/a.B/C\""),
            ("/matches/0/headers/0/value/Exact", "\"v\""),
            ("/matches/0/grpc", "{}"),
            ("/action/Forward/0/weight", "1"),
        ],
    ),
    grpc_probe(
        "GRPCRouteNamedRouteRule",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: gw}], rules: [{name: first, backendRefs: [{name: s, port: 80}]}]}
",
        &[("/name", "\"first\"")],
    ),
    grpc_probe(
        "GRPCRouteRequestHeaderModifier",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r, namespace: a}
spec:
  parentRefs: [{name: gw}]
  rules:
  - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x, value: y}]}}]
    backendRefs: [{name: s, port: 80}]
",
        &[("/filters/0/RequestHeaders/set/0/value", "\"y\"")],
    ),
    probe("Gateway", "rules: [{backendRefs: [{name: s, port: 80}]}]", &[("/ir/binds/0/port", "80")]),
    Probe {
        feature: "GatewayAddressEmpty",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: empty, namespace: a}
spec:
  gatewayClassName: sluice
  addresses: [{type: IPAddress}]
  listeners: [{name: web, port: 8081, protocol: HTTP}]
",
        wants: &[("/ir/binds/2/port", "8081"), ("/ir/binds/2/address", "\"Any\"")],
    },
    Probe {
        feature: "GatewayBackendClientCertificate",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: concat!(
            include_str!("../common/trust.yaml"),
            "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shows, namespace: a}
spec:
  gatewayClassName: sluice
  tls: {backend: {clientCertificateRef: {name: shown}}}
  listeners: [{name: web, port: 90, protocol: HTTP}]
"
        ),
        wants: &[("/ir/binds/1/listeners/0/backend_certificate/secret/name", "\"shown\"")],
    },
    Probe {
        feature: "GatewayFrontendClientCertificateValidation",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: concat!(
            include_str!("../common/trust.yaml"),
            "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: asks, namespace: a}
spec:
  gatewayClassName: sluice
  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}
  listeners: [{name: web, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: shown}]}}]
"
        ),
        wants: &[("/ir/binds/1/listeners/0/tls/clients/trust/0/source/ConfigMap/name", "\"ca\"")],
    },
    Probe {
        feature: "GatewayFrontendClientCertificateValidationInsecureFallback",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: concat!(
            include_str!("../common/trust.yaml"),
            "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: asks, namespace: a}
spec:
  gatewayClassName: sluice
  tls: {frontend: {default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}
  listeners: [{name: web, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: shown}]}}]
"
        ),
        wants: &[(
            "/ir/binds/1/listeners/0/tls/clients/mode",
            "\"AllowInsecureFallback\"",
        )],
    },
    probe(
        "GatewayHTTPListenerIsolation",
        "hostnames: [x.foo.example.com]\nrules: [{backendRefs: [{name: s, port: 80}]}]",
        &[("/ir/binds/0/listeners/1/hostname", "\"*.foo.example.com\"")],
    ),
    Probe {
        feature: "GatewayHTTPSListenerDetectMisdirectedRequests",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: a}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: one, port: 443, protocol: HTTPS, hostname: one.example, tls: {certificateRefs: [{name: missing}]}}
  - {name: rest, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: missing}]}}
",
        // Both are in one table, so that a request that came for one of them is known to be the other's.
        wants: &[
            ("/ir/binds/1/listeners/0/serve", "\"Https\""),
            ("/ir/binds/1/listeners/0/id/listener", "\"rest\""),
            ("/ir/binds/1/listeners/1/hostname", "\"one.example\""),
        ],
    },
    Probe {
        feature: "GatewayInfrastructure",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: labelled, namespace: a}
spec:
  gatewayClassName: sluice
  infrastructure: {labels: {a: b}, annotations: {c: d}}
  listeners: [{name: web, port: 8081, protocol: HTTP}]
",
        wants: &[("/ir/binds/2/port", "8081")],
    },
    probe(
        "GatewayPort8080",
        "rules: [{backendRefs: [{name: s, port: 80}]}]",
        &[("/ir/binds/1/port", "8080")],
    ),
    probe(
        "GatewayRouteHostnameIntersectionPrecedence",
        "hostnames: [\"*.example.com\"]\nrules: [{backendRefs: [{name: s, port: 80}]}]",
        &[("/ir/binds/0/listeners/1/routes/0/hostnames/0/original", "\"*.example.com\"")],
    ),
    Probe {
        feature: "GatewayStaticAddresses",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: static, namespace: a}
spec:
  gatewayClassName: sluice
  addresses: [{type: IPAddress, value: 10.9.0.1}, {value: 'fd00::9'}]
  listeners: [{name: web, port: 8081, protocol: HTTP}]
",
        wants: &[
            ("/ir/binds/2/address/Ip", "\"10.9.0.1\""),
            ("/ir/binds/3/address/Ip", "\"fd00::9\""),
        ],
    },
];
