//! Every feature that is claimed is translated into something that the data plane does.

mod common;

use gateway_translate::{TranslateOptions, Translation, translate};
use serde_json::Value;

const WORLD: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: web, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: foo, port: 80, protocol: HTTP, hostname: "*.foo.example.com"}
  - {name: alt, port: 8080, protocol: HTTP}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: a}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: b}
spec: {ports: [{name: http, port: 80}]}
"#;

/// A claimed feature, the route (`spec` but for parentRefs) or objects that use it, and what must be in the
/// translation.
struct Probe {
    feature: &'static str,
    route: &'static str,
    more: &'static str,
    /// JSON pointers into `{ir, tls}` and the text there.
    wants: &'static [(&'static str, &'static str)],
}

const RULE: &str = "/ir/routes/0/rules/0";

const fn probe(
    feature: &'static str,
    route: &'static str,
    wants: &'static [(&'static str, &'static str)],
) -> Probe {
    Probe { feature, route, more: "", wants }
}

const fn grpc_probe(
    feature: &'static str,
    more: &'static str,
    wants: &'static [(&'static str, &'static str)],
) -> Probe {
    Probe { feature, route: "", more, wants }
}

/// Pointers below the first rule unless they begin at the top.
const PROBES: &[Probe] = &[
    Probe {
        feature: "BackendTLSPolicy",
        route: "rules: [{backendRefs: [{name: s, port: 80}]}]",
        more: concat!(
            include_str!("common/trust.yaml"),
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
            include_str!("common/trust.yaml"),
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
            include_str!("common/trust.yaml"),
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
            include_str!("common/trust.yaml"),
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
            include_str!("common/trust.yaml"),
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
            include_str!("common/trust.yaml"),
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
    probe("HTTPRoute", "rules: [{backendRefs: [{name: s, port: 80}]}]", &[("/action/Forward/0/weight", "1")]),
    probe(
        "HTTPRoute303RedirectStatusCode",
        "rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 303}}]}]",
        &[("/action/Redirect/status", "303")],
    ),
    probe(
        "HTTPRoute307RedirectStatusCode",
        "rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 307}}]}]",
        &[("/action/Redirect/status", "307")],
    ),
    probe(
        "HTTPRoute308RedirectStatusCode",
        "rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 308}}]}]",
        &[("/action/Redirect/status", "308")],
    ),
    Probe {
        feature: "HTTPRouteBackendProtocolH2C",
        route: "rules: [{backendRefs: [{name: plain, port: 80}]}]",
        more: "
apiVersion: v1
kind: Service
metadata: {name: plain, namespace: a}
spec: {ports: [{port: 80, appProtocol: kubernetes.io/h2c}]}
",
        wants: &[("/action/Forward/0/target/Cluster/protocol", "\"Http2\"")],
    },
    Probe {
        feature: "HTTPRouteBackendProtocolWebSocket",
        route: "rules: [{backendRefs: [{name: socket, port: 80}]}]",
        more: "
apiVersion: v1
kind: Service
metadata: {name: socket, namespace: a}
spec: {ports: [{port: 80, appProtocol: kubernetes.io/ws}]}
",
        wants: &[("/action/Forward/0/target/Cluster/service/name", "\"socket\"")],
    },
    probe(
        "HTTPRouteBackendRequestHeaderModification",
        "rules: [{backendRefs: [{name: s, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x, value: y}]}}]}]}]",
        &[("/action/Forward/0/filters/0/RequestHeaders/set/0/value", "\"y\"")],
    ),
    probe(
        "HTTPRouteBackendTimeout",
        "rules: [{timeouts: {backendRequest: 500ms}, backendRefs: [{name: s, port: 80}]}]",
        &[("/timeouts/backend_request_ms", "500")],
    ),
    probe(
        "HTTPRouteBackendURLRewrite",
        "rules: [{backendRefs: [{name: s, port: 80, filters: [{type: URLRewrite, urlRewrite: {hostname: b.example.com, path: {type: ReplaceFullPath, replaceFullPath: /x}}}]}]}]",
        &[
            ("/action/Forward/0/filters/0/UrlRewrite/host", "\"b.example.com\""),
            ("/action/Forward/0/filters/0/UrlRewrite/path/Full", "\"/x\""),
        ],
    ),
    probe(
        "HTTPRouteCORS",
        "rules: [{filters: [{type: CORS, cors: {allowOrigins: ['*']}}], backendRefs: [{name: s, port: 80}]}]",
        &[("/filters/0/Cors/origins/0", "\"*\""), ("/filters/0/Cors/max_age", "5")],
    ),
    Probe {
        feature: "HTTPRouteDestinationPortMatching",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: gw, port: 80}], rules: [{backendRefs: [{name: s, port: 80}]}]}
",
        wants: &[
            ("/ir/binds/0/listeners/0/routes/0/route/object/name", "\"r\""),
            ("/ir/binds/1/listeners/0/routes", "[]"),
        ],
    },
    probe(
        "HTTPRouteHostRewrite",
        "rules: [{filters: [{type: URLRewrite, urlRewrite: {hostname: b.example.com}}], backendRefs: [{name: s, port: 80}]}]",
        &[("/filters/0/UrlRewrite/host", "\"b.example.com\"")],
    ),
    probe(
        "HTTPRouteMethodMatching",
        "rules: [{matches: [{method: PATCH}], backendRefs: [{name: s, port: 80}]}]",
        &[("/matches/0/method", "\"PATCH\"")],
    ),
    probe(
        "HTTPRouteNamedRouteRule",
        "rules: [{name: first, backendRefs: [{name: s, port: 80}]}]",
        &[("/name", "\"first\"")],
    ),
    Probe {
        feature: "HTTPRouteParentRefPort",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: gw, port: 8080}], rules: [{backendRefs: [{name: s, port: 80}]}]}
",
        wants: &[
            ("/ir/binds/1/listeners/0/routes/0/route/object/name", "\"r\""),
            ("/ir/binds/0/listeners/0/routes", "[]"),
        ],
    },
    probe(
        "HTTPRoutePathRedirect",
        "rules: [{matches: [{path: {value: /a}}], filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}]",
        &[("/action/Redirect/path/Prefix", "\"/b\"")],
    ),
    probe(
        "HTTPRoutePathRewrite",
        "rules: [{matches: [{path: {value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}], backendRefs: [{name: s, port: 80}]}]",
        &[("/filters/0/UrlRewrite/path/Prefix", "\"/b\"")],
    ),
    probe(
        "HTTPRoutePortRedirect",
        "rules: [{filters: [{type: RequestRedirect, requestRedirect: {port: 8083}}]}]",
        &[("/action/Redirect/port", "8083")],
    ),
    probe(
        "HTTPRouteQueryParamMatching",
        "rules: [{matches: [{queryParams: [{name: k, value: v}]}], backendRefs: [{name: s, port: 80}]}]",
        &[("/matches/0/query/0/value/Exact", "\"v\"")],
    ),
    probe(
        "HTTPRouteRequestMirror",
        "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 80}}}], backendRefs: [{name: s, port: 80}]}]",
        &[("/filters/0/Mirror/cluster/service/name", "\"s\"")],
    ),
    probe(
        "HTTPRouteRequestMultipleMirrors",
        "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 80}}},
          {type: RequestMirror, requestMirror: {backendRef: {name: s, port: 80}}}], backendRefs: [{name: s, port: 80}]}]",
        &[("/filters/1/Mirror/cluster/service/name", "\"s\"")],
    ),
    probe(
        "HTTPRouteRequestPercentageMirror",
        "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 80}, percent: 20}}], backendRefs: [{name: s, port: 80}]}]",
        &[("/filters/0/Mirror/share/numerator", "20"), ("/filters/0/Mirror/share/denominator", "100")],
    ),
    probe(
        "HTTPRouteRequestTimeout",
        "rules: [{timeouts: {request: 1s}, backendRefs: [{name: s, port: 80}]}]",
        &[("/timeouts/request_ms", "1000")],
    ),
    probe(
        "HTTPRouteResponseHeaderModification",
        "rules: [{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server]}}], backendRefs: [{name: s, port: 80}]}]",
        &[("/filters/0/ResponseHeaders/remove/0", "\"server\"")],
    ),
    probe(
        "HTTPRouteRetryCodes",
        "rules: [{retry: {codes: [503, 500], attempts: 2, backoff: 100ms}, backendRefs: [{name: s, port: 80}]}]",
        &[("/retry/codes", "[500,503]"), ("/retry/attempts", "2"), ("/retry/backoff_ms", "100")],
    ),
    probe(
        "HTTPRouteRetryConnectionError",
        "rules: [{retry: {}, backendRefs: [{name: s, port: 80}]}]",
        &[("/retry/attempts", "1"), ("/retry/backoff_ms", "25")],
    ),
    probe(
        "HTTPRouteSchemeRedirect",
        "rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}]",
        &[("/action/Redirect/scheme", "\"https\"")],
    ),
    Probe {
        feature: "ListenerSet",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec: {gatewayClassName: sluice, allowedListeners: {namespaces: {from: All}}, listeners: [{name: web, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: a}
spec: {parentRef: {name: gw}, listeners: [{name: web, port: 80, protocol: HTTP, hostname: b.example.com}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{kind: ListenerSet, name: more, sectionName: web}], rules: [{backendRefs: [{name: s, port: 80}]}]}
",
        wants: &[
            ("/ir/binds/0/listeners/1/id/listener", "\"a/more/web\""),
            ("/ir/binds/0/listeners/1/routes/0/route/object/name", "\"r\""),
            ("/ir/binds/0/listeners/0/routes", "[]"),
        ],
    },
    Probe {
        feature: "ReferenceGrant",
        route: "rules: [{backendRefs: [{name: s, namespace: b, port: 80}]}]",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: g, namespace: b}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}]
  to: [{group: '', kind: Service}]
",
        wants: &[("/action/Forward/0/target/Cluster/service/namespace", "\"b\"")],
    },
    Probe {
        feature: "TCPRoute",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l4, namespace: a}
spec: {gatewayClassName: sluice, listeners: [{name: pg, port: 5432, protocol: TCP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: l4}], rules: [{backendRefs: [{name: s, port: 80, weight: 3}]}]}
",
        wants: &[
            ("/ir/routes/0/rule/backends/0/weight", "3"),
            ("/ir/routes/0/rule/backends/0/target/Cluster/protocol", "\"Tcp\""),
            ("/ir/binds/1/listeners/0/serve", "\"Tcp\""),
        ],
    },
    Probe {
        feature: "TLSRoute",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l4, namespace: a}
spec: {gatewayClassName: sluice, listeners: [{name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: l4}], hostnames: [a.example], rules: [{backendRefs: [{name: s, port: 80}]}]}
",
        wants: &[
            ("/ir/routes/0/rule/backends/0/target/Cluster/protocol", "\"Tcp\""),
            ("/ir/binds/1/listeners/0/serve", "\"TlsPassthrough\""),
            ("/ir/binds/1/listeners/0/routes/0/hostnames/0/effective", "\"a.example\""),
        ],
    },
    Probe {
        feature: "TLSRouteModeMixed",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l4, namespace: a}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: ends, port: 443, hostname: a.example, protocol: TLS, tls: {certificateRefs: [{name: missing}]}}
  - {name: passes, port: 443, hostname: b.example, protocol: TLS, tls: {mode: Passthrough}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: l4}], hostnames: ['*.example'], rules: [{backendRefs: [{name: s, port: 80}]}]}
",
        wants: &[
            ("/ir/binds/1/listeners/0/serve", "\"TlsTerminate\""),
            ("/ir/binds/1/listeners/0/routes/0/hostnames/0/effective", "\"a.example\""),
            ("/ir/binds/1/listeners/1/serve", "\"TlsPassthrough\""),
            ("/ir/binds/1/listeners/1/routes/0/hostnames/0/effective", "\"b.example\""),
        ],
    },
    Probe {
        feature: "TLSRouteModeTerminate",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l4, namespace: a}
spec:
  gatewayClassName: sluice
  listeners: [{name: tls, port: 443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: missing}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: l4}], hostnames: [a.example], rules: [{backendRefs: [{name: s, port: 80}]}]}
",
        wants: &[("/ir/binds/1/listeners/0/serve", "\"TlsTerminate\"")],
    },
    Probe {
        feature: "UDPRoute",
        route: "",
        more: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l4, namespace: a}
spec: {gatewayClassName: sluice, listeners: [{name: dns, port: 5353, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: a}
spec: {ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: r, namespace: a}
spec: {parentRefs: [{name: l4}], rules: [{backendRefs: [{name: dns, port: 53, weight: 3}]}]}
",
        wants: &[
            ("/ir/routes/0/rule/backends/0/weight", "3"),
            ("/ir/routes/0/rule/backends/0/target/Cluster/protocol", "\"Udp\""),
            ("/ir/binds/1/listeners/0/serve", "\"Udp\""),
        ],
    },
];

fn run(route: &str, more: &str) -> Translation {
    let mut text = WORLD.to_owned();
    if !route.is_empty() {
        let spec: String = route.lines().map(|line| format!("  {line}\n")).collect();
        text += &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r, namespace: a}}\nspec:\n  \
             parentRefs: [{{name: gw}}]\n{spec}"
        );
    }
    if !more.is_empty() {
        text += &format!("---{more}");
    }
    translate(&common::resources(&text), &TranslateOptions::default())
}

fn claimed(translation: &Translation) -> Vec<String> {
    let class = &translation.status.gateway_classes["sluice"];
    class.supported_features.iter().map(|feature| feature.name.clone()).collect()
}

fn accepted(translation: &Translation) -> String {
    let status = common::status(&translation.status);
    let kinds = ["HTTPRoute a/r", "GRPCRoute a/r", "TCPRoute a/r", "TLSRoute a/r", "UDPRoute a/r"];
    let route = kinds.into_iter().find_map(|name| status.get(name));
    let parents = route.unwrap().as_object().unwrap();
    parents.values().next().unwrap()["Accepted"].as_str().unwrap().to_owned()
}

#[test]
fn every_claimed_feature_has_a_probe_and_no_other() {
    let probed: Vec<&str> = PROBES.iter().map(|probe| probe.feature).collect();
    assert_eq!(claimed(&run("", "")), probed);
}

#[test]
fn every_claimed_feature_reaches_the_tables() {
    for Probe { feature, route, more, wants } in PROBES {
        let translation = run(route, more);
        assert!(accepted(&translation).starts_with("True"), "{feature}: {}", accepted(&translation));
        let document: Value =
            serde_json::json!({ "ir": &translation.ir, "tls": common::backend_tls(&translation) });
        for (pointer, want) in *wants {
            let pointer = if ["/ir", "/tls"].iter().any(|top| pointer.starts_with(top)) {
                (*pointer).to_owned()
            } else {
                format!("{RULE}{pointer}")
            };
            let got = document.pointer(&pointer).map(Value::to_string);
            assert_eq!(got.as_deref(), Some(*want), "{feature}: {pointer} in {document:#}");
        }
    }
}
