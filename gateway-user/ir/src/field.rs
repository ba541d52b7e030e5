//! Names of header fields that only a proxy may write, and names that a server may take for each other.

/// Fields that frame messages or belong to a connection, that say where a request came from, or that say who sends it: in
/// lower case, with `-` for `_`.
const PROXY_FIELDS: &[&str] = &[
    "authorization",
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "remote-user",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
];

/// Beginnings of the names of further such fields.
const PROXY_PREFIXES: &[&str] =
    &["x-auth-request-", "x-forwarded-", "x-original-", "x-remote-", "x-sluice-", "x-ssl-client-"];

/// True for a field that frames messages, belongs to the connection, or says where a request came from or who sends it. Such a
/// field is written by proxies and believed by servers. `_` counts as `-`, and letters compare without case.
pub fn is_proxy_field(name: &[u8]) -> bool {
    let begins =
        |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| is_alias(start, prefix.as_bytes()));
    PROXY_PREFIXES.iter().any(begins) || PROXY_FIELDS.iter().any(|field| is_alias(name, field.as_bytes()))
}

/// True if two field names are one to a server that hands fields on as variables of the environment, as CGI does (RFC 3875
/// section 4.1.18): letters compare without case, and `_` is `-`.
pub fn is_alias(one: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.iter().map(fold).eq(other.iter().map(fold))
}

/// Whether a field belongs to the connection or frames the message (RFC 9110 section 7.6.1, RFC 9112 section 6): the
/// proxy alone writes these, and a filter that names one changes nothing. `name` is in lower case.
pub fn is_framing_field(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_what_cgi_makes_one_variable_of() {
        for (one, other) in [("X_Auth-User", "x-auth_user"), ("a", "A"), ("_", "-"), ("", "")] {
            assert!(is_alias(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
        for (one, other) in [("a-b", "ab"), ("a.b", "a-b"), ("a", "ab")] {
            assert!(!is_alias(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
    }

    #[test]
    fn proxy_fields_are_known_in_every_spelling() {
        for name in [
            "X_Forwarded_For",
            "x-forwarded_client-cert",
            "Transfer_Encoding",
            "CONTENT_LENGTH",
            "X_Request_Id",
            "Cookie",
            "x_remote_group",
            "X_Sluice_Reason",
            "Forwarded",
        ] {
            assert!(is_proxy_field(name.as_bytes()), "{name}");
        }
        for name in ["X_Auth_User", "x_forwarded_", "api_key", "x-forward", "traceparent", ""] {
            assert_eq!(is_proxy_field(name.as_bytes()), name == "x_forwarded_", "{name}");
        }
    }

    #[test]
    fn the_list_is_ordered_and_folded() {
        assert!(PROXY_FIELDS.is_sorted() && PROXY_PREFIXES.is_sorted());
        for name in PROXY_FIELDS.iter().chain(PROXY_PREFIXES) {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{name}"
            );
        }
    }
}
