//! `openssl s_server` as a backend behind a BackendTLSPolicy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, wait};

use crate::common::{HTTP, Running, with_gateway_flags};
use crate::identity::{Identity, Key};

/// Port of the first server.
const FIRST_PORT: u16 = 16_000;
/// Host of the Gateway that shows backends a certificate.
const WITH_CERTIFICATE: &str = "with-certificate.example";

/// A server, and the outcome of requests to it.
struct Case {
    name: String,
    key: Key,
    /// In place of the certificate of its key.
    identity: Option<&'static str>,
    arguments: Vec<String>,
    want: Want,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Want {
    /// A response that says what was agreed on: a version and, where it is the only one, a suite.
    Agreed(&'static str, Option<&'static str>),
    /// 502 with a reason.
    Refused(&'static str),
    /// That, but agreement where the Gateway has a certificate of its own to show.
    NeedsCertificate(&'static str),
}

use Want::{Agreed, NeedsCertificate, Refused};

fn case(name: &str, key: Key, arguments: &[&str], want: Want) -> Case {
    let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
    Case { name: name.to_owned(), key, identity: None, arguments, want }
}

/// Every kind of key with every suite of its kind.
fn suites() -> Vec<Case> {
    let mut cases = Vec::new();
    for key in Key::ALL {
        let kind = if key.is_rsa() { "RSA" } else { "ECDSA" };
        for suite in [
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ] {
            if suite.contains(&format!("-{kind}-")) {
                let name = format!("old-{}-{}", key.name(), cases.len());
                cases.push(case(&name, key, &["-tls1_2", "-cipher", suite], Agreed("TLSv1.2", Some(suite))));
            }
        }
        for suite in ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"] {
            let name = format!("new-{}-{}", key.name(), cases.len());
            cases.push(case(
                &name,
                key,
                &["-tls1_3", "-ciphersuites", suite],
                Agreed("TLSv1.3", Some(suite)),
            ));
        }
    }
    cases
}

/// Groups, the sizes in which a server writes, and application protocols.
fn manners() -> Vec<Case> {
    let new = Agreed("TLSv1.3", None);
    vec![
        case("group-x25519", Key::P256, &["-groups", "X25519"], new.clone()),
        // The first flight has no key for these: the server asks for one (RFC 8446 section 4.1.4).
        case("group-p256", Key::P256, &["-groups", "P-256"], new.clone()),
        case("group-p384", Key::P256, &["-groups", "P-384"], new.clone()),
        case("small-records", Key::Rsa, &["-max_send_frag", "512"], new.clone()),
        case("no-ticket", Key::P256, &["-num_tickets", "0"], new.clone()),
        case("many-tickets", Key::P256, &["-num_tickets", "9"], new.clone()),
        case("old-no-ticket", Key::Rsa, &["-tls1_2", "-no_ticket"], Agreed("TLSv1.2", None)),
        case("protocol", Key::P256, &["-alpn", "http/1.1"], new.clone()),
        case("both-protocols", Key::P256, &["-alpn", "h2,http/1.1"], new.clone()),
        case("asks-and-lets-in", Key::P256, &["-verify", "1"], new),
    ]
}

/// Servers that cannot be spoken to, or must not.
fn refusals() -> Vec<Case> {
    let of = |identity, name, want| Case { identity: Some(identity), ..case(name, Key::P256, &[], want) };
    vec![
        case(
            "old-version",
            Key::Rsa,
            &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
            Refused("upstream_tls_refused"),
        ),
        case(
            "weak-suite",
            Key::Rsa,
            &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
            Refused("upstream_tls_refused"),
        ),
        case(
            "strange-suite",
            Key::Rsa,
            &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
            Refused("upstream_tls_refused"),
        ),
        case("strange-group", Key::Rsa, &["-groups", "X448"], Refused("upstream_tls_refused")),
        case("strange-protocol", Key::Rsa, &["-alpn", "spdy/3"], Refused("upstream_tls_refused")),
        of("stranger", "unknown-authority", Refused("upstream_tls_unknown_authority")),
        of("itself", "signs-itself", Refused("upstream_tls_unknown_authority")),
        of("other", "wrong-name", Refused("upstream_tls_wrong_name")),
        of("expired", "expired", Refused("upstream_tls_certificate_expired")),
        case("asks", Key::P256, &["-tls1_3", "-Verify", "1"], NeedsCertificate("upstream_tls_refused")),
        case("old-asks", Key::Rsa, &["-tls1_2", "-Verify", "1"], NeedsCertificate("upstream_tls_refused")),
    ]
}

/// Starts each server, and writes a Service, a policy and a route of its own for it.
fn start(running: &Running, dir: &Path, authority: &Identity, cases: &[Case]) -> Vec<Guarded> {
    let signed = |name: &str, key| authority.sign(dir, name, key, "30");
    let identities = Key::ALL.map(|key| (key, signed(&host(key), key)));
    // As people make it who have no authority: OpenSSL marks it as one.
    let itself = Identity::self_signed(dir, "itself", Key::P256);
    let expired = authority.sign(dir, &format!("expired.{}", host(Key::P256)), Key::P256, "-1");
    // Of the same name, so that nothing else is wrong with it.
    let strangers = Scratch::new("openssl-strangers").unwrap();
    let stranger = Identity::self_signed(dir, "stranger", Key::P256);
    let others = [
        ("stranger", stranger.sign(strangers.path(), &host(Key::P256), Key::P256, "30")),
        ("itself", itself),
        ("other", signed("other.backend", Key::P256)),
        ("expired", expired),
    ];
    let mut yaml = String::new();
    let mut servers = Vec::new();
    for (case, port) in cases.iter().zip(FIRST_PORT..) {
        let own = identities.iter().find(|(key, _)| *key == case.key).map(|(_, own)| own);
        let other = others.iter().find(|(name, _)| Some(*name) == case.identity).map(|(_, other)| other);
        let identity = other.or(own).unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
        command.arg("-cert").arg(&identity.certificate).arg("-key").arg(&identity.key);
        command.arg("-CAfile").arg(&authority.certificate).args(&case.arguments);
        servers.push(Guarded::spawn(command.stdin(Stdio::null())).unwrap());
        yaml.push_str(&resources(case, port));
    }
    let ca = std::fs::read_to_string(&authority.certificate).unwrap();
    let lines: String = ca.lines().map(|line| format!("    {line}\n")).collect();
    yaml.push_str(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: team2}}\ndata:\n  ca.crt: |\n{lines}"
    ));
    for (server, port) in servers.iter_mut().zip(FIRST_PORT..) {
        wait::until("a server", || {
            assert!(server.try_wait().unwrap().is_none(), "{}", server.output());
            std::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok()
        });
    }
    running.config.write("servers.yaml", &yaml).unwrap();
    running.config.write("identity.yaml", &identified(&signed("gateway.example", Key::P256))).unwrap();
    servers
}

/// The name that the certificate of a key has, which policies ask for.
fn host(key: Key) -> String {
    format!("{}.backend", key.name())
}

fn resources(case: &Case, port: u16) -> String {
    let (name, host) = (&case.name, host(case.key));
    // The one that has expired has a name of its own: it must be right but for its time.
    let host = if case.identity == Some("expired") { format!("expired.{host}") } else { host };
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: team2}}
spec: {{ports: [{{name: https, port: 443}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: team2, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: https, port: {port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: {name}, namespace: team2}}
spec:
  targetRefs: [{{group: '', kind: Service, name: {name}}}]
  validation: {{hostname: {host}, caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: team2}}
spec:
  parentRefs: [{{name: shared-gateway, namespace: ingress}}, {{name: identified, namespace: ingress}}]
  rules:
  - matches: [{{path: {{type: Exact, value: /{name}}}}}]
    filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /}}}}}}]
    backendRefs: [{{name: {name}, port: 443}}]
---
"
    )
}

/// The Gateway that shows backends a certificate.
fn identified(identity: &Identity) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: identified, namespace: ingress}}
spec:
  gatewayClassName: sluice
  tls: {{backend: {{clientCertificateRef: {{name: gateway}}}}}}
  listeners:
  - {{name: http, protocol: HTTP, port: 80, hostname: {WITH_CERTIFICATE}, allowedRoutes: {{namespaces: {{from: All}}}}}}
{}",
        identity.secret("ingress", "gateway")
    )
}

fn ask(host: &str, case: &Case) -> http::Response {
    http::get(HTTP.parse().unwrap(), host, &format!("/{}", case.name)).unwrap()
}

/// Checks a response; `is_reused` is whether the session before it should have been taken up again, if that is known.
#[track_caller]
fn check(case: &Case, response: &http::Response, want: &Want, is_reused: Option<bool>) {
    let (name, arguments) = (&case.name, &case.arguments);
    let text = response.text();
    match want {
        Agreed(version, suite) => {
            assert_eq!((response.status, response.reason()), (200, None), "{name} {arguments:?}: {text}");
            let line = text.lines().find(|line| line.starts_with("New, ") || line.starts_with("Reused, "));
            let line = line.unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(
                line.contains(version) && suite.is_none_or(|suite| line.contains(suite)),
                "{name}: {line}"
            );
            if let Some(is_reused) = is_reused {
                assert_eq!(line.starts_with("Reused"), is_reused, "{name}: {line}");
            }
        }
        Refused(reason) | NeedsCertificate(reason) => {
            assert_eq!((response.status, response.reason()), (502, Some(*reason)), "{name} {arguments:?}");
        }
    }
}

#[test]
fn servers_are_agreed_with_on_all_that_is_spoken_and_refused_with_a_reason() {
    if !super::is_installed() {
        return;
    }
    // One worker: a session is taken up again by the one that made it.
    with_gateway_flags("openssl-servers", &["--workers", "1"], |_, running| {
        let dir = Scratch::new("openssl-servers").unwrap();
        let authority = Identity::self_signed(dir.path(), "authority", Key::P256);
        let cases: Vec<Case> = suites().into_iter().chain(manners()).chain(refusals()).collect();
        let _servers = start(running, dir.path(), &authority, &cases);
        let last = cases.last().unwrap();
        wait::until("the last route", || (ask(WITH_CERTIFICATE, last).status == 200).then_some(()));
        for case in &cases {
            let has_session = !case.name.contains("no-ticket");
            check(case, &ask("a", case), &case.want, Some(false));
            // A server of TLS 1.2 without tickets has a cache of its own, by the session's identifier.
            let is_reused = (case.name != "old-no-ticket").then_some(has_session);
            check(case, &ask("a", case), &case.want, is_reused);
            if let NeedsCertificate(_) = case.want {
                let version = if case.name.starts_with("old") { "TLSv1.2" } else { "TLSv1.3" };
                let response = ask(WITH_CERTIFICATE, case);
                check(case, &response, &Agreed(version, None), None);
                assert!(response.text().contains("gateway.example"), "the certificate: {}", response.text());
            }
        }
    });
}
