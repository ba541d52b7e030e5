//! Field names that some servers take for the same one.

/// True if two field names are one to a server that hands fields on as variables of the environment, as CGI
/// does (RFC 3875 section 4.1.18): letters compare without case, and `_` is `-`.
pub fn is_alias(one: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.iter().map(fold).eq(other.iter().map(fold))
}
