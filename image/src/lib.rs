//! Container images without an engine: Sluice's own, and the archives of the lab's.
//!
//! An image of Sluice has Debian's libraries in its lower layer and the program in the upper one.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command talks to its terminal

pub mod base;
pub mod bill;
pub mod binary;
pub mod check;
pub mod command;
pub mod container;
mod cross;
pub mod debian;
mod elf;
pub mod gateway;
mod name;
pub mod oci;
pub mod platform;
mod source;
pub mod verify;
