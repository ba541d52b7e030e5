//! Checks of a certificate that is trusted itself, and needs no chain.

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Checks that a certificate is in its time.
///
/// # Errors
/// It is not, or is no certificate.
pub(crate) fn check_validity(end_entity: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = parse(end_entity)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > parsed.validity().not_after.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    if now < parsed.validity().not_before.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    Ok(())
}

/// Checks that a certificate is for clients, as far as it says for whom (RFC 5280 section 4.2.1.12).
///
/// # Errors
/// It is for others, or is no certificate.
pub(crate) fn check_client_usage(end_entity: &CertificateDer<'_>) -> Result<(), Error> {
    let parsed = parse(end_entity)?;
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    match parsed.extended_key_usage().map_err(bad)? {
        Some(usage) if !usage.value.client_auth && !usage.value.any => {
            Err(Error::InvalidCertificate(CertificateError::InvalidPurpose))
        }
        _ => Ok(()),
    }
}

fn parse<'a>(end_entity: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    X509Certificate::from_der(end_entity).map(|(_, parsed)| parsed).map_err(bad)
}
