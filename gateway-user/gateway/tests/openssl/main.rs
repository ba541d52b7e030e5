//! OpenSSL as it is installed on both sides of the gateway: every version, cipher suite, group and signature algorithm with
//! every kind of key, what is agreed on and what is refused. `cargo xtask test` installs it; where it is missing that is
//! printed.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod identity;
mod keys;
mod servers;

use std::process::Command;

/// True if OpenSSL's program is there to be run.
#[expect(clippy::print_stdout, reason = "for who reads why a test did nothing")]
fn is_installed() -> bool {
    let is_there = Command::new("openssl").arg("version").output().is_ok();
    if !is_there {
        println!("openssl is not installed: not run");
    }
    is_there
}
