//! Every rule of every CRD has an object that breaks it and one that keeps it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Kind;
use crate::load::tree::{Node, Tree};
use crate::load::{Position, yaml};
use crate::schema::{self, Schema, defaults, rules};

/// One right object per kind that has rules.
const RIGHT: &[(Kind, &str)] = &[
    (Kind::Gateway, "{spec: {gatewayClassName: c, addresses: [], infrastructure: {labels: {a: b}, annotations: {a.b/c: d}},
        tls: {frontend: {default: {}, perPort: [{port: 8443, tls: {}}]}},
        listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 443, protocol: HTTPS, hostname: b.c,
            tls: {certificateRefs: [{name: s}]}, filters: {requests: [{type: ExtensionRef,
            extensionRef: {group: g, kind: K, name: n}}]}}]}, status: {}}"),
    (Kind::GatewayConfig, "{spec: {nodes: {matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: Exists, values: []}]}}}"),
    (Kind::ListenerSet, "{spec: {parentRef: {name: g}, listeners: [{name: a, port: 80, protocol: HTTP}]}}"),
    (Kind::HttpRoute, "{spec: {parentRefs: [{name: g}], rules: [{name: r, matches: [{path: {value: /a}}], filters: [],
        timeouts: {request: 10s, backendRequest: 5s}, sessionPersistence: {cookie: {}},
        backendRefs: [{name: s, port: 80, filters: []}]}]}}"),
    (Kind::GrpcRoute, "{spec: {parentRefs: [{name: g}], rules: [{name: r, matches: [{method: {service: a.B, method: C}}],
        filters: [], sessionPersistence: {cookie: {}}, backendRefs: [{name: s, port: 80}]}]}}"),
    (Kind::TlsRoute, "{spec: {parentRefs: [{name: g}], hostnames: [a.b, '*.c.d'], rules: [{backendRefs: [{name: s, port: 1}]}]}}"),
    (Kind::TcpRoute, "{spec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: s, port: 1}]}]}}"),
    (Kind::UdpRoute, "{spec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: s, port: 1}]}]}}"),
    (Kind::BackendTlsPolicy, "{spec: {targetRefs: [{group: '', kind: Service, name: s}],
        validation: {hostname: a.b, wellKnownCACertificates: System, subjectAltNames: []}}}"),
    (Kind::XBackend, "{spec: {type: ExternalHostname, externalHostname: {hostname: a.b}, port: {number: 80}}}"),
    (Kind::XBackendTrafficPolicy, "{spec: {targetRefs: [{group: '', kind: Service, name: s}], retryConstraint: {}}}"),
    (Kind::XTelemetryPolicy, "{spec: {targetRefs: [{group: g, kind: Gateway, name: s}], tracing: {mode: Enabled,
        provider: {backendRef: {name: s, port: 80}}, attributes: [{name: a, sourceType: Header, headerName: h}]}}}"),
];

/// Values that keep every rule, each put into the right object of its kind.
const KEPT: &[(Kind, &str, &str)] = &[
    // A label may be called what CEL reserves for itself.
    (Kind::Gateway, "spec.infrastructure.labels", "{namespace: a, in: b}"),
    (Kind::Gateway, "spec.addresses", "[{value: 10.0.0.1, routability: Cluster}, {value: 10.0.0.2, routability: a.b/c},
        {type: Hostname, value: '*.a.b'}, {type: Hostname}]"),
    (Kind::Gateway, "spec.listeners", "[{name: a, port: 80, protocol: TCP}, {name: b, port: 80, protocol: UDP},
        {name: c, port: 443, protocol: TLS, tls: {mode: Passthrough}},
        {name: d, port: 444, protocol: TLS, tls: {mode: Terminate, options: {a.b/c: d}}}]"),
    (Kind::Gateway, "spec.listeners.1.filters.requests", "[{type: ExternalAuth, externalAuth: {protocol: GRPC, grpc: {},
        backendRef: {group: gateway.networking.x-k8s.io, kind: XBackend, name: b}}}]"),
    (Kind::HttpRoute, "spec.parentRefs", "[{name: g, sectionName: a}, {name: g, sectionName: b}, {name: g, namespace: n}]"),
    (Kind::HttpRoute, "spec.parentRefs", "[{name: g, port: 80}, {name: g, port: 81}]"),
    (Kind::HttpRoute, "spec.rules.0.matches", "[{path: {type: RegularExpression, value: '^//#$'}}]"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch,
        replacePrefixMatch: /}}}]"),
    (Kind::HttpRoute, "spec.rules.0.timeouts", "{request: 0s, backendRequest: 5s}"),
    (Kind::HttpRoute, "spec.rules.0.timeouts", "{request: 1m30s, backendRequest: 90s}"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS, cors: {allowOrigins: ['*'], allowMethods: [GET, PUT]}}]"),
    (Kind::HttpRoute, "spec.rules.0.sessionPersistence", "{absoluteTimeout: 1h, cookie: {lifetimeType: Permanent}}"),
    (Kind::GrpcRoute, "spec.rules.0.matches", "[{method: {type: RegularExpression, service: '.*-'}}, {}]"),
    (Kind::BackendTlsPolicy, "spec.targetRefs", "[{group: '', kind: Service, name: s, sectionName: a},
        {group: '', kind: Service, name: s, sectionName: b}]"),
    (Kind::BackendTlsPolicy, "spec.validation.subjectAltNames", "[{type: URI, uri: 'spiffe://a/b'}]"),
    (Kind::XBackend, "spec", "{type: EndpointSelector, endpointSelector: {matchLabels: {a.b/C: d}}, port: {number: 80},
        protocol: HTTP2, sessionPersistence: {cookie: {}}, tls: {mode: ClientAndServer, clientCertificateRef: {name: s},
        validation: {hostname: a.b, wellKnownCACertificates: System}}}"),
    (Kind::GatewayConfig, "spec", "{defaults: {clientHeaderTimeout: 60m, clientIdleTimeout: 60m, clientBodyTimeout: 60m,
        clientSendTimeout: 60m, requestTimeout: 60m, maxRequestTimeout: 60m, upstreamResponseTimeout: 60m,
        upstreamBodyTimeout: 60m, grpcIdleTimeout: 60m, tunnelIdleTimeout: 60m, maxHeaderBytes: 512,
        maxHeaders: 8}, maxima: {clientHeaderTimeout: 1h, clientIdleTimeout: 1h, clientBodyTimeout: 1h,
        clientSendTimeout: 1h, requestTimeout: 1h, maxRequestTimeout: 1h, upstreamResponseTimeout: 1h,
        upstreamBodyTimeout: 1h, grpcIdleTimeout: 1h, tunnelIdleTimeout: 1h, maxHeaderBytes: 512,
        maxHeaders: 8}}"),
    (Kind::GatewayConfig, "spec", "{settings: {clientIdleTimeout: 1ms, accessLog: false}}"),
    (Kind::XBackendTrafficPolicy, "spec.retryConstraint", "{budget: {interval: 1h}, minRetryRate: {count: 1, interval: 500ms}}"),
];

/// Values that break a rule: where they go, and the message they get.
#[rustfmt::skip]
const BROKEN: &[(Kind, &str, &str, &str)] = &[
    (Kind::BackendTlsPolicy, "spec.targetRefs", "[{group: '', kind: Service, name: s}, {group: '', kind: Service, name: s, sectionName: a}]", "sectionName must be specified when targetRefs includes"),
    (Kind::BackendTlsPolicy, "spec.targetRefs", "[{group: '', kind: Service, name: s}, {group: '', kind: Service, name: s}]", "sectionName must be unique when targetRefs includes"),
    (Kind::BackendTlsPolicy, "spec.validation.caCertificateRefs", "[{group: '', kind: ConfigMap, name: c}]", "exactly one of the fields in [caCertificateRefs"),
    (Kind::BackendTlsPolicy, "spec.validation.subjectAltNames", "[{type: Hostname}]", "must contain Hostname, if Type is set"),
    (Kind::BackendTlsPolicy, "spec.validation.subjectAltNames", "[{type: URI, uri: 'a://b', hostname: a.b}]", "must not contain Hostname, if Type is not"),
    (Kind::BackendTlsPolicy, "spec.validation.subjectAltNames", "[{type: URI}]", "must contain URI, if Type is set"),
    (Kind::BackendTlsPolicy, "spec.validation.subjectAltNames", "[{type: Hostname, uri: 'a://b', hostname: a.b}]", "must not contain URI, if Type is not"),
    (Kind::Gateway, "spec.addresses", "[{value: 10.0.0.1}, {value: 10.0.0.1}]", "IPAddress values must be unique"),
    (Kind::Gateway, "spec.addresses", "[{type: Hostname, value: a.b}, {type: Hostname, value: a.b}]", "Hostname values must be unique"),
    (Kind::Gateway, "spec.addresses", "[{type: Hostname, value: A_B}]", "Hostname value must be empty or contain only valid"),
    (Kind::Gateway, "spec.addresses", "[{value: 10.0.0.1, routability: Everywhere}]", "Routability must be empty, Cluster, or"),
    (Kind::Gateway, "spec.addresses", "[{value: 10.0.0.1, routability: a.k8s.io/b}]", "k8s.io and its subdomains are reserved"),
    (Kind::Gateway, "spec.infrastructure.annotations", "{'a b': c}", "Annotation keys must be in the form"),
    (Kind::Gateway, "spec.infrastructure.annotations", "{LONG/a: c}", "annotation key's prefix must be a DNS subdomain not longer"),
    (Kind::Gateway, "spec.infrastructure.labels", "{'a b': c}", "Label keys must be in the form"),
    (Kind::Gateway, "spec.infrastructure.labels", "{LONG/a: c}", "label key's prefix must be a DNS subdomain not longer"),
    (Kind::Gateway, "spec.listeners.0.tls", "{mode: Passthrough}", "tls must not be specified for protocols"),
    (Kind::Gateway, "spec.listeners.1.tls", "{mode: Passthrough}", "tls mode must be Terminate for protocol HTTPS"),
    (Kind::Gateway, "spec.listeners.0.protocol", "TLS", "tls mode must be set for protocol TLS"),
    (Kind::Gateway, "spec.listeners.0", "{name: a, port: 1, protocol: TCP, hostname: a.b}", "hostname must not be specified for protocols"),
    (Kind::Gateway, "spec.listeners.1.name", "a", "Listener name must be unique"),
    (Kind::Gateway, "spec.listeners.1", "{name: z, port: 80, protocol: HTTP}", "Combination of port, protocol and hostname must be unique"),
    (Kind::GatewayConfig, "spec.nodes.matchExpressions.0", "{key: a, operator: NotIn, values: []}", "operators In and NotIn need at least one value"),
    (Kind::GatewayConfig, "spec.nodes.matchExpressions.1", "{key: a, operator: DoesNotExist, values: [b]}", "operators Exists and DoesNotExist take no values"),
    (Kind::GatewayConfig, "spec", "{defaults: {clientHeaderTimeout: 1h1m, clientIdleTimeout: 1h1m, clientBodyTimeout: 1h1m, clientSendTimeout: 1h1m, requestTimeout: 1h1m, maxRequestTimeout: 1h1m, upstreamResponseTimeout: 1h1m, upstreamBodyTimeout: 1h1m, grpcIdleTimeout: 1h1m, tunnelIdleTimeout: 1h1m, maxHeaderBytes: 512, maxHeaders: 9}, maxima: {clientHeaderTimeout: 1h, clientIdleTimeout: 1h, clientBodyTimeout: 1h, clientSendTimeout: 1h, requestTimeout: 1h, maxRequestTimeout: 1h, upstreamResponseTimeout: 1h, upstreamBodyTimeout: 1h, grpcIdleTimeout: 1h, tunnelIdleTimeout: 1h, maxHeaderBytes: 511, maxHeaders: 8}}", "defaults.maxHeaders is above maxima.maxHeaders"),
    (Kind::GatewayConfig, "spec", "{settings: {clientIdleTimeout: 0s}}", "write a duration above zero"),
    (Kind::GatewayConfig, "spec", "{settings: {}, maxima: {}}", "a GatewayConfig is a Gateway's, with settings, or a GatewayClass's"),
    (Kind::GatewayConfig, "spec", "{workers: 4}", "workers belong to a process and serve all Gateways"),
    (Kind::ListenerSet, "spec.listeners", "[{name: a, port: 80, protocol: HTTP, hostname: h}, {name: b, port: 80, protocol: HTTP, hostname: h}]", "Combination of port, protocol and hostname must be unique"),
    (Kind::Gateway, "spec.listeners.1.protocol", "TLS", "filters may only be set when protocol is HTTP or HTTPS"),
    (Kind::Gateway, "spec.listeners.1.filters.requests.0.externalAuth", "{protocol: GRPC, grpc: {}, backendRef: {name: s, port: 1}}", "filter.externalAuth must be nil"),
    (Kind::Gateway, "spec.listeners.1.filters.requests", "[{type: ExternalAuth}]", "filter.externalAuth must be specified"),
    (Kind::Gateway, "spec.listeners.1.filters.requests.0.type", "ExternalAuth", "filter.extensionRef must be nil"),
    (Kind::Gateway, "spec.listeners.1.filters.requests", "[{type: ExtensionRef}]", "filter.extensionRef must be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: ExternalAuth, externalAuth: {protocol: GRPC, http: {}, backendRef: {name: s, port: 1}}}]", "grpc must be specified when protocol is set to 'GRPC'"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: ExternalAuth, externalAuth: {protocol: GRPC, http: {}, backendRef: {name: s, port: 1}}}]", "protocol must be 'HTTP' when http is set"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: ExternalAuth, externalAuth: {protocol: HTTP, grpc: {}, backendRef: {name: s, port: 1}}}]", "http must be specified when protocol is set to 'HTTP'"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: ExternalAuth, externalAuth: {protocol: HTTP, grpc: {}, backendRef: {name: s, port: 1}}}]", "protocol must be 'GRPC' when grpc is set"),
    (Kind::HttpRoute, "spec.rules.0.backendRefs", "[{name: s}]", "Must have port for Service reference"),
    (Kind::UdpRoute, "spec.rules.0.backendRefs", "[{name: s}]", "Must have port for Service reference"),
    (Kind::TcpRoute, "spec.rules.0.backendRefs", "[{group: gateway.networking.x-k8s.io, kind: XBackend, name: b, port: 1}]", "Must not have port for Backend reference"),
    (Kind::Gateway, "spec.listeners.1.tls", "{mode: Terminate}", "certificateRefs or options must be specified when mode is Terminate"),
    (Kind::Gateway, "spec.tls.frontend.default.validation", "{caCertificateRefs: [{group: certificates.k8s.io, kind: ClusterTrustBundle, name: n, namespace: n}]}", "ClusterTrustBundle references must not specify namespace"),
    (Kind::Gateway, "spec.tls.frontend.perPort", "[{port: 1, tls: {}}, {port: 1, tls: {}}]", "Port for TLS configuration must be unique"),
    (Kind::Gateway, "status.addresses", "[{type: Hostname, value: A_B}]", "Hostname value must only contain valid characters"),
    (Kind::HttpRoute, "spec.parentRefs", "[{name: g}, {name: g, sectionName: a}]", "sectionName or port must be specified when parentRefs includes"),
    (Kind::TlsRoute, "spec.parentRefs", "[{name: g, namespace: n}, {name: g, namespace: n}]", "sectionName or port must be unique when parentRefs includes"),
    (Kind::HttpRoute, "spec.rules", "129", "total number of matches across all rules in a route must be less than 128"),
    (Kind::GrpcRoute, "spec.rules", "129", "total number of matches across all rules in a route must be less than 128"),
    (Kind::GrpcRoute, "spec.rules", "[{name: a}, {}, {}, {name: a}]", "Rule name must be unique within the route"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: RequestHeaderModifier, requestHeaderModifier: {}}, {type: RequestHeaderModifier, requestHeaderModifier: {}}]", "RequestHeaderModifier filter cannot be repeated"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: ResponseHeaderModifier, responseHeaderModifier: {}}, {type: ResponseHeaderModifier, responseHeaderModifier: {}}]", "ResponseHeaderModifier filter cannot be repeated"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: ResponseHeaderModifier, requestHeaderModifier: {}}]", "filter.requestHeaderModifier must be nil"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: RequestHeaderModifier, responseHeaderModifier: {}}]", "filter.requestHeaderModifier must be specified"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: RequestHeaderModifier, responseHeaderModifier: {}}]", "filter.responseHeaderModifier must be nil"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: ResponseHeaderModifier, requestHeaderModifier: {}}]", "filter.responseHeaderModifier must be specified"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: ExtensionRef, requestMirror: {backendRef: {name: s, port: 1}}}]", "filter.requestMirror must be nil"),
    (Kind::GrpcRoute, "spec.rules.0.filters", "[{type: RequestMirror}]", "filter.requestMirror must be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: RequestMirror, requestMirror: {percent: 1, fraction: {numerator: 1}, backendRef: {name: s, port: 1}}}]", "Only one of percent or fraction may be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: RequestMirror, requestMirror: {fraction: {numerator: 101}, backendRef: {name: s, port: 1}}}]", "numerator must be less than or equal to denominator"),
    (Kind::GrpcRoute, "spec.rules.0.matches", "[{method: {type: Exact}}]", "One or both of 'service' or 'method' must be specified"),
    (Kind::GrpcRoute, "spec.rules.0.matches", "[{method: {service: a/b}}]", "service must only contain valid characters"),
    (Kind::GrpcRoute, "spec.rules.0.matches", "[{method: {method: a.b}}]", "method must only contain valid characters"),
    (Kind::HttpRoute, "spec.rules.0.sessionPersistence", "{cookie: {lifetimeType: Permanent}}", "AbsoluteTimeout must be specified"),
    (Kind::HttpRoute, "spec.rules.0.sessionPersistence", "{type: Header, cookie: {}}", "cookie must be nil if type is not Cookie"),
    (Kind::HttpRoute, "spec.rules.0.sessionPersistence", "{}", "cookie must be specified for Cookie type"),
    (Kind::HttpRoute, "spec.rules.0.sessionPersistence", "{cookie: {}, header: {name: h}}", "header must be nil if type is not Header"),
    (Kind::HttpRoute, "spec.rules.0.sessionPersistence", "{type: Header}", "header must be specified for Header type"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: RequestRedirect, requestRedirect: {}}]", "RequestRedirect filter must not be used together with backendRefs"),
    (Kind::HttpRoute, "spec.rules.0", "{matches: [{}, {}], filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}", "When using RequestRedirect filter with path.replacePrefixMatch"),
    (Kind::HttpRoute, "spec.rules.0", "{matches: [{path: {type: Exact}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}", "When using URLRewrite filter with path.replacePrefixMatch"),
    (Kind::HttpRoute, "spec.rules.0", "{matches: [{}, {}], backendRefs: [{name: s, port: 1, filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]}", "Within backendRefs, when using RequestRedirect"),
    (Kind::HttpRoute, "spec.rules.0", "{matches: [{}, {}], backendRefs: [{name: s, port: 1, filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]}", "Within backendRefs, When using URLRewrite"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]", "May specify either httpRouteFilterRequestRedirect or"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS, cors: {}}, {type: CORS, cors: {}}]", "CORS filter cannot be repeated"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: RequestRedirect, requestRedirect: {}}, {type: RequestRedirect, requestRedirect: {}}]", "RequestRedirect filter cannot be repeated"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]", "URLRewrite filter cannot be repeated"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite, cors: {}}]", "filter.cors must be nil"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS}]", "filter.cors must be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS, requestRedirect: {}}]", "filter.requestRedirect must be nil"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: RequestRedirect}]", "filter.requestRedirect must be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS, urlRewrite: {}}]", "filter.urlRewrite must be nil"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite}]", "filter.urlRewrite must be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS, cors: {allowHeaders: [a, '*']}}]", "AllowHeaders cannot contain '*'"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS, cors: {allowMethods: ['*', GET]}}]", "AllowMethods cannot contain '*'"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: CORS, cors: {allowOrigins: ['*', 'http://a']}}]", "AllowOrigins cannot contain '*'"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]", "replaceFullPath must be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replaceFullPath: /}}}]", "type must be 'ReplaceFullPath'"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch}}}]", "replacePrefixMatch must be specified"),
    (Kind::HttpRoute, "spec.rules.0.filters", "[{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replacePrefixMatch: /}}}]", "type must be 'ReplacePrefixMatch'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "a", "value must be an absolute path"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "/a//b", "must not contain '//'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "/a/./b", "must not contain '/./'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "/a/../b", "must not contain '/../'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "/a%2fb", "must not contain '%2f'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "/a%2Fb", "must not contain '%2F'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "'/a#b'", "must not contain '#'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "/a/..", "must not end with '/..'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "/a/.", "must not end with '/.'"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.type", "Glob", "type must be one of ['Exact', 'PathPrefix', 'RegularExpression']"),
    (Kind::HttpRoute, "spec.rules.0.matches.0.path.value", "'/a b'", "must only contain valid characters"),
    (Kind::HttpRoute, "spec.rules.0.timeouts.backendRequest", "11s", "backendRequest timeout cannot be longer than request timeout"),
    (Kind::TlsRoute, "spec.hostnames", "[10.0.0.1]", "Hostnames cannot contain an IP"),
    (Kind::TlsRoute, "spec.hostnames", "[a_b]", "Hostnames must be valid based on RFC-1123"),
    (Kind::TlsRoute, "spec.hostnames", "[a.*.b]", "Wildcards on hostnames must be the first label"),
    (Kind::XBackend, "spec.type", "EndpointSelector", "externalHostname must be set when type is ExternalHostname"),
    (Kind::XBackend, "spec.endpointSelector", "{matchLabels: {a: b}}", "endpointSelector must be set when type is EndpointSelector"),
    (Kind::XBackend, "spec", "{protocol: H2C, tls: {mode: ServerOnly}}", "tls must be disabled when protocol is H2C"),
    (Kind::XBackend, "spec.protocol", "HTTP2", "tls must be enabled when protocol is HTTP2"),
    (Kind::XBackend, "spec.protocol", "WSS", "tls must be enabled when protocol is WSS"),
    (Kind::XBackend, "spec.sessionPersistence", "{cookie: {}}", "sessionPersistence can only be set when type is EndpointSelector"),
    (Kind::XBackend, "spec.endpointSelector", "{matchLabels: {/a: b}}", "Label keys must be in the form of an optional DNS subdomain prefix not longer"),
    (Kind::XBackend, "spec.externalHostname.hostname", "s.n.svc.cluster.local", "hostname must not be an IP address or end with .cluster.local"),
    (Kind::XBackend, "spec.tls", "{mode: None, clientCertificateRef: {name: s}}", "clientCertificateRef must be set if and only if"),
    (Kind::XBackend, "spec.tls", "{mode: ServerOnly}", "validation must be set if and only if mode is either"),
    (Kind::XBackendTrafficPolicy, "spec.retryConstraint.budget", "{interval: 500ms}", "interval cannot be greater than one hour or less than one second"),
    (Kind::XBackendTrafficPolicy, "spec.retryConstraint.minRetryRate", "{interval: 2h}", "interval cannot be greater than one hour"),
    (Kind::XTelemetryPolicy, "spec", "{targetRefs: []}", "at least one of the fields in [tracing] must be set"),
    (Kind::XTelemetryPolicy, "spec.tracing.mode", "Disabled", "provider is required when mode is Enabled"),
    (Kind::XTelemetryPolicy, "spec.tracing", "{samplingRate: {numerator: 1}}", "samplingRate can only be set when mode is Enabled"),
    (Kind::XTelemetryPolicy, "spec.tracing", "{parentBasedSampling: {}}", "parentBasedSampling can only be set when mode is Enabled"),
    (Kind::XTelemetryPolicy, "spec.tracing", "{serviceName: a}", "serviceName can only be set when mode is Enabled"),
    (Kind::XTelemetryPolicy, "spec.tracing", "{spanName: a}", "spanName can only be set when mode is Enabled"),
    (Kind::XTelemetryPolicy, "spec.tracing", "{attributes: []}", "attributes can only be set when mode is Enabled"),
    (Kind::XTelemetryPolicy, "spec.tracing.attributes.0", "{sourceType: Header}", "headerName is required when sourceType is Header"),
    (Kind::XTelemetryPolicy, "spec.tracing.attributes.0", "{sourceType: Literal}", "literalValue is required when sourceType is Literal"),
    (Kind::XTelemetryPolicy, "spec.tracing.attributes.0", "{sourceType: Attribute}", "attributeKey is required when sourceType is Attribute"),
];

fn parse(text: &str) -> Node {
    // 129 matches in three rules; a DNS subdomain of 255 characters.
    let rule = |n: usize| format!("{{matches: [{}]}}", vec!["{}"; n].join(", "));
    let text = match text {
        "129" => format!("[{}, {}, {}]", rule(64), rule(64), rule(1)),
        _ => text.replace("LONG", &vec!["a"; 128].join(".")),
    };
    yaml::documents(&text).remove(0).expect("YAML")
}

/// The right object of a kind, with `value` at `path`.
fn object(kind: Kind, path: &str, value: &str) -> Node {
    let right = RIGHT.iter().find(|(k, _)| *k == kind).expect("a right object").1;
    let mut root = parse(right).to_value();
    let mut target = &mut root;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        target = match step.parse::<usize>() {
            Ok(index) => &mut target[index],
            Err(_) => &mut target[step],
        };
    }
    if !path.is_empty() {
        *target = parse(value).to_value();
    }
    Node::from_value(&root, Position::default())
}

fn schema_of(kind: Kind) -> &'static Schema {
    schema::of(kind, kind.version()).expect("a schema")
}

#[test]
fn right_objects_keep_every_rule() {
    let plain = RIGHT.iter().map(|(kind, _)| (*kind, "", ""));
    for (kind, path, value) in plain.chain(KEPT.iter().copied()) {
        let mut node = object(kind, path, value);
        if let Tree::Map(_) = node.tree {
            for field in [("apiVersion", kind.api_version()), ("kind", kind.as_str())] {
                node.put(field.0, Tree::String { text: field.1.to_owned(), ambiguous: false });
            }
        }
        let diagnostics = schema::apply(schema_of(kind), &mut node);
        assert!(diagnostics.is_empty(), "{kind} {path} {value}: {diagnostics:?}");
    }
}

/// Structure is not checked here: some rules say again what it says.
#[test]
fn every_rule_is_broken_by_some_object() {
    let mut broken = BTreeSet::new();
    for (kind, path, value, message) in BROKEN {
        let mut node = object(*kind, path, value);
        defaults::apply(schema_of(*kind), &mut node);
        let mut diagnostics = Vec::new();
        rules::check(schema_of(*kind), &node, &mut diagnostics);
        let messages: Vec<_> = diagnostics.into_iter().map(|v| v.message).collect();
        assert!(messages.iter().any(|m| m.contains(message)), "{kind} {path} {value}: {messages:?}");
        broken.extend(messages);
    }
    let mut missing: BTreeSet<String> = all_messages();
    assert!(missing.len() > 100, "the CRDs have more rules than {}", missing.len());
    // A computation that fails tells its reason behind the message.
    missing.retain(|m| !broken.iter().any(|b| b.starts_with(m)));
    assert_eq!(
        missing,
        BTreeSet::from(["field is immutable".to_owned()]),
        "rules without an object that breaks them"
    );
}

#[test]
fn every_rule_compiles_or_is_about_a_change() {
    let mut transitions = BTreeSet::new();
    for &kind in Kind::ALL {
        for version in kind.served_versions() {
            each_schema(schema::of(kind, version).expect("a schema"), &mut |schema| {
                for rule in &schema.rules {
                    assert_eq!(rule.compile_error(), None, "{}", rule.source);
                    if rule.is_transition() {
                        transitions.insert(rule.source.clone());
                    }
                }
            });
        }
    }
    assert_eq!(transitions, BTreeSet::from(["self == oldSelf".to_owned()]));
}

fn each_schema(schema: &Schema, then: &mut impl FnMut(&Schema)) {
    then(schema);
    let inner = schema.items.iter().chain(&schema.additional).map(|s| &**s);
    for inner in schema.properties.values().chain(inner) {
        each_schema(inner, then);
    }
}

/// The message of every rule, straight out of the files.
fn all_messages() -> BTreeSet<String> {
    fn collect(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
                into.extend(
                    rules.into_iter().flatten().filter_map(|r| r["message"].as_str().map(str::to_owned)),
                );
                map.values().for_each(|v| collect(v, into));
            }
            Value::Array(items) => items.iter().for_each(|v| collect(v, into)),
            _ => {}
        }
    }
    let mut messages = BTreeSet::new();
    for &kind in Kind::ALL {
        collect(&serde_json::from_str(schema::source(kind)).expect("JSON"), &mut messages);
    }
    messages
}
