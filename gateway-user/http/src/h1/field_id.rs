//! Field names that mean something to a proxy.

use super::bytes::eq_ignore_case;

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
    /// `x-sluice-reason`, see [`super::encode::REASON_HEADER`]
    SluiceReason,
}

impl FieldId {
    /// Classifies a field name.
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
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(known) { id } else { Self::Other }
    }

    /// Whether the field is never forwarded as received: it speaks about one connection (RFC 9110 section 7.6.1), or we
    /// write it ourselves (`Host`, `Content-Length`).
    pub fn is_ours_to_write(self) -> bool {
        !matches!(self, Self::Other | Self::Expect | Self::SluiceReason | Self::Trailer)
    }
}

/// Fields that stay even when `Connection` names them: dropping one would change who is asking, for what, or what the
/// content is. A sender must not name such fields (RFC 9110 section 7.6.1), so the option is ignored.
const END_TO_END: &[&[u8]] = &[
    b"accept",
    b"age",
    b"allow",
    b"authorization",
    b"cache-control",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-location",
    b"content-range",
    b"content-security-policy",
    b"content-type",
    b"cookie",
    b"date",
    b"etag",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"last-modified",
    b"location",
    b"max-forwards",
    b"origin",
    b"pragma",
    b"proxy-authorization",
    b"range",
    b"referer",
    b"retry-after",
    b"set-cookie",
    b"strict-transport-security",
    b"traceparent",
    b"tracestate",
    b"user-agent",
    b"vary",
    b"via",
    b"www-authenticate",
    b"x-real-ip",
    b"x-request-id",
];

/// Whether a field stays although `Connection` names it; all of `x-forwarded-*` and `x-sluice-*` do.
pub fn is_end_to_end(name: &[u8]) -> bool {
    let prefixed =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    prefixed(b"x-forwarded-")
        || prefixed(b"x-sluice-")
        || END_TO_END.iter().any(|known| eq_ignore_case(known, name))
}

/// Fields that mean nothing, or harm, in a trailer section: framing, routing, request modifiers, authentication,
/// response control and how to read the content (RFC 9110 section 6.5.1).
const FORBIDDEN_TRAILERS: &[&[u8]] = &[
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"http2-settings",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"vary",
    b"via",
    b"warning",
    b"www-authenticate",
    b"x-sluice-reason",
];

/// Whether a trailer field is dropped.
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    let forwarded = name.get(..12).is_some_and(|head| head.eq_ignore_ascii_case(b"x-forwarded-"));
    forwarded || FORBIDDEN_TRAILERS.iter().any(|known| eq_ignore_case(known, name))
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

    #[test]
    fn fields_that_carry_identity_stay() {
        for name in
            ["Authorization", "cookie", "X-Forwarded-For", "x-forwarded-proto", "HOST", "x-sluice-reason"]
        {
            assert!(is_end_to_end(name.as_bytes()), "{name}");
        }
        for name in ["x-custom", "http2-settings", "x-forwarded", "keep-alive"] {
            assert!(!is_end_to_end(name.as_bytes()), "{name}");
        }
    }
}
