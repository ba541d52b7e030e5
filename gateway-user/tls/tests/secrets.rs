//! Certificates and keys as people have them: what is served, with which notes, and what is refused with
//! which words.

use gateway_tls::{Identity, IdentityError, IdentityNote, ParsedIdentity};

/// A certificate and its key, made by OpenSSL 3.0, in one text.
fn read(text: &str) -> Result<ParsedIdentity, IdentityError> {
    let at = text.find("-----END CERTIFICATE-----\n").unwrap() + "-----END CERTIFICATE-----\n".len();
    let (certificate, key) = text.split_at(at);
    Identity::read(certificate.as_bytes(), key.as_bytes())
}

macro_rules! certificate {
    ($name:literal) => {
        include_str!(concat!("certificates/", $name, ".pem"))
    };
}

#[test]
fn what_clients_may_judge_is_served_with_a_note() {
    for (name, text, want) in [
        ("version_1", certificate!("version_1"), vec![IdentityNote::OldVersion(1)]),
        (
            "critical",
            certificate!("critical"),
            vec![
                IdentityNote::CriticalExtension("2.5.29.32".to_owned()),
                IdentityNote::CriticalExtension("1.3.6.1.4.1.55555.1".to_owned()),
            ],
        ),
        ("compressed_point", certificate!("compressed_point"), vec![]),
        ("explicit_curve", certificate!("explicit_curve"), vec![IdentityNote::ExplicitCurve]),
    ] {
        let read = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.notes, want, "{name}");
    }
}

#[test]
fn a_key_is_the_certificates_own_whatever_its_version() {
    let texts = [
        certificate!("version_1"),
        certificate!("critical"),
        certificate!("compressed_point"),
        certificate!("explicit_curve"),
    ];
    for (at, text) in texts.iter().enumerate() {
        let other = texts[(at + 1) % texts.len()];
        let key = &other
            [other.find("-----BEGIN EC PRIVATE KEY").or(other.find("-----BEGIN PRIVATE KEY")).unwrap()..];
        let certificate = &text[..text.find("-----END").unwrap()];
        let certificate = format!("{certificate}-----END CERTIFICATE-----\n");
        let error = Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error, IdentityError::Mismatch, "{at}");
    }
}

#[test]
fn a_key_that_the_library_cannot_sign_with_is_named() {
    for (text, want) in [
        (certificate!("secp256k1"), "ECDSA on the curve secp256k1"),
        (certificate!("ed448"), "Ed448"),
        (certificate!("rsa_pss"), "RSA for RSASSA-PSS alone (id-RSASSA-PSS)"),
        (certificate!("rsa_1024"), "RSA with 1024 bits"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error, IdentityError::UnsupportedKey(want.to_owned()));
        assert!(error.to_string().contains("use RSA of 2048 to 8192 bits"), "{error}");
    }
}
