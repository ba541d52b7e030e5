//! `sk_lookup`: is this connection for one of our binds? If so, hand it to the workers' sockets.

use core::ptr::addr_of;

use aya_ebpf::bindings::bpf_sk_lookup;
use aya_ebpf::bindings::sk_action::{SK_DROP, SK_PASS};
use aya_ebpf::macros::sk_lookup;
use aya_ebpf::programs::SkLookupContext;
use gateway_common::{MAX_SLOTS, STATE_SERVE, SteerKey, SteerValue, Verdict};

use crate::maps::{BINDS, SOCKETS, count, slots};

/// `AF_INET`, of `bpf_sk_lookup.family`.
const AF_INET: u32 = 2;

/// `-ENOENT`: the slot has no socket.
const EMPTY: i32 = -2;

/// `-EEXIST`: a program attached before this one has selected a socket already.
const TAKEN: i32 = -17;

/// Attached to the network namespace.
#[sk_lookup]
pub(crate) fn sluice_lookup(ctx: SkLookupContext) -> u32 {
    let Some(bind) = bind_of(&ctx) else {
        count(Verdict::NotOurs);
        return SK_PASS;
    };
    let verdict = if bind.state == STATE_SERVE { assign(&ctx) } else { Verdict::Broken };
    count(verdict);
    match verdict {
        Verdict::Broken => SK_DROP,
        _ => SK_PASS,
    }
}

/// The bind that this connection is for: its very address first, then every address.
#[inline(always)]
fn bind_of(ctx: &SkLookupContext) -> Option<SteerValue> {
    let mut key = destination(ctx.lookup);
    // SAFETY: entries are only ever written whole by the user side; four bytes are read, once.
    let exact = unsafe { BINDS.get(&key) };
    if let Some(value) = exact {
        return Some(*value);
    }
    key.addr_be = [0; 16];
    // SAFETY: as above.
    unsafe { BINDS.get(&key) }.copied()
}

/// The destination as a key. Addresses are in network byte order in the context, the local port in host byte order.
#[inline(always)]
fn destination(lookup: *const bpf_sk_lookup) -> SteerKey {
    // Each field is read once, by a load of 32 bits at a constant offset from the context: the verifier refuses any
    // other (bpf_sk_lookup in linux/bpf.h), and volatile keeps the compiler from making another out of it.
    // SAFETY: the kernel passes a valid context for the run of the program; the address fields exist for both families
    // and read as zero for the other one.
    let (family, protocol, port, v4, v6) = unsafe {
        (
            addr_of!((*lookup).family).read_volatile(),
            addr_of!((*lookup).protocol).read_volatile(),
            addr_of!((*lookup).local_port).read_volatile(),
            addr_of!((*lookup).local_ip4).read_volatile(),
            [
                addr_of!((*lookup).local_ip6[0]).read_volatile(),
                addr_of!((*lookup).local_ip6[1]).read_volatile(),
                addr_of!((*lookup).local_ip6[2]).read_volatile(),
                addr_of!((*lookup).local_ip6[3]).read_volatile(),
            ],
        )
    };
    let words = if family == AF_INET { [0, 0, 0xffff_u32.to_be(), v4] } else { v6 };
    let mut key = SteerKey::any(port as u16, protocol as u8);
    let mut word = 0;
    while word < 4 {
        let bytes = words[word].to_ne_bytes();
        key.addr_be[word * 4] = bytes[0];
        key.addr_be[word * 4 + 1] = bytes[1];
        key.addr_be[word * 4 + 2] = bytes[2];
        key.addr_be[word * 4 + 3] = bytes[3];
        word += 1;
    }
    key
}

/// Hands the connection to the first worker socket there is. All of them are one `SO_REUSEPORT` group, so which one
/// does not matter: `sk_reuseport` chooses within the group.
#[inline(always)]
fn assign(ctx: &SkLookupContext) -> Verdict {
    let slots = slots();
    for slot in 0..MAX_SLOTS {
        if slot >= slots {
            break;
        }
        match SOCKETS.redirect_sk_lookup(ctx, slot, 0) {
            Ok(()) => return Verdict::Steered,
            Err(EMPTY) => {}
            Err(TAKEN) => return Verdict::Taken,
            Err(_) => return Verdict::Broken,
        }
    }
    Verdict::NoWorker
}
