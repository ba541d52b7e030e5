//! Sessions of both versions and every cipher, beside the TLS library's own.

mod common;
mod limits;
mod oracle;
mod scripts;
mod vectors;
