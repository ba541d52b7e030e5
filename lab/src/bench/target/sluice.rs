//! Sluice as its defaults are, on one worker: kernel steering, io_uring, metrics.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;

use super::{Setup, Variant, path, write};
use crate::bench::scenario::{HOSTS, PATHS};

pub(super) fn call(setup: &Setup, variant: &Variant, many: bool) -> Result<Vec<String>> {
    let dir = &setup.dir;
    let config = dir.join("resources");
    fs::create_dir_all(&config)?;
    write(&config.join("base.yaml"), &base(setup.listen, setup.backend))?;
    let routes =
        if many { many_routes(setup.backend.port()) } else { route("all", "", &[""], setup.backend.port()) };
    write(&config.join("routes.yaml"), &routes)?;
    if setup.log {
        // It makes its log as a user without rights.
        fs::set_permissions(dir, PermissionsExt::from_mode(0o777))?;
    }
    let log = if setup.log { path(&dir.join("access.log")) } else { "off".to_owned() };
    let flags = [
        ("--state-dir", path(&dir.join("state"))),
        ("--bpffs", path(&setup.bpffs)),
        ("--steering", "ebpf".to_owned()),
        ("--io", "uring".to_owned()),
        ("--workers", "1".to_owned()),
        ("--cpus", setup.cpu.to_string()),
        ("--access-log", log),
        ("--log", "warn".to_owned()),
        // As the peers are told.
        ("--client-idle-timeout", "1h".to_owned()),
        ("--upstream-idle-timeout", "1h".to_owned()),
        ("--upstream-max-idle", "512".to_owned()),
        ("--max-connections", "16000".to_owned()),
    ];
    let mut words = vec![path(&variant.program), "run".to_owned(), path(&config)];
    words.extend(flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    words.extend(variant.flags.iter().cloned());
    Ok(words)
}

fn many_routes(port: u16) -> String {
    let mut text = String::new();
    let paths: Vec<String> = (0..PATHS).map(|n| format!("/{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    for host in 0..HOSTS {
        text += &route(&format!("r{host}"), &format!("  hostnames: [h{host}.example]\n"), &paths, port);
    }
    text
}

/// A route with a rule for `/app` and each of `paths` behind it.
fn route(name: &str, hostnames: &str, paths: &[&str], port: u16) -> String {
    let mut text = format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: bench}}
spec:
  parentRefs: [{{name: bench}}]
{hostnames}  rules:
"
    );
    for path in paths {
        let _ = write!(
            text,
            "    - matches: [{{path: {{type: PathPrefix, value: /app{path}}}}}]
      filters:
        - type: URLRewrite
          urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}
      backendRefs: [{{name: backend, port: {port}}}]
"
        );
    }
    text
}

/// Everything but the routes.
fn base(listen: SocketAddr, backend: SocketAddr) -> String {
    let (port, address, backend_port) = (listen.port(), backend.ip(), backend.port());
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: bench}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sluice}}
spec: {{controllerName: sluice.dev/gateway}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: bench, namespace: bench}}
spec:
  gatewayClassName: sluice
  listeners: [{{name: http, protocol: HTTP, port: {port}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: backend, namespace: bench}}
spec:
  ports: [{{name: http, port: {backend_port}, targetPort: {backend_port}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: backend-1
  namespace: bench
  labels: {{kubernetes.io/service-name: backend}}
addressType: IPv4
ports: [{{name: http, port: {backend_port}, protocol: TCP}}]
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
"
    )
}
