//! New paths and `Location`s. Pure; everything is written into the caller's buffer.

mod location;
mod path;

pub use gateway_grammar::Scheme;
pub use location::{Redirect, RedirectSource, write_location};
pub use path::{PathRewrite, write_target};
