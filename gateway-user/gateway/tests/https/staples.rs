//! OCSP responses of Secrets, made by OpenSSL's responder and asked for by its client.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;

use crate::common::{sluice, text, with_gateway};

const NAME: &str = "stapled.example";

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: https, protocol: HTTPS, port: 443, tls: {certificateRefs: [{name: stapled}]}}
";

/// An authority with one certificate, in files.
struct Authority(Scratch);

impl Authority {
    fn new() -> Self {
        let made = Self(Scratch::new("ocsp").unwrap());
        made.0.write("ext", &format!("subjectAltName=DNS:{NAME}\n")).unwrap();
        for name in ["ca", "leaf"] {
            made.openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        }
        made.openssl("req -x509 -new -key ca.key -subj /CN=authority -days 30 -out ca.pem");
        made.openssl(&format!("req -new -key leaf.key -subj /CN={NAME} -out leaf.csr"));
        made.openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 0x7D1234 -days 30 -extfile ext -out leaf.pem",
        );
        made
    }

    fn openssl(&self, words: &str) {
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).current_dir(self.0.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words}: {}", text(&output));
    }

    /// The Secret, with a response that says so of the certificate.
    fn secret(&self, status: &str) -> String {
        let line = match status {
            "good" => format!("V\t351231235959Z\t\t7D1234\tunknown\t/CN={NAME}\n"),
            _ => format!("R\t351231235959Z\t250101000000Z\t7D1234\tunknown\t/CN={NAME}\n"),
        };
        self.0.write("index", &line).unwrap();
        self.openssl("ocsp -issuer ca.pem -cert leaf.pem -no_nonce -reqout request");
        self.openssl(
            "ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -reqin request -ndays 7 -respout response",
        );
        let entry = |file: &str| {
            self.openssl(&format!("base64 -A -in {file} -out base64"));
            fs::read_to_string(self.0.join("base64")).unwrap()
        };
        let [certificate, key, staple] = ["leaf.pem", "leaf.key", "response"].map(entry);
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: stapled, namespace: ingress}}\ntype: kubernetes.io/tls\ndata:\n  \
             tls.crt: {certificate}\n  tls.key: {key}\n  tls.ocsp-staple: {staple}\n"
        )
    }

    /// The part of `openssl s_client`'s output that tells of a response, with the client's own judgement.
    fn asked(&self, version: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", "127.0.0.1:443", "-servername", NAME, "-status", version]);
        command.args(["-CAfile", "ca.pem", "-verify_return_error"]).current_dir(self.0.path());
        text(&command.stdin(Stdio::null()).output().unwrap())
    }
}

fn warnings(config: &Path) -> String {
    text(&sluice(&["check", &config.display().to_string()]))
}

#[test]
fn a_good_response_is_stapled_and_another_is_told_of() {
    with_gateway("https-staples", |_, running| {
        let authority = Authority::new();
        running.config.write("secret.yaml", &authority.secret("good")).unwrap();
        running.config.write("secure.yaml", GATEWAY).unwrap();
        for version in ["-tls1_2", "-tls1_3"] {
            let said = wait::until("the listener", || {
                Some(authority.asked(version)).filter(|said| said.contains("Verify return code: 0 (ok)"))
            });
            assert!(said.contains("OCSP Response Status: successful (0x0)"), "{version}: {said}");
            assert!(said.contains("Cert Status: good"), "{version}: {said}");
        }
        assert!(!warnings(running.config.path()).contains("ocsp"), "{}", warnings(running.config.path()));
        running.config.write("secret.yaml", &authority.secret("revoked")).unwrap();
        let said = wait::until("a handshake without a response", || {
            Some(authority.asked("-tls1_3")).filter(|said| said.contains("OCSP response: no response sent"))
        });
        assert!(said.contains("Verify return code: 0 (ok)"), "the certificate is still served: {said}");
        let warnings = warnings(running.config.path());
        assert!(
            warnings.contains(
                "Secret \"ingress/stapled\": tls.ocsp-staple says that certificate 1 of tls.crt is revoked"
            ),
            "{warnings}"
        );
    });
}
