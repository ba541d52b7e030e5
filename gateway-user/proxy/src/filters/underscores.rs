//! Request fields with `_` in their name. Servers that know fields by CGI variables read `_` as `-` (RFC 3875 section
//! 4.1.18), so such a field could pass for one that we or a filter write.

use gateway_grammar::names::is_proxy_field;
use gateway_http::head::{EditError, HeadEdits, RequestParts};
use gateway_snapshot::Filters;

/// True if a request's field of that name stays: it has no `_`, or somebody asked for it. `known` tells whether a route on
/// the request's host matches or writes a name.
///
/// Kept are known names, and all of a gRPC request, whose metadata may have such names (gRPC over HTTP/2, "Custom-Metadata");
/// but never the alias of a field that only proxies may write.
pub(crate) fn stays(name: &[u8], grpc: bool, known: impl FnOnce(&[u8]) -> bool) -> bool {
    !name.contains(&b'_') || !is_proxy_field(name) && (grpc || known(name))
}

/// Drops the request's fields that could be taken for one that the filters set or remove, and calls `dropped` with each name.
/// Only to be asked where the request or the filters have a name with `_`: there is no such field otherwise.
pub(crate) fn drop_shadows(
    filters: &Filters,
    request: &RequestParts<'_>,
    edits: &mut HeadEdits,
    mut dropped: impl FnMut(&[u8]),
) -> Result<(), EditError> {
    for field in request.fields {
        // What the encoder writes itself is not forwarded anyway, and no edit may name it.
        if !field.id.is_ours_to_write() && filters.shadows(field.name) {
            edits.remove(field.name)?;
            dropped(field.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gateway_grammar::grpc::is_grpc;
    use gateway_grammar::token::eq_ignore_case;
    use gateway_http::h1::{HeadLimits, RequestHead};

    use super::*;

    /// The names that are left of these fields, and those that were dropped.
    fn screened(fields: &str, known: &[&str]) -> (Vec<String>, Vec<String>) {
        let wire = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        head.parse(wire.as_bytes(), &HeadLimits::default()).unwrap();
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let mut dropped = Vec::new();
        let is_known = |name: &[u8]| known.iter().any(|known| eq_ignore_case(known.as_bytes(), name));
        let grpc = head.view(wire.as_bytes()).fields().get(b"content-type").is_some_and(is_grpc);
        head.retain_fields(wire.as_bytes(), |field| {
            let stays = stays(field.name, grpc, is_known);
            if !stays {
                dropped.push(text(field.name));
            }
            stays
        });
        let left: Vec<String> =
            head.view(wire.as_bytes()).fields().iter().skip(1).map(|field| text(field.name)).collect();
        assert_eq!(head.has_underscores(), left.iter().any(|name| name.contains('_')));
        (left, dropped)
    }

    #[test]
    fn names_with_underscores_go_unless_somebody_asked_for_them() {
        let fields = "X_Auth_User: root\r\nX-Auth-User: me\r\nApi_Key: k\r\nX_Forwarded_For: 6.6.6.6\r\n";
        let (left, dropped) = screened(fields, &[]);
        assert_eq!(left, ["X-Auth-User"]);
        assert_eq!(dropped, ["X_Auth_User", "Api_Key", "X_Forwarded_For"]);
        let (left, _) = screened(fields, &["api_key"]);
        assert_eq!(left, ["X-Auth-User", "Api_Key"]);
        let (left, _) = screened(fields, &["x_forwarded_for"]);
        assert_eq!(left, ["X-Auth-User"], "an alias of a proxy's field goes even if a route asks for it");
    }

    #[test]
    fn grpc_metadata_stays_but_for_aliases_of_proxies_fields() {
        let fields = |content: &str| {
            format!(
                "content-type: {content}\r\nuser_id: 1\r\nx_forwarded_for: 6.6.6.6\r\ncontent_length: 3\r\n"
            )
        };
        for grpc in ["application/grpc", "Application/GRPC+proto", "application/grpc;charset=utf-8"] {
            assert_eq!(screened(&fields(grpc), &[]).0, ["content-type", "user_id"], "{grpc}");
        }
        for other in ["application/grpcx", "application/grpc-web", "application/json", "application/grp"] {
            assert_eq!(screened(&fields(other), &[]).0, ["content-type"], "{other}");
        }
    }
}
