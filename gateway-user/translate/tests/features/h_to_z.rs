//! Probes of features whose names begin with H to Z.

use crate::{Probe, probe};

/// In the order of names.
pub(crate) const PROBES: &[Probe] = &[
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
