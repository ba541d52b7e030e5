//! Resources of TCP listeners and their routes.

/// Gateway `data` with TCP listeners of these names and ports, open to every namespace.
pub(crate) fn gateway(listeners: &[(&str, u16)]) -> String {
    let listener = |(name, port): &(&str, u16)| {
        format!(
            "  - {{name: {name}, protocol: TCP, port: {port}, allowedRoutes: {{namespaces: {{from: All}}}}}}\n"
        )
    };
    let listeners: String = listeners.iter().map(listener).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: data, namespace: ingress}}
spec:
  gatewayClassName: sluice
  listeners:
{listeners}"
    )
}

/// A namespace's TCPRoute from a listener of that Gateway to its Service `db`, whose only endpoint is that port of this
/// machine. `more` stands behind the reference to the Service, for a second one.
pub(crate) fn route(namespace: &str, listener: &str, server: u16, more: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {{name: db, namespace: {namespace}}}
spec:
  parentRefs: [{{name: data, namespace: ingress, sectionName: {listener}}}]
  rules: [{{backendRefs: [{{name: db, port: 5432, weight: 1}}{more}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: db, namespace: {namespace}}}
spec: {{ports: [{{name: db, port: 5432}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: db-1, namespace: {namespace}, labels: {{kubernetes.io/service-name: db}}}}
addressType: IPv4
ports: [{{name: db, port: {server}}}]
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
"
    )
}
