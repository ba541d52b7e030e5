//! The kernel programs of Sluice, one per file, sharing the maps in `maps`.
//!
//! - `sk_lookup` runs once for each new connection that reaches the network namespace, before the host's own
//!   sockets are looked up, and steers connections to one of our binds into the group of worker sockets.
//! - `sk_reuseport` then chooses the worker within that group, and later moves connections that nobody
//!   accepted when their worker's socket closes.
//!
//! A reserved port on an address of the node is never steered: that is in read-only data, which nobody can
//! change once the programs are loaded.
//!
//! Rules of both: connections that are not ours pass. Ours go to the stand-by while no worker has a socket, if there is
//! one; else they pass, so that programs that outlive their process never take a port from its next server. Ours are
//! dropped where an entry is broken. Every verdict is counted, per CPU; nothing is logged per packet.
//!
//! Built for `bpfel-unknown-none` by `cargo xtask build-ebpf`. For any other target this is an empty program,
//! so that workspace-wide commands pass over it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// `core_intrinsics`: BPF has no compare-and-swap below v3, so `AtomicU64::fetch_add` is not to be had; the
// intrinsic is a single XADD instruction.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics), allow(internal_features))]

#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod sk_lookup;
#[cfg(target_arch = "bpf")]
mod sk_reuseport;

/// The kernel programs exist for the BPF target only.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// The kernel's verifier accepts no program that could get here.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence as the kernel reads it. None of the helpers used here asks for a GPL-compatible one.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";
