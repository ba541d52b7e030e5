//! A certificate chain and its private key, read from PEM and checked.

use std::fmt;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::provider;
use crate::server::NAMES_UNSORTED;

/// Bytes of a chain in DER. OpenSSL's clients refuse longer ones, so that nobody is served by one; and each handshake sends it
/// whole. A Secret may hold ten times as much.
const CHAIN_MAX: usize = 100 << 10;

/// What a server shows and how it proves that it may. Printing it never shows the key.
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
    /// From when on the first certificate is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
}

/// Why PEM texts are no [`Identity`]. The text names the key of the Secret, `tls.crt` or `tls.key`, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no certificate in the first text.
    #[error("tls.crt holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// One of the sections is damaged.
    #[error("tls.crt is not PEM from end to end: {0}")]
    BadPem(&'static str),
    /// A section is no X.509 certificate.
    #[error("certificate {0} of tls.crt is not X.509 version 3 in DER")]
    BadCertificate(usize),
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
    /// They do not belong together.
    #[error("the private key in tls.key is not that of the first certificate in tls.crt")]
    Mismatch,
}

impl Identity {
    /// Reads the two entries of a `kubernetes.io/tls` Secret. Expired certificates are read like others: what is out of
    /// date is better than nothing, and not ours to decide.
    ///
    /// # Errors
    /// [`IdentityError`], the first there is.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = read_chain(certificates)?;
        let bytes = chain.iter().map(|der| der.len()).sum::<usize>();
        if bytes > CHAIN_MAX {
            return Err(IdentityError::LongChain(bytes));
        }
        let parse = |der: &CertificateDer<'_>| About::read(der);
        let mut abouts =
            chain.iter().zip(1..).map(|(der, at)| parse(der).ok_or(IdentityError::BadCertificate(at)));
        let about = abouts.next().unwrap_or(Err(IdentityError::NoCertificate))?;
        abouts.try_for_each(|other| other.map(drop))?;
        let fingerprint = chain.first().map(|der| hex(&Sha256::digest(der))).unwrap_or_default();
        let key = read_key(key)?;
        certified(chain.clone(), key.clone_key())?;
        Ok(Self {
            chain: chain.into_iter().map(|der| der.to_vec()).collect(),
            key: key.secret_der().to_vec(),
            names: about.names,
            fingerprint,
            not_before: about.not_before,
            not_after: about.not_after,
        })
    }

    /// Ready to sign with.
    pub(crate) fn certified(&self) -> Result<CertifiedKey, IdentityError> {
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        // The kind is told by the content: this is what was read from PEM.
        let key = PrivateKeyDer::try_from(self.key.clone()).map_err(|_| IdentityError::BadKey)?;
        certified(chain, key)
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, IdentityError> {
    let signer = provider().key_provider.load_private_key(key).map_err(|_| IdentityError::BadKey)?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(IdentityError::Mismatch),
        Err(_) => Err(IdentityError::BadCertificate(1)),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn read_chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(IdentityError::NoCertificate),
        Ok(chain) => Ok(chain),
        Err(error) => Err(IdentityError::BadPem(damage(&error))),
    }
}

/// The reader's own words quote the text as numbers.
fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "a section has no proper BEGIN line",
    }
}

fn read_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        let holds = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
        match error {
            _ if encrypted.into_iter().any(holds) => IdentityError::EncryptedKey,
            pem::Error::NoItemsFound => IdentityError::NoKey,
            error => IdentityError::BadKeyPem(damage(&error)),
        }
    })
}

/// What a certificate says of itself.
struct About {
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
}

impl About {
    fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
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
        let validity = certificate.validity();
        Some(Self {
            names,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
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
