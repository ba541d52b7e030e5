//! OCSP responses that are sent with a certificate (RFC 6066 section 8, RFC 6960).

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use der::Decode as _;
use der::asn1::ObjectIdentifier;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// id-pkix-ocsp-basic (RFC 6960 section 4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// Hashes of an issuer's name that responders use.
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Bytes of a response. Each handshake sends it whole.
const LENGTH_MAX: usize = 16 << 10;

/// A response that says of a certificate that it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    /// The response in DER.
    pub der: Vec<u8>,
    /// Start of its validity, in seconds since 1970.
    pub this_update: i64,
    /// Its end, in seconds since 1970; without one a newer response may be there at any time.
    pub next_update: Option<i64>,
}

/// Reasons why the entry `tls.ocsp-staple` of a Secret is not sent with its certificate. The text names the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StapleError {
    /// It is something else, or cut.
    #[error(
        "tls.ocsp-staple is no OCSP response in DER, so none is stapled; write what `openssl ocsp -respout` writes"
    )]
    NoResponse,
    /// More than anybody sends.
    #[error(
        "tls.ocsp-staple has {0} bytes, and {LENGTH_MAX} are stapled at most; leave certificates out that need not be in it"
    )]
    Long(usize),
    /// The responder answered that it cannot answer.
    #[error("tls.ocsp-staple is a responder's refusal ({0}), so none is stapled; ask it again")]
    Refusal(&'static str),
    /// It is about other certificates.
    #[error(
        "tls.ocsp-staple says nothing of certificate 1 of tls.crt, so none is stapled; ask for a response about that one"
    )]
    OtherCertificate,
    /// Clients would refuse the certificate.
    #[error(
        "tls.ocsp-staple says that certificate 1 of tls.crt is revoked, which is not stapled; clients that ask the responder \
         refuse it, so replace the certificate"
    )]
    Revoked,
    /// The responder knows no such certificate.
    #[error(
        "tls.ocsp-staple says that certificate 1 of tls.crt is unknown, so none is stapled; ask its issuer's responder"
    )]
    Unknown,
}

impl Staple {
    /// Reads a response about a certificate in DER. Its signature is the clients' to check.
    ///
    /// # Errors
    /// [`StapleError`].
    pub fn read(response: &[u8], certificate: &[u8]) -> Result<Self, StapleError> {
        if response.len() > LENGTH_MAX {
            return Err(StapleError::Long(response.len()));
        }
        let outer = OcspResponse::from_der(response).map_err(|_| StapleError::NoResponse)?;
        if outer.response_status != OcspResponseStatus::Successful {
            return Err(StapleError::Refusal(refusal(outer.response_status)));
        }
        let bytes = outer.response_bytes.filter(|bytes| bytes.response_type == BASIC);
        let bytes = bytes.ok_or(StapleError::NoResponse)?;
        let basic = BasicOcspResponse::from_der(bytes.response.as_bytes());
        let basic = basic.map_err(|_| StapleError::NoResponse)?;
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| StapleError::OtherCertificate)?;
        let about = basic.tbs_response_data.responses.iter();
        let about = about.filter(|one| is_about(&one.cert_id, &certificate));
        // Of several the newest.
        let single = about.max_by_key(|one| seconds(one.this_update)).ok_or(StapleError::OtherCertificate)?;
        match single.cert_status {
            CertStatus::Good(_) => {}
            CertStatus::Revoked(_) => return Err(StapleError::Revoked),
            CertStatus::Unknown(_) => return Err(StapleError::Unknown),
        }
        Ok(Self {
            der: response.to_vec(),
            this_update: seconds(single.this_update),
            next_update: single.next_update.map(seconds),
        })
    }

    /// True if clients take it at this time, in seconds since 1970.
    pub fn is_current(&self, now: i64) -> bool {
        now >= self.this_update && self.next_update.is_none_or(|end| now < end)
    }
}

fn refusal(status: OcspResponseStatus) -> &'static str {
    match status {
        OcspResponseStatus::MalformedRequest => "malformedRequest",
        OcspResponseStatus::InternalError => "internalError",
        OcspResponseStatus::TryLater => "tryLater",
        OcspResponseStatus::SigRequired => "sigRequired",
        OcspResponseStatus::Unauthorized => "unauthorized",
        OcspResponseStatus::Successful => "successful",
    }
}

fn seconds(time: OcspGeneralizedTime) -> i64 {
    i64::try_from(time.0.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// True if number and issuer are the certificate's (RFC 6960 section 4.1.1). The hash of the issuer's key takes the issuer's
/// certificate, which may not be there.
fn is_about(id: &CertId, certificate: &X509Certificate<'_>) -> bool {
    let algorithm = match id.hash_algorithm.oid {
        SHA_1 => &SHA1_FOR_LEGACY_USE_ONLY,
        SHA_256 => &SHA256,
        _ => return false,
    };
    let issuer = digest::digest(algorithm, certificate.issuer().as_raw());
    number(id.serial_number.as_bytes()) == number(certificate.raw_serial())
        && id.issuer_name_hash.as_bytes() == issuer.as_ref()
}

/// A number's bytes without the zeros before it, of which some writers have one too many.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    const GOOD: &[u8] = include_bytes!("../tests/certificates/ocsp/good.der");
    const KEY: &[u8] = include_bytes!("../tests/certificates/ocsp/leaf.key");

    /// The certificate of a file.
    fn certificate(pem: &[u8]) -> Vec<u8> {
        Identity::read(pem, KEY).unwrap().identity.chain.remove(0)
    }

    fn leaf() -> Vec<u8> {
        certificate(include_bytes!("../tests/certificates/ocsp/leaf.pem"))
    }

    #[test]
    fn a_response_is_read_for_its_certificate() {
        for response in [GOOD, include_bytes!("../tests/certificates/ocsp/good256.der")] {
            let staple = Staple::read(response, &leaf()).unwrap();
            assert_eq!(staple.der, response);
            let end = staple.next_update.unwrap();
            assert_eq!(end - staple.this_update, 3650 * 24 * 60 * 60);
            for (now, is_current) in
                [(staple.this_update - 1, false), (staple.this_update, true), (end - 1, true), (end, false)]
            {
                assert_eq!(staple.is_current(now), is_current, "{now}");
            }
            assert!(Staple { next_update: None, ..staple }.is_current(i64::MAX));
        }
    }

    #[test]
    fn others_are_told_by_their_fault() {
        let other = certificate(include_bytes!("../tests/certificates/ocsp/other.pem"));
        let revoked = include_bytes!("../tests/certificates/ocsp/revoked.der");
        let unknown = include_bytes!("../tests/certificates/ocsp/none.der");
        for (response, certificate, fault) in [
            (GOOD, &other, StapleError::OtherCertificate),
            (&revoked[..], &leaf(), StapleError::Revoked),
            (&unknown[..], &leaf(), StapleError::Unknown),
            (b"", &leaf(), StapleError::NoResponse),
            (b"-----BEGIN OCSP RESPONSE-----", &leaf(), StapleError::NoResponse),
            // OCSPResponse { tryLater }.
            (b"\x30\x03\x0a\x01\x03", &leaf(), StapleError::Refusal("tryLater")),
            (&[b'x'; LENGTH_MAX + 1], &leaf(), StapleError::Long(LENGTH_MAX + 1)),
        ] {
            assert_eq!(Staple::read(response, certificate), Err(fault));
        }
    }

    #[test]
    fn no_cut_or_changed_response_is_a_panic() {
        let leaf = leaf();
        for at in 0..GOOD.len() {
            assert!(Staple::read(&GOOD[..at], &leaf).is_err(), "{at}");
            for bit in 0..8 {
                let mut changed = GOOD.to_vec();
                changed[at] ^= 1 << bit;
                let _ = Staple::read(&changed, &leaf);
            }
        }
    }
}
