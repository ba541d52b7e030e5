//! Real servers and their own clients through a TCPRoute, as Debian has them: PostgreSQL, Redis, iperf3. `cargo xtask test`
//! installs those that are missing; where one is not installed that is printed.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/tcp.rs"]
mod tcp;

mod iperf;
mod postgres;
mod redis;

use std::process::Command;

/// True if a program is there to be run.
#[expect(clippy::print_stdout, reason = "for who reads why a test did nothing")]
fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        println!("{program} is not installed: not run");
    }
    is_there
}
