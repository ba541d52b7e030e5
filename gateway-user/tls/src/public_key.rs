//! Tells whether a private key belongs to a certificate, and what kind of key that has.

use x509_parser::asn1_rs::Tag;
use x509_parser::oid_registry::{
    OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS,
    OID_SIG_ED448, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The prefixes of points on a curve (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
const COMPRESSED_EVEN: u8 = 2;
const COMPRESSED_ODD: u8 = 3;

/// Comparison of a certificate's key with a private key's public half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// The same key.
    Same,
    /// The same point, but the certificate spells its curve out.
    ExplicitCurve,
    /// Different keys.
    Different,
}

/// Compares by what the key is and not by how it is written: the parameters of RSA may be missing, and a
/// point may be compressed. `ours` is a SubjectPublicKeyInfo in DER.
pub(crate) fn compare(certificate: &SubjectPublicKeyInfo<'_>, ours: &[u8]) -> Match {
    let Ok((_, ours)) = SubjectPublicKeyInfo::from_der(ours) else { return Match::Different };
    let algorithm = &certificate.algorithm.algorithm;
    let (theirs, our_bits) = (&*certificate.subject_public_key.data, &*ours.subject_public_key.data);
    if *algorithm != ours.algorithm.algorithm {
        return Match::Different;
    }
    if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return if theirs == our_bits { Match::Same } else { Match::Different };
    }
    if !is_same_point(theirs, our_bits) {
        return Match::Different;
    }
    match curve(certificate) {
        Some(curve) if Some(&curve) == self::curve(&ours).as_ref() => Match::Same,
        Some(_) => Match::Different,
        None => Match::ExplicitCurve,
    }
}

/// `ours` is not compressed.
fn is_same_point(theirs: &[u8], ours: &[u8]) -> bool {
    let [UNCOMPRESSED, point @ ..] = ours else { return theirs == ours };
    let (x, y) = point.split_at(point.len() / 2);
    match theirs {
        [COMPRESSED_EVEN, rest @ ..] => rest == x && y.last().is_some_and(|last| last % 2 == 0),
        [COMPRESSED_ODD, rest @ ..] => rest == x && y.last().is_some_and(|last| last % 2 == 1),
        _ => theirs == ours,
    }
}

/// The OID of a curve that is named; `None` if it is spelled out.
fn curve(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let parameters = key.algorithm.parameters.as_ref()?;
    let named = parameters.tag() == Tag::Oid;
    named.then(|| parameters.as_oid().ok())?.map(|oid| oid.to_id_string())
}

/// The kind of a key that rustls cannot sign with, in words; `None` for kinds that it can.
pub(crate) fn unusable(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(key)) = key.parsed() else { return None };
        let bits = key.key_size();
        return (!(2048..=8192).contains(&bits)).then(|| format!("RSA with {bits} bits"));
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        return match curve(key).as_deref() {
            Some("1.2.840.10045.3.1.7" | "1.3.132.0.34" | "1.3.132.0.35") => None,
            Some("1.3.132.0.10") => Some("ECDSA on the curve secp256k1".to_owned()),
            Some(other) => Some(format!("ECDSA on the curve {other}")),
            None => Some("ECDSA on a curve that is spelled out (explicit parameters)".to_owned()),
        };
    }
    if *algorithm == OID_SIG_ED25519 {
        return None;
    }
    let known = [
        (OID_PKCS1_RSASSAPSS, "RSA for RSASSA-PSS alone (id-RSASSA-PSS)"),
        (OID_SIG_ED448, "Ed448"),
        (OID_KEY_TYPE_DSA, "DSA"),
    ];
    let name = known.into_iter().find_map(|(known, name)| (*algorithm == known).then(|| name.to_owned()));
    Some(name.unwrap_or_else(|| format!("of the kind {}", algorithm.to_id_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_the_same_compressed_or_not() {
        let point = [UNCOMPRESSED, 7, 8, 9, 3];
        for (theirs, same) in [
            (&[UNCOMPRESSED, 7, 8, 9, 3][..], true),
            (&[COMPRESSED_ODD, 7, 8], true),
            (&[COMPRESSED_EVEN, 7, 8], false),
            (&[COMPRESSED_ODD, 7, 9], false),
            (&[COMPRESSED_ODD], false),
            (&[], false),
        ] {
            assert_eq!(is_same_point(theirs, &point), same, "{theirs:?}");
        }
    }
}
