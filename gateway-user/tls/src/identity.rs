//! A certificate chain and its private key, read from PEM and checked.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use crate::Staple;
use crate::pem::{self, PemNote};
use crate::provider;
use crate::public_key::{self, Match};
use crate::server::NAMES_UNSORTED;

/// Bytes of a chain in DER. OpenSSL's clients refuse longer ones, so that nobody is served by one; and each
/// handshake sends it whole. A Secret may hold ten times as much.
const CHAIN_MAX: usize = 100 << 10;

/// Extensions that clients know, so that they may be critical (RFC 5280 section 4.2.1): keyUsage,
/// subjectAltName, basicConstraints, nameConstraints, extKeyUsage.
const KNOWN_CRITICAL: [&str; 5] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.37"];

/// A certificate chain and its private key. Printing it never shows the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Certificates in DER, the server's own first.
    pub chain: Vec<Vec<u8>>,
    /// The private key in DER, in the format of its PEM label: PKCS #8, PKCS #1 or SEC 1.
    pub key: Vec<u8>,
    /// DNS names of the first certificate's `subjectAltName`, in lower case; sorted if there are more than 64.
    pub names: Vec<String>,
    /// SHA-256 of the first certificate, in hexadecimal.
    pub fingerprint: String,
    /// Start of the first certificate's validity, in seconds since 1970 (RFC 5280 section 4.1.2.5).
    pub not_before: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after: i64,
    /// The response that is sent with the first certificate to clients who ask for it.
    pub staple: Option<Staple>,
}

/// An [`Identity`] that was read, and warnings about it.
#[derive(Debug, PartialEq, Eq)]
pub struct ParsedIdentity {
    /// The identity to serve.
    pub identity: Identity,
    /// Not in the way of serving it.
    pub notes: Vec<IdentityNote>,
}

/// A warning about a certificate that can be served. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityNote {
    /// A surprise in the way that the texts are written.
    #[error("{0}")]
    Pem(PemNote),
    /// A version without extensions, so without names.
    #[error(
        "certificate 1 of tls.crt is X.509 version {0}, which has no subjectAltName; browsers and most clients refuse it; \
         make one of version 3 (openssl x509 -req with -extfile, or openssl req -x509 with -addext subjectAltName=DNS:NAME)"
    )]
    OldVersion(u32),
    /// An extension that is critical, and that many clients do not know.
    #[error(
        "certificate 1 of tls.crt has the critical extension {0}; clients that do not know it must refuse the certificate \
         (RFC 5280 section 4.2)"
    )]
    CriticalExtension(String),
    /// A key on a curve that is spelled out.
    #[error(
        "the key of certificate 1 of tls.crt spells out its curve instead of naming it; most clients refuse such certificates \
         (RFC 5480 section 2.1.1); make the key with -pkeyopt ec_param_enc:named_curve"
    )]
    ExplicitCurve,
}

/// Reasons why PEM texts are no [`Identity`]. The text names the key of the Secret, `tls.crt` or
/// `tls.key`, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no certificate in the first text.
    #[error("tls.crt holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// One of the sections is damaged.
    #[error("tls.crt is not PEM from end to end: {0}")]
    BadPem(&'static str),
    /// A section is no X.509 certificate.
    #[error("certificate {0} of tls.crt is not an X.509 certificate in DER")]
    BadCertificate(usize),
    /// An entry is text of two bytes for each character.
    #[error("{0} is UTF-16, as Windows writes it; save it as UTF-8 or ASCII")]
    Utf16(&'static str),
    /// No client would read all of it.
    #[error(
        "the certificates in tls.crt have {0} bytes, and clients take at most {CHAIN_MAX} (OpenSSL's SSL_MAX_CERT_LIST_DEFAULT); \
         leave out those that do not belong to the chain"
    )]
    LongChain(usize),
    /// There is no key in the second text.
    #[error("tls.key holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The section with the key is damaged.
    #[error("tls.key is not PEM from end to end: {0}")]
    BadKeyPem(&'static str),
    /// The key is encrypted.
    #[error(
        "the private key in tls.key is encrypted, and nobody is there to be asked; store it without a passphrase"
    )]
    EncryptedKey,
    /// The key is of a kind that nobody here can sign with.
    #[error(
        "the private key in tls.key cannot be used; use RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519"
    )]
    BadKey,
    /// The key is of a kind that the TLS library does not know.
    #[error(
        "the key of the first certificate in tls.crt is {0}, with which the TLS library (rustls with AWS-LC) cannot sign; \
         use RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519"
    )]
    UnsupportedKey(String),
    /// They do not belong together.
    #[error("the private key in tls.key is not that of the first certificate in tls.crt")]
    Mismatch,
}

impl Identity {
    /// Reads the two entries of a `kubernetes.io/tls` Secret. Properties that a client judges for itself are
    /// not checked here: expired certificates, old versions and unknown extensions are read like others,
    /// since what some refuse is better than nothing.
    ///
    /// # Errors
    /// [`IdentityError`], the first there is.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<ParsedIdentity, IdentityError> {
        let mut pem_notes = Vec::new();
        let chain = pem::certificates(certificates, &mut pem_notes)?;
        let bytes = chain.iter().map(|der| der.len()).sum::<usize>();
        if bytes > CHAIN_MAX {
            return Err(IdentityError::LongChain(bytes));
        }
        let mut parsed =
            chain.iter().zip(1..).map(|(der, at)| parse(der).ok_or(IdentityError::BadCertificate(at)));
        let first = parsed.next().unwrap_or(Err(IdentityError::NoCertificate))?;
        parsed.try_for_each(|other| other.map(drop))?;
        let about = LeafInfo::of(&first).ok_or(IdentityError::BadCertificate(1))?;
        let fingerprint = chain.first().map(|der| hex(&Sha256::digest(der))).unwrap_or_default();
        let key = pem::private_key(key, &mut pem_notes)?;
        let mut notes: Vec<_> = pem_notes.into_iter().map(IdentityNote::Pem).collect();
        notes.extend(about.notes);
        notes.extend(belongs(&first, &key)?);
        let identity = Self {
            key: key.secret_der().to_vec(),
            names: about.names,
            fingerprint,
            not_before: about.not_before,
            not_after: about.not_after,
            chain: chain.iter().map(|der| der.to_vec()).collect(),
            staple: None,
        };
        Ok(ParsedIdentity { identity, notes })
    }

    /// Ready to sign with. That the key is the certificate's was checked when they were read.
    pub(crate) fn certified(&self) -> Result<CertifiedKey, IdentityError> {
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        // The kind is told by the content: this is what was read from PEM.
        let key = PrivateKeyDer::try_from(self.key.clone()).map_err(|_| IdentityError::BadKey)?;
        Ok(CertifiedKey::new(chain, signer(key)?))
    }
}

fn signer(key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, IdentityError> {
    provider().key_provider.load_private_key(key).map_err(|_| IdentityError::BadKey)
}

/// Checks that a private key can sign, and that it is the certificate's. The function that rustls has for
/// that reads certificates as a client that checks them does, and so refuses some that other clients take.
fn belongs(
    certificate: &X509Certificate<'_>,
    key: &PrivateKeyDer<'static>,
) -> Result<Option<IdentityNote>, IdentityError> {
    let theirs = certificate.public_key();
    let signer = signer(key.clone_key())
        .map_err(|error| public_key::unusable(theirs).map_or(error, IdentityError::UnsupportedKey))?;
    let ours = signer.public_key().ok_or(IdentityError::BadKey)?;
    match public_key::compare(theirs, ours.as_ref()) {
        Match::Same => Ok(None),
        Match::ExplicitCurve => Ok(Some(IdentityNote::ExplicitCurve)),
        Match::Different => Err(IdentityError::Mismatch),
    }
}

/// A certificate that is all of `der`.
fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The parts of the first certificate that are kept.
struct LeafInfo {
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
    notes: Vec<IdentityNote>,
}

impl LeafInfo {
    /// `None` if it has two lists of names, or one that cannot be read.
    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let alternative = certificate.subject_alternative_name().ok()?;
        let names = alternative.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let mut names: Vec<String> = names.collect();
        if names.len() > NAMES_UNSORTED {
            names.sort();
        }
        let version = certificate.version();
        let old = (version != X509Version::V3).then(|| IdentityNote::OldVersion(version.0.saturating_add(1)));
        let critical = certificate.extensions().iter().filter(|extension| extension.critical);
        let unknown = critical.map(|extension| extension.oid.to_id_string());
        let unknown = unknown.filter(|oid| !KNOWN_CRITICAL.contains(&oid.as_str()));
        let validity = certificate.validity();
        Some(Self {
            names,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            notes: old.into_iter().chain(unknown.take(4).map(IdentityNote::CriticalExtension)).collect(),
        })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("names", &self.names)
            .field("key", &"not shown")
            .finish_non_exhaustive()
    }
}
