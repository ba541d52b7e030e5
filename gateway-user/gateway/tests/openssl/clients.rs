//! `openssl s_client` at HTTPS listeners.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;

use crate::common::{Running, metric, text, with_gateway_flags};
use crate::identity::{Identity, Key};

/// OpenSSL's names of suites of TLS 1.2: those that are served, then some that are not: without forward secrecy, without
/// authenticated encryption, with Diffie-Hellman's groups of numbers.
const SUITES_12: [&str; 10] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
];
const SERVED_12: usize = 6;
/// The same of TLS 1.3.
const SUITES_13: [&str; 4] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
];
const SERVED_13: usize = 3;
/// Groups, and OpenSSL's word for each when it is agreed on; `None` for those that are not served.
const GROUPS: [(&str, Option<&str>); 6] = [
    ("X25519", Some("X25519")),
    ("P-256", Some("prime256v1")),
    ("P-384", Some("secp384r1")),
    // A key share for the first alone: the gateway asks for another one.
    ("X448:X25519", Some("X25519")),
    ("P-521", None),
    ("X448", None),
];
const SIGNATURES: [&str; 6] = [
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp384r1_sha384",
    "rsa_pss_rsae_sha256",
    "rsa_pss_rsae_sha512",
    "RSA+SHA256",
    "ed25519",
];

/// The offer of a client, and the key of the listener that it asks; both of `two.example` are RSA and P-256.
struct Offer<'a> {
    keys: &'a [Key],
    is_13: bool,
    arguments: Vec<String>,
}

/// The outcome of a handshake.
#[derive(Debug)]
struct Agreed {
    suite: String,
    said: String,
}

impl Offer<'_> {
    fn new<'a>(keys: &'a [Key], is_13: bool, arguments: &[&str]) -> Offer<'a> {
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        Offer { keys, is_13, arguments }
    }

    fn host(&self) -> String {
        match self.keys {
            [key] => format!("{}.example", key.name()),
            _ => "two.example".to_owned(),
        }
    }

    /// The outcome of a handshake and a request; `None` if the handshake was refused.
    fn make(&self) -> Option<Agreed> {
        let host = self.host();
        let version = if self.is_13 { "-tls1_3" } else { "-tls1_2" };
        let arguments = self.arguments.iter().map(String::as_str);
        let said = s_client(&host, [version].into_iter().chain(arguments));
        let line = said.lines().find_map(|line| line.strip_prefix("New, "));
        let suite = line.and_then(|line| line.split("Cipher is ").nth(1)).unwrap_or_default().to_owned();
        match said.contains("HTTP/1.1 200 OK") {
            true => Some(Agreed { suite, said }),
            // In TLS 1.3 a suite is agreed on before a certificate.
            false if suite.is_empty() || suite == "(NONE)" || said.contains("alert handshake failure") => {
                None
            }
            false => panic!("{host} {:?}: a handshake without a response: {said}", self.arguments),
        }
    }

    /// Makes it, and panics unless it comes out as it should.
    #[track_caller]
    fn expect(&self, is_agreed: bool, count: &mut BTreeMap<bool, u32>) -> Option<Agreed> {
        let agreed = self.make();
        let (host, version) = (self.host(), if self.is_13 { "1.3" } else { "1.2" });
        assert_eq!(agreed.is_some(), is_agreed, "{host} {version} {:?}: {agreed:?}", self.arguments);
        *count.entry(is_agreed).or_default() += 1;
        agreed
    }
}

/// All that `openssl s_client` prints of a request to a host.
fn s_client<'a>(host: &str, arguments: impl Iterator<Item = &'a str>) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", "127.0.0.1:443", "-servername", host]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let request = format!("GET /get HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    // A client that was refused may have gone.
    let _ = child.stdin.take().unwrap().write_all(request.as_bytes());
    text(&child.wait_with_output().unwrap())
}

/// A listener for each kind of key, one with two, and a route for all of them.
fn configure(running: &Running) {
    let dir = Scratch::new("openssl-clients").unwrap();
    let dir = dir.path();
    let mut listeners = String::new();
    let mut listener = |host: &str, secrets: &[&str], options: &str| {
        let references: Vec<_> = secrets.iter().map(|name| format!("{{name: {name}}}")).collect();
        listeners.push_str(&format!(
            "  - {{name: {host}, protocol: HTTPS, port: 443, hostname: {host}.example, \
             allowedRoutes: {{namespaces: {{from: All}}}}, tls: {{certificateRefs: [{}]{options}}}}}\n",
            references.join(", ")
        ));
    };
    let mut secrets = String::new();
    for key in Key::ALL {
        let identity = Identity::self_signed(dir, &format!("{}.example", key.name()), key);
        secrets.push_str(&identity.secret("ingress", key.name()));
        listener(key.name(), &[key.name()], "");
    }
    for (name, key) in [("two-p256", Key::P256), ("two-rsa", Key::Rsa)] {
        secrets
            .push_str(&Identity::self_signed(dir, &format!("{name}.example"), key).secret("ingress", name));
    }
    listener("two", &["two-p256", "two-rsa"], "");
    listener("new", &["p256"], ", options: {sluice.dev/min-tls-version: '1.3'}");
    let suites =
        ", options: {sluice.dev/cipher-suites: 'TLS_CHACHA20_POLY1305_SHA256, ECDHE-RSA-CHACHA20-POLY1305'}";
    listener("chosen", &["rsa"], suites);
    let gateway = format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: secure, namespace: ingress}}
spec:
  gatewayClassName: sluice
  listeners:
{listeners}---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: secure, namespace: team2}}
spec:
  parentRefs: [{{name: secure, namespace: ingress}}]
  rules: [{{backendRefs: [{{name: httpbin, port: 8000}}]}}]
"
    );
    running.config.write("secrets.yaml", &secrets).unwrap();
    running.config.write("secure.yaml", &gateway).unwrap();
    wait::until("the listeners", || {
        s_client("chosen.example", [].into_iter()).contains("HTTP/1.1 200 OK").then_some(())
    });
}

/// Whom a client may ask: a listener for each kind of key, and one for two.
fn hosts() -> impl Iterator<Item = Vec<Key>> {
    Key::ALL.into_iter().map(|key| vec![key]).chain([vec![Key::P256, Key::Rsa]])
}

fn suites(count: &mut BTreeMap<bool, u32>) {
    for keys in hosts() {
        for (at, suite) in SUITES_12.into_iter().enumerate() {
            let asks_rsa = suite.contains("-RSA-");
            let is_agreed = at < SERVED_12 && keys.iter().any(|key| key.is_rsa() == asks_rsa);
            let agreed = Offer::new(&keys, false, &["-cipher", suite]).expect(is_agreed, count);
            assert!(agreed.is_none_or(|agreed| agreed.suite == suite));
        }
        for (at, suite) in SUITES_13.into_iter().enumerate() {
            let agreed = Offer::new(&keys, true, &["-ciphersuites", suite]).expect(at < SERVED_13, count);
            assert!(agreed.is_none_or(|agreed| agreed.suite == suite));
        }
    }
}

fn groups(count: &mut BTreeMap<bool, u32>) {
    for keys in hosts() {
        for (groups, word) in GROUPS {
            let agreed = Offer::new(&keys, true, &["-groups", groups]).expect(word.is_some(), count);
            if let (Some(agreed), Some(word)) = (agreed, word) {
                let line = agreed.said.lines().find(|line| line.starts_with("Server Temp Key: "));
                assert!(line.is_some_and(|line| line.contains(word)), "{groups}: {line:?}");
            }
        }
    }
    // In TLS 1.2 a client's groups are those of certificates as well (RFC 8422 section 5.1.1): a key of RSA has none.
    for (groups, word) in GROUPS {
        Offer::new(&[Key::Rsa], false, &["-groups", groups]).expect(word.is_some(), count);
    }
}

fn signatures(count: &mut BTreeMap<bool, u32>) {
    for keys in hosts() {
        for is_13 in [false, true] {
            for algorithm in SIGNATURES {
                // TLS 1.3 has no such algorithm, and a client with no other cannot begin.
                if is_13 && algorithm == "RSA+SHA256" {
                    continue;
                }
                let signer = keys.iter().find(|key| key.signs_by(algorithm, is_13));
                let offer = Offer::new(&keys, is_13, &["-sigalgs", algorithm]);
                let agreed = offer.expect(signer.is_some(), count);
                if let (Some(agreed), [_, _], Some(signer)) = (agreed, &*keys, signer) {
                    let own = format!("CN = two-{}.example", signer.name());
                    assert!(agreed.said.contains(&own), "the other certificate: {}", agreed.said);
                }
            }
        }
    }
}

/// Listeners that have fewer.
fn options(count: &mut BTreeMap<bool, u32>) {
    let mut expect = |host: &str, arguments: &[&str], want: bool| {
        let said = s_client(host, arguments.iter().copied());
        assert_eq!(said.contains("HTTP/1.1 200 OK"), want, "{host} {arguments:?}: {said}");
        *count.entry(want).or_default() += 1;
        said
    };
    expect("new.example", &["-tls1_3"], true);
    let chosen = expect("chosen.example", &["-tls1_2"], true);
    assert!(chosen.contains("Cipher is ECDHE-RSA-CHACHA20-POLY1305"), "{chosen}");
    let chosen = expect("chosen.example", &["-tls1_3"], true);
    assert!(chosen.contains("Cipher is TLS_CHACHA20_POLY1305_SHA256"), "{chosen}");
    expect("chosen.example", &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], false);
    expect("chosen.example", &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], false);
}

fn failures(reason: &str) -> f64 {
    metric("sluice_tls_handshake_failures_total", &[&format!("reason=\"{reason}\"")])
}

#[test]
fn clients_agree_on_all_that_is_served_and_are_refused_the_rest() {
    if !super::is_installed() {
        return;
    }
    with_gateway_flags("openssl-clients", &[], |_, running| {
        configure(running);
        let before = metric("sluice_tls_handshakes_total", &[]);
        let mut count = BTreeMap::new();
        suites(&mut count);
        groups(&mut count);
        signatures(&mut count);
        options(&mut count);
        let (agreed, refused) = (f64::from(count[&true]), f64::from(count[&false]));
        wait::until("the counters", || {
            (failures("no_common_parameters") >= refused
                && metric("sluice_tls_handshakes_total", &[]) - before >= agreed)
                .then_some(())
        });
        assert_eq!(failures("no_common_parameters"), refused, "each refusal has its reason");
        // Versions that are none any more, also of an OpenSSL that would still speak them.
        let old = ["-tls1", "-tls1_1"].map(|version| ("p256.example", version));
        for (host, version) in [("new.example", "-tls1_2")].into_iter().chain(old) {
            let said = s_client(host, [version, "-cipher", "DEFAULT@SECLEVEL=0"].into_iter());
            assert!(!said.contains("HTTP/1.1 200 OK"), "{host} {version}: {said}");
        }
        wait::until("the versions' counter", || (failures("no_common_version") >= 3.0).then_some(()));
    });
}
