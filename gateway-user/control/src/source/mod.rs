//! Where resources come from.

pub mod file;
