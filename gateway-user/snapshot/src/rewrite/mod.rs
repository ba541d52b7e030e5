//! New paths and `Location`s. Pure; everything is written into the caller's buffer.

mod location;
mod path;

pub use location::{Redirect, RedirectSource, Scheme, write_location};
pub use path::{PathRewrite, write_target};

/// The bytes of a path that can stand in a request line as it is (RFC 3986 section 3.3).
///
/// # Errors
/// A line that names the path.
fn checked_path(path: &str) -> Result<&[u8], String> {
    if path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte)) {
        return Ok(path.as_bytes());
    }
    Err(format!("the path {path:?} has characters in it that a path cannot have; percent-encode them"))
}

/// Whether `text` can stand as a host, with or without a port.
pub(crate) fn is_authority(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}
