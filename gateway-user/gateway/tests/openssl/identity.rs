//! Keys of every kind and certificates for them, as OpenSSL makes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::text;

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Key {
    pub(super) const ALL: [Self; 4] = [Self::Rsa, Self::P256, Self::P384, Self::Ed25519];

    /// The arguments of `openssl req -newkey`.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Rsa => &["rsa:2048"],
            Self::P256 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::Ed25519 => &["ed25519"],
        }
    }

    /// Its part of file and host names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
        }
    }

    /// True if it signs in suites of RSA, false if in those of ECDSA, as TLS 1.2 tells suites apart (RFC 8422 section 5.1.2
    /// has Ed25519 among the latter).
    pub(super) fn is_rsa(self) -> bool {
        self == Self::Rsa
    }

    /// True if it signs by an algorithm, by OpenSSL's name, in TLS 1.3 or before.
    pub(super) fn signs_by(self, algorithm: &str, is_13: bool) -> bool {
        match self {
            Self::Rsa => algorithm.starts_with("rsa_pss_rsae") || (!is_13 && algorithm == "RSA+SHA256"),
            Self::P256 => algorithm == "ecdsa_secp256r1_sha256",
            Self::P384 => algorithm == "ecdsa_secp384r1_sha384",
            Self::Ed25519 => algorithm == "ed25519",
        }
    }
}

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Identity {
    /// Signed by itself, for one DNS name.
    pub(super) fn self_signed(dir: &Path, name: &str, key: Key) -> Self {
        let made = Self::at(dir, name);
        openssl(made.request(name, key).args(["-x509", "-days", "30"]).arg("-out").arg(&made.certificate));
        made
    }

    /// Signed by this one, for one DNS name, and good for so many days.
    pub(super) fn sign(&self, dir: &Path, name: &str, key: Key, days: &str) -> Self {
        let made = Self::at(dir, name);
        let request = dir.join(format!("{name}.csr"));
        openssl(made.request(name, key).arg("-out").arg(&request));
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-copy_extensions", "copy", "-days", days, "-CAcreateserial"]);
        sign.arg("-in").arg(&request).arg("-CA").arg(&self.certificate).arg("-CAkey").arg(&self.key);
        openssl(sign.arg("-out").arg(&made.certificate));
        made
    }

    /// A Secret of type `kubernetes.io/tls`, as a YAML document.
    pub(super) fn secret(&self, namespace: &str, name: &str) -> String {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        gateway_testkit::tls::SelfSigned { certificate: read(&self.certificate), key: read(&self.key) }
            .secret(namespace, name)
    }

    fn at(dir: &Path, name: &str) -> Self {
        Self { certificate: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) }
    }

    fn request(&self, name: &str, key: Key) -> Command {
        let mut command = Command::new("openssl");
        command.args(["req", "-new", "-nodes", "-subj", &format!("/CN={name}"), "-newkey"]);
        command.args(key.arguments()).arg("-keyout").arg(&self.key);
        command.args(["-addext", &format!("subjectAltName=DNS:{name}")]);
        command
    }
}

#[track_caller]
fn openssl(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output));
}
