//! An authority that signs controllers' certificates, and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Validity of an authority.
pub(super) const AUTHORITY_SECONDS: i64 = 365 * DAY;
/// Validity of a controller's certificate.
pub(super) const SERVING_SECONDS: i64 = 30 * DAY;
/// Validity begins so long before now: clocks differ.
pub(super) const BACKDATED_SECONDS: i64 = HOUR;

/// A certificate with its private key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Pair {
    /// First and last second of its validity; `None` if it cannot be read.
    pub(super) fn validity(&self) -> Option<(i64, i64)> {
        gateway_tls::validity(self.certificate.as_bytes())
    }
}

/// A new authority.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn authority(now: i64) -> Result<Pair, rcgen::Error> {
    let mut params = params("sluice controllers", now, AUTHORITY_SECONDS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

/// A new certificate for controllers, signed by `authority`.
///
/// # Errors
/// The authority cannot be read.
pub(super) fn serving(authority: &Pair, now: i64) -> Result<Pair, rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let mut params = params(gateway_tls::STREAM_NAME, now, SERVING_SECONDS)?;
    params.subject_alt_names = vec![rcgen::SanType::DnsName(gateway_tls::STREAM_NAME.try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
}

fn params(name: &str, now: i64, seconds: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(now - BACKDATED_SECONDS)?;
    params.not_after = date(now + seconds)?;
    Ok(params)
}

fn date(seconds: i64) -> Result<OffsetDateTime, rcgen::Error> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| rcgen::Error::Time)
}
