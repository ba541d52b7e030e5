//! TLS settings of HTTPS listeners.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::{ObjectName, TrustBundle};

/// TLS settings of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ListenerTls {
    /// The certificates to choose from, in the order of the Gateway. With none, handshakes for the listener
    /// fail and no other listener takes them.
    pub certificates: Vec<Arc<Certificate>>,
    /// The oldest version that is accepted.
    pub min_version: TlsVersion,
    /// Takes handshakes without a server name, which otherwise the listener without a hostname takes. Of the
    /// listeners of a bind one at most.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_default: bool,
    /// The cipher suites that may be used, by IANA's names; all that there are if it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<Box<str>>,
    /// The check of clients' certificates; without one, clients are asked for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientValidation>,
    /// Backends are told of the client's certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forward_client_cert: bool,
}

impl ListenerTls {
    /// True if no client can pass the check of its certificate.
    pub fn trusts_nobody(&self) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.trust.is_empty())
    }
}

/// A check of clients' certificates (GEP-91).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ClientValidation {
    /// The authorities that are trusted, without repeats. None: every handshake fails, whatever the mode.
    pub trust: Vec<Arc<TrustBundle>>,
    /// The strictness.
    pub mode: ClientValidationMode,
}

/// The strictness of a check of clients' certificates (GEP-91).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientValidationMode {
    /// A client without a valid certificate is refused.
    #[default]
    AllowValidOnly,
    /// It is let in, as one without a certificate.
    AllowInsecureFallback,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A certificate chain with its private key, checked: they belong together. It can be written out but not
/// read back, since the key never leaves it in any printed form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Certificate {
    /// The Secret that it is from.
    pub secret: ObjectName,
    /// DNS names of the first certificate, in lower case.
    pub names: Vec<String>,
    /// Start of the first certificate's validity, in seconds since 1970 (RFC 5280 section 4.1.2.5).
    pub not_before: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the first certificate, in hexadecimal: what `openssl x509 -fingerprint -sha256` shows.
    pub fingerprint: String,
    /// DER, the server's own first.
    #[serde(serialize_with = "count")]
    pub chain: Vec<Vec<u8>>,
    /// The private key of the first certificate.
    pub key: PrivateKey,
    /// The OCSP response about the first certificate, for clients who ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staple: Option<Staple>,
}

/// An OCSP response that says that a certificate is good (RFC 6960).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Staple {
    /// DER.
    #[serde(serialize_with = "length")]
    pub der: Vec<u8>,
    /// Start of its validity, in seconds since 1970.
    pub this_update: i64,
    /// Its end, in seconds since 1970, if it has one.
    pub next_update: Option<i64>,
}

/// A private key in DER. Neither `Debug` nor serialisation shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PrivateKey(
    /// PKCS #8, PKCS #1 or SEC 1.
    pub Vec<u8>,
);

const NOT_SHOWN: &str = "not shown";

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_SHOWN)
    }
}

impl Serialize for PrivateKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(NOT_SHOWN)
    }
}

/// Number of bytes.
fn length<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(bytes.len() as u64)
}

/// Number of certificates, since nobody reads their bytes.
fn count<S: Serializer>(chain: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(chain.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_in_no_printed_form() {
        let certificate = Certificate {
            secret: ObjectName::new("a", "b"),
            names: vec!["a.example".to_owned()],
            not_before: 1,
            not_after: 2,
            fingerprint: "00".to_owned(),
            chain: vec![vec![201; 3], vec![202; 3]],
            key: PrivateKey(vec![203, 204, 205]),
            staple: None,
        };
        let tls = ListenerTls {
            certificates: vec![Arc::new(certificate)],
            min_version: TlsVersion::Tls13,
            ..ListenerTls::default()
        };
        let texts = [format!("{tls:?}"), format!("{tls:#?}"), serde_json::to_string(&tls).unwrap()];
        for text in texts {
            assert!(text.contains("a.example") && text.contains(NOT_SHOWN), "{text}");
            assert!(!text.contains("203") && !text.contains("cb"), "{text}");
        }
        let value = serde_json::to_value(&tls).unwrap();
        assert_eq!(value["certificates"][0]["chain"], 2);
        assert_eq!(value["min_version"], "1.3");
        assert!(value.get("is_default").is_none(), "digests stay those of versions that did not know it");
    }
}
