//! The fields of a head that framing, connections or routing depend on, found by length and first letter:
//! every name of every message is asked.

use super::alias::is_alias;

/// The field in which backends are told of a client's certificate.
const CLIENT_CERT: &[u8] = b"x-forwarded-client-cert";

/// The fields that framing, connections or routing depend on; every other name is [`FieldId::Other`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FieldId {
    /// Any other name.
    #[default]
    Other,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Expect`
    Expect,
    /// `Host`
    Host,
    /// `HTTP2-Settings` (RFC 7540 section 3.2.1), which belongs to an `Upgrade`
    Http2Settings,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `TE`
    Te,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Trailer`
    Trailer,
    /// `Upgrade`
    Upgrade,
    /// `X-Forwarded-Client-Cert`, and its aliases with `_`: a client's word about a certificate that nobody saw
    ForwardedClientCert,
    /// `x-sluice-reason`, see [`super::REASON_HEADER`]
    SluiceReason,
}

impl FieldId {
    /// The field of this name, in any case.
    pub fn of(name: &[u8]) -> Self {
        let (known, id): (&[u8], Self) = match name.len() {
            2 => (b"te", Self::Te),
            4 => (b"host", Self::Host),
            6 => (b"expect", Self::Expect),
            // Of one length, and of different first letters.
            7 if matches!(name.first(), Some(b't' | b'T')) => (b"trailer", Self::Trailer),
            7 => (b"upgrade", Self::Upgrade),
            10 if matches!(name.first(), Some(b'k' | b'K')) => (b"keep-alive", Self::KeepAlive),
            10 => (b"connection", Self::Connection),
            14 if matches!(name.first(), Some(b'h' | b'H')) => (b"http2-settings", Self::Http2Settings),
            14 => (b"content-length", Self::ContentLength),
            15 => (b"x-sluice-reason", Self::SluiceReason),
            16 => (b"proxy-connection", Self::ProxyConnection),
            17 => (b"transfer-encoding", Self::TransferEncoding),
            // A server that knows fields by CGI variables takes an alias for the field.
            23 if is_alias(name, CLIENT_CERT) => return Self::ForwardedClientCert,
            _ => return Self::Other,
        };
        // Most names of these lengths differ in their first letter already.
        let may_be = name.first().map(u8::to_ascii_lowercase) == known.first().copied();
        if may_be && name.eq_ignore_ascii_case(known) { id } else { Self::Other }
    }

    /// True if the field is the gateway's to write: it speaks about one connection (RFC 9110 section
    /// 7.6.1), or the gateway writes it (`Host`, `Content-Length`). These are the names of [`super::FIELDS`]
    /// with [`super::GATEWAY_WRITES`].
    pub fn is_ours_to_write(self) -> bool {
        !matches!(
            self,
            Self::Other | Self::Expect | Self::ForwardedClientCert | Self::SluiceReason | Self::Trailer
        )
    }

    /// True if the field is never forwarded as received: it is [ours to write](Self::is_ours_to_write), or says what only the
    /// gateway can know. Filters may write one of the latter.
    pub fn is_never_forwarded(self) -> bool {
        !matches!(self, Self::Other | Self::Expect | Self::SluiceReason | Self::Trailer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        let table: &[(&str, FieldId)] = &[
            ("Connection", FieldId::Connection),
            ("CONTENT-LENGTH", FieldId::ContentLength),
            ("expect", FieldId::Expect),
            ("hOsT", FieldId::Host),
            ("Keep-Alive", FieldId::KeepAlive),
            ("kONNECTION", FieldId::Other),
            ("Proxy-Connection", FieldId::ProxyConnection),
            ("TE", FieldId::Te),
            ("Transfer-Encoding", FieldId::TransferEncoding),
            ("Trailer", FieldId::Trailer),
            ("Upgrade", FieldId::Upgrade),
            ("HTTP2-Settings", FieldId::Http2Settings),
            ("X-Sluice-Reason", FieldId::SluiceReason),
            ("trailor", FieldId::Other),
            ("Transfer_Encoding", FieldId::Other),
            ("hos", FieldId::Other),
            ("hosts", FieldId::Other),
            ("", FieldId::Other),
        ];
        for (name, want) in table {
            assert_eq!(FieldId::of(name.as_bytes()), *want, "{name}");
        }
    }
}
