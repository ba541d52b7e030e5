//! New paths and `Location`s. Pure; everything is written into the caller's buffer.

mod location;
mod path;

pub use location::{Redirect, RedirectSource, Scheme, write_location};
pub use path::{PathRewrite, write_target};
