//! A client's certificate as a field value for backends, in Envoy's form (`x-forwarded-client-cert`): `Hash`, `Subject`, and
//! each URI and DNS name.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use x509_parser::asn1_rs::ToDer as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::identity::hex;

/// Bytes of a value. Names that do not fit are left out: backends take heads of some kibibytes.
const VALUE_MAX: usize = 4 << 10;

/// Attribute types that have a name in distinguished names, by their OIDs (RFC 4514 section 3; `emailAddress` as OpenSSL
/// writes it).
const ATTRIBUTES: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The value of `X-Forwarded-Client-Cert` for a certificate in DER: visible ASCII and spaces only, at most 4 KiB.
pub fn forwarded_client_cert(der: &[u8]) -> String {
    let mut value = format!("Hash={}", hex(&Sha256::digest(der)));
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return value };
    // Escapes are those of the distinguished name, which has `\"` for a quote.
    put(&mut value, &format!("Subject=\"{}\"", subject(parsed.subject())));
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let names = || alternative.iter().flat_map(|names| &names.value.general_names);
    let uris = names().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(("URI", *uri)),
        _ => None,
    });
    let hosts = names().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(("DNS", *name)),
        _ => None,
    });
    // Neither a DNS name nor a URI has other characters (RFC 3986 section 2), which would be read as something else.
    let is_plain = |(_, name): &(&str, &str)| name.bytes().all(|byte| byte.is_ascii_graphic());
    for (key, name) in uris.chain(hosts).filter(is_plain) {
        put(&mut value, &format!("{key}={}", quoted(name)));
    }
    value
}

/// Adds an element, if there is room for it.
fn put(value: &mut String, element: &str) {
    if value.len() + 1 + element.len() <= VALUE_MAX {
        value.push(';');
        value.push_str(element);
    }
}

/// A value, quoted where it has a character that ends one.
fn quoted(text: &str) -> String {
    if !text.contains([',', ';', '=', '"', '\\']) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A distinguished name as text, the last attribute first (RFC 4514).
fn subject(name: &X509Name<'_>) -> String {
    let mut sets: Vec<String> = Vec::new();
    for set in name.iter_rdn() {
        let attributes: Vec<_> = set.iter().map(attribute).collect();
        sets.push(attributes.join("+"));
    }
    sets.reverse();
    sets.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let known = ATTRIBUTES.iter().find(|(own, _)| *own == oid);
    match (known, attribute.as_str()) {
        (Some((_, name)), Ok(text)) => format!("{name}={}", escaped(text)),
        // Of an unknown type, or no text: its encoding.
        (known, _) => {
            let name = known.map_or(oid.as_str(), |(_, name)| *name);
            let encoding = attribute.attr_value().to_der_vec().unwrap_or_default();
            format!("{name}=#{}", hex(&encoding))
        }
    }
}

/// The text with the escapes of RFC 4514 section 2.4, and each byte beyond visible ASCII by its number.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        let special = match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => true,
            b' ' => at == 0 || at == last,
            b'#' => at == 0,
            _ => false,
        };
        if special {
            out.push('\\');
            out.push(char::from(byte));
        } else if byte.is_ascii_graphic() || byte == b' ' {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(subject: &[(DnType, &str)], names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in subject {
            params.distinguished_name.push(kind.clone(), *text);
        }
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn value(subject: &[(DnType, &str)], names: Vec<SanType>) -> String {
        let der = certificate(subject, names);
        let value = forwarded_client_cert(&der);
        assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{value}");
        let (hash, rest) = value.split_once(';').unwrap();
        assert_eq!(hash, format!("Hash={}", hex(&Sha256::digest(&der))));
        rest.to_owned()
    }

    #[test]
    fn subject_and_names_are_written_as_envoy_does() {
        let names = vec![
            SanType::DnsName("client.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/a".try_into().unwrap()),
            SanType::Rfc822Name("a@example.com".try_into().unwrap()),
        ];
        let subject = [(DnType::CountryName, "DE"), (DnType::CommonName, "client one")];
        assert_eq!(
            value(&subject, names),
            "Subject=\"CN=client one,C=DE\";URI=spiffe://example.com/a;DNS=client.example.com"
        );
    }

    #[test]
    fn nothing_in_a_certificate_ends_an_element_or_a_line() {
        let subject = [(DnType::CommonName, "a\";URI=spiffe://root,\r\nX: y\\ \u{e9}")];
        let names = vec![
            SanType::URI("spiffe://a/,By=x;Hash=\"1\"".try_into().unwrap()),
            SanType::DnsName("a\r\nb".try_into().unwrap()),
        ];
        assert_eq!(
            value(&subject, names),
            "Subject=\"CN=a\\\"\\;URI=spiffe://root\\,\\0D\\0AX: y\\\\ \\C3\\A9\";\
             URI=\"spiffe://a/,By=x;Hash=\\\"1\\\"\""
        );
    }

    #[test]
    fn thousands_of_names_are_cut() {
        let names = (0..2_000).map(|n| SanType::DnsName(format!("{n}.example.com").try_into().unwrap()));
        let der = certificate(&[], names.collect());
        let value = forwarded_client_cert(&der);
        assert!(value.len() <= VALUE_MAX && value.len() > VALUE_MAX / 2 && value.ends_with(".example.com"));
    }
}
