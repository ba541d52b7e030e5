//! A BackendTLSPolicy: its TLS is for content, and a client's own TLS is none of it.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_testkit::tls::Authority;
use gateway_testkit::wait;
use rustls::ClientConfig;

use crate::ask;
use crate::common::{Running, metric, sluice, text};
use crate::ends::is_reset;
use crate::resources::{Certificates, SEALED};

/// For the Service of a listener in mode Terminate, and for one whose TLS is passed through.
fn policy() -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: sealed, namespace: team2}}
spec:
  targetRefs: [{{group: '', kind: Service, name: sealed}}, {{group: '', kind: Service, name: exact}}]
  validation: {{hostname: {SEALED}, caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}
"
    )
}

/// A policy comes, and trusts another authority later.
pub(crate) fn are_followed(
    running: &Running,
    to: SocketAddr,
    client: &Arc<ClientConfig>,
    certificates: &Certificates,
) {
    let passes = || assert_eq!(ask(to, "a.b.example", client, b"x").unwrap(), b"a.b.example\nx");
    let write = |file: &str, text: &str| running.config.write(file, text).unwrap();
    write("ca.yaml", &certificates.authority.config_map("team2", "ca"));
    write("policy.yaml", &policy());
    let sealed = format!("{SEALED}\nx");
    wait::until(&format!("TLS to the backend; the gateway says:\n{}", running.log()), || {
        ask(to, "sealed.example", client, b"x").ok().filter(|said| *said == sealed.as_bytes())
    });
    passes();
    let dir = running.config.path().to_str().unwrap();
    let explained = |name: &str| text(&sluice(&["explain", dir, &format!("tls://{name}:443")]));
    let said = explained("sealed.example");
    let tls = format!("BackendTLSPolicy team2/sealed: server name {SEALED}");
    assert!(
        said.contains("to Service team2/sealed:443 over TCP and TLS at") && said.contains(&tls),
        "{said}"
    );
    let said = explained("a.b.example");
    assert!(said.contains("to Service team2/exact:443 over TCP at") && !said.contains("Policy"), "{said}");
    write("ca.yaml", &Authority::new().config_map("team2", "ca"));
    wait::until("an authority that is trusted no more", || {
        is_reset(ask(to, "sealed.example", client, b"x")).then_some(())
    });
    let refused = || {
        let reason = ["error_type=\"upstream_tls_unknown_authority\""];
        metric("sluice_tcp_connection_duration_seconds_count", &reason)
    };
    wait::until("the count", || (refused() >= 1.0).then_some(()));
    passes();
    for file in ["policy.yaml", "ca.yaml"] {
        std::fs::remove_file(running.config.join(file)).unwrap();
    }
}
