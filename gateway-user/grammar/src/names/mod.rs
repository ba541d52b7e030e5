//! Field names that mean something to a gateway: one table for the checks of routes, for filters and for the
//! codec.

mod alias;
mod field_id;

pub use alias::is_alias;
pub use field_id::FieldId;

use crate::token::eq_ignore_case;

/// The field of local replies that has their reason. Only the gateway writes it.
pub const REASON_HEADER: &str = "x-sluice-reason";

/// Bit of a field that is never forwarded as received: it speaks about one connection (RFC 9110 section
/// 7.6.1), or the gateway writes it (`Host`, `Content-Length`). [`FieldId::is_ours_to_write`] is the same,
/// for names that are classified already.
pub const GATEWAY_WRITES: u8 = 1;

/// Bit of a field that a filter does not change by naming it: it belongs to the connection or frames the
/// message (RFC 9110 section 7.6.1, RFC 9112 section 6).
pub const NOT_EDITABLE: u8 = 1 << 1;

/// Bit of a field that stays even when `Connection` names it: dropping it would change who is asking, for
/// what, or what the content is. A sender must not name such fields (RFC 9110 section 7.6.1), so the
/// option is ignored.
pub const END_TO_END: u8 = 1 << 2;

/// Bit of a field that means nothing, or harms, in a trailer section: framing, routing, request modifiers,
/// authentication, response control and how to read the content (RFC 9110 section 6.5.1).
pub const NO_TRAILER: u8 = 1 << 3;

/// Bit of a field that proxies write and servers believe: it frames messages, belongs to the connection, or
/// says where a request came from or who sends it. Its aliases with `_` are never forwarded.
pub const TRUSTED: u8 = 1 << 4;

/// The fields with a meaning, in lower case and in order, and their properties.
pub const FIELDS: &[(&str, u8)] = &[
    ("accept", END_TO_END),
    ("age", END_TO_END | NO_TRAILER),
    ("allow", END_TO_END),
    ("authorization", END_TO_END | NO_TRAILER | TRUSTED),
    ("cache-control", END_TO_END | NO_TRAILER),
    ("cf-connecting-ip", TRUSTED),
    ("client-cert", TRUSTED),
    ("client-cert-chain", TRUSTED),
    ("client-ip", TRUSTED),
    ("connection", GATEWAY_WRITES | NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("content-disposition", END_TO_END),
    ("content-encoding", END_TO_END | NO_TRAILER | TRUSTED),
    ("content-language", END_TO_END),
    ("content-length", GATEWAY_WRITES | NOT_EDITABLE | END_TO_END | NO_TRAILER | TRUSTED),
    ("content-location", END_TO_END),
    ("content-range", END_TO_END | NO_TRAILER | TRUSTED),
    ("content-security-policy", END_TO_END),
    ("content-type", END_TO_END | NO_TRAILER | TRUSTED),
    ("cookie", END_TO_END | NO_TRAILER | TRUSTED),
    ("date", END_TO_END | NO_TRAILER),
    ("etag", END_TO_END),
    ("expect", END_TO_END | NO_TRAILER | TRUSTED),
    ("expires", END_TO_END | NO_TRAILER),
    ("fastly-client-ip", TRUSTED),
    ("forwarded", END_TO_END | NO_TRAILER | TRUSTED),
    ("forwarded-for", TRUSTED),
    ("host", GATEWAY_WRITES | END_TO_END | NO_TRAILER | TRUSTED),
    ("http2-settings", GATEWAY_WRITES | NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("if-match", END_TO_END | NO_TRAILER),
    ("if-modified-since", END_TO_END | NO_TRAILER),
    ("if-none-match", END_TO_END | NO_TRAILER),
    ("if-range", END_TO_END | NO_TRAILER),
    ("if-unmodified-since", END_TO_END | NO_TRAILER),
    ("keep-alive", GATEWAY_WRITES | NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("last-modified", END_TO_END),
    ("location", END_TO_END | NO_TRAILER),
    ("max-forwards", END_TO_END | NO_TRAILER),
    ("origin", END_TO_END),
    ("pragma", END_TO_END | NO_TRAILER),
    ("proxy-authenticate", NO_TRAILER),
    ("proxy-authorization", END_TO_END | NO_TRAILER | TRUSTED),
    ("proxy-connection", GATEWAY_WRITES | NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("range", END_TO_END | NO_TRAILER),
    ("referer", END_TO_END),
    ("remote-user", TRUSTED),
    ("retry-after", END_TO_END | NO_TRAILER),
    ("set-cookie", END_TO_END | NO_TRAILER),
    ("strict-transport-security", END_TO_END),
    ("te", GATEWAY_WRITES | NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("traceparent", END_TO_END),
    ("tracestate", END_TO_END),
    ("trailer", NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("transfer-encoding", GATEWAY_WRITES | NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("true-client-ip", TRUSTED),
    ("upgrade", GATEWAY_WRITES | NOT_EDITABLE | NO_TRAILER | TRUSTED),
    ("user-agent", END_TO_END),
    ("vary", END_TO_END | NO_TRAILER),
    ("via", END_TO_END | NO_TRAILER | TRUSTED),
    ("warning", NO_TRAILER),
    ("www-authenticate", END_TO_END | NO_TRAILER),
    ("x-client-cert", TRUSTED),
    ("x-client-ip", TRUSTED),
    ("x-cluster-client-ip", TRUSTED),
    ("x-forwarded", TRUSTED),
    ("x-real-ip", END_TO_END | TRUSTED),
    ("x-request-id", END_TO_END | TRUSTED),
    ("x-rewrite-url", TRUSTED),
    ("x-sluice-reason", NO_TRAILER),
];

/// Beginnings of names whose fields all have these properties.
pub const PREFIXES: &[(&str, u8)] = &[
    ("x-auth-request-", TRUSTED),
    ("x-forwarded-", END_TO_END | NO_TRAILER | TRUSTED),
    ("x-original-", TRUSTED),
    ("x-remote-", TRUSTED),
    ("x-sluice-", END_TO_END | TRUSTED),
    ("x-ssl-client-", TRUSTED),
];

/// True if the name has the property; `same` compares two names.
fn has(name: &[u8], property: u8, same: fn(&[u8], &[u8]) -> bool) -> bool {
    let begins = |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| same(start, prefix));
    let with = move |(_, properties): &&(&str, u8)| properties & property != 0;
    PREFIXES.iter().filter(with).any(|(prefix, _)| begins(prefix.as_bytes()))
        || FIELDS.iter().filter(with).any(|(field, _)| same(name, field.as_bytes()))
}

/// True for a field that filters do not change; see [`NOT_EDITABLE`]. Letters compare without case.
pub fn is_framing_field(name: &[u8]) -> bool {
    has(name, NOT_EDITABLE, eq_ignore_case)
}

/// True for a field that stays although `Connection` names it; see [`END_TO_END`]. Letters compare without
/// case.
pub fn is_end_to_end(name: &[u8]) -> bool {
    has(name, END_TO_END, eq_ignore_case)
}

/// True for a field that is dropped from trailers; see [`NO_TRAILER`]. Letters compare without case.
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    has(name, NO_TRAILER, eq_ignore_case)
}

/// True for a field that only proxies may write; see [`TRUSTED`]. `_` counts as `-`, and letters compare
/// without case.
pub fn is_proxy_field(name: &[u8]) -> bool {
    has(name, TRUSTED, is_alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_in_lower_case_and_agrees_with_field_ids() {
        assert!(FIELDS.is_sorted_by_key(|(name, _)| *name) && PREFIXES.is_sorted_by_key(|(name, _)| *name));
        for (name, properties) in FIELDS.iter().chain(PREFIXES) {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(name.bytes().all(plain) && *properties != 0, "{name}");
            let ours = FieldId::of(name.as_bytes()).is_ours_to_write();
            assert_eq!(properties & GATEWAY_WRITES != 0, ours, "{name}");
        }
        let reason = FieldId::of(REASON_HEADER.as_bytes());
        assert_eq!(reason, FieldId::SluiceReason);
    }

    #[test]
    fn filters_may_set_a_host_and_nothing_else_that_the_gateway_writes() {
        let differ = |(_, all): &&(&str, u8)| (all & GATEWAY_WRITES != 0) != (all & NOT_EDITABLE != 0);
        let names: Vec<_> = FIELDS.iter().filter(differ).map(|(name, _)| *name).collect();
        assert_eq!(names, ["host", "trailer"]);
    }

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
