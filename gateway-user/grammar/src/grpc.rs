//! gRPC requests among HTTP requests (gRPC over HTTP/2, "Requests").

use crate::token::eq_ignore_case;

/// The method of every gRPC request.
pub const METHOD: &str = "POST";

/// The content type that gRPC's begin with, and that of a response without a message.
pub const CONTENT_TYPE: &str = "application/grpc";

/// True if a `Content-Type` is gRPC's: `application/grpc`, alone or with a format (`+proto`) or a parameter behind it.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let grpc = CONTENT_TYPE.as_bytes();
    let Some((start, rest)) = content_type.split_at_checked(grpc.len()) else { return false };
    eq_ignore_case(start, grpc) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
}

/// Service and method of a gRPC path, `/service/method`; `None` if the path has another form.
pub fn service_and_method(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = path.strip_prefix(b"/")?;
    let at = path.iter().position(|byte| *byte == b'/')?;
    let (service, method) = (path.get(..at)?, path.get(at + 1..)?);
    (!service.is_empty() && !method.is_empty() && !method.contains(&b'/')).then_some((service, method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_path_has_two_elements() {
        assert_eq!(service_and_method(b"/a.B/C"), Some((&b"a.B"[..], &b"C"[..])));
        for other in ["", "/", "/a", "/a/", "//a", "/a/b/", "/a/b/c", "a/b"] {
            assert_eq!(service_and_method(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_grpc_content_type_ends_or_goes_on_with_a_format_or_parameter() {
        for grpc in
            ["application/grpc", "Application/GRPC+proto", "application/grpc;a=b", "application/grpc ;a=b"]
        {
            assert!(is_grpc(grpc.as_bytes()), "{grpc}");
        }
        for other in ["", "application/grp", "application/grpcx", "application/grpc-web", "text/plain"] {
            assert!(!is_grpc(other.as_bytes()), "{other}");
        }
    }
}
