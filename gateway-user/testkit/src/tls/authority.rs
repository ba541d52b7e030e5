//! An authority that signs certificates on the spot.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, RsaKeySize, SanType, date_time_ymd,
};

use super::SelfSigned;

/// An authority with a key of its own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Properties of a certificate that is signed.
#[derive(Clone, Debug, Default)]
pub struct Leaf<'a> {
    /// DNS names.
    pub names: &'a [&'a str],
    /// URIs.
    pub uris: &'a [&'a str],
    /// It has expired.
    pub expired: bool,
    /// It is for servers alone.
    pub server_only: bool,
    /// Its key is of RSA with 2,048 bits.
    pub rsa: bool,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// The library makes none.
    #[allow(clippy::new_without_default, reason = "each has a key of its own")]
    pub fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(parameters, key).expect("a certificate") }
    }

    /// Its certificate, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these DNS names.
    ///
    /// # Panics
    /// A name cannot be in a certificate.
    pub fn issue(&self, names: &[&str]) -> SelfSigned {
        self.sign(&Leaf { names, ..Leaf::default() })
    }

    /// A certificate with these properties.
    ///
    /// # Panics
    /// A name cannot be in a certificate.
    pub fn sign(&self, leaf: &Leaf<'_>) -> SelfSigned {
        let names: Vec<_> = leaf.names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).expect("names that can be in a certificate");
        for uri in leaf.uris {
            let uri = (*uri).try_into().expect("ASCII");
            parameters.subject_alt_names.push(SanType::URI(uri));
        }
        if leaf.expired {
            (parameters.not_before, parameters.not_after) =
                (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        if leaf.server_only {
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        let key = match leaf.rsa {
            true => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            false => KeyPair::generate(),
        };
        let key = key.expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        SelfSigned { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A ConfigMap with its certificate, as a YAML document.
    pub fn config_map(&self, namespace: &str, name: &str) -> String {
        let lines: String = self.pem().lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             data:\n  ca.crt: |\n{lines}"
        )
    }
}
