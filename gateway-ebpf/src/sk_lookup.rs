//! `sk_lookup`: is this connection for one of our binds? If so, hand it to the workers' sockets.

use core::ptr::addr_of;

use aya_ebpf::bindings::bpf_sk_lookup;
use aya_ebpf::bindings::sk_action::{SK_DROP, SK_PASS};
use aya_ebpf::macros::sk_lookup;
use aya_ebpf::programs::SkLookupContext;
use gateway_common::{MAX_POOL, MAX_SLOTS, STAND_BY, STATE_SERVE, SteerKey, SteerValue, Verdict};

use crate::maps::{BINDS, GUARD, SOCKETS, Slots, count};

/// `AF_INET`, of `bpf_sk_lookup.family`.
const AF_INET: u32 = 2;

/// `-ENOENT`: the slot has no socket.
const EMPTY: i32 = -2;

/// `-EEXIST`: a program attached before this one has selected a socket already.
const TAKEN: i32 = -17;

/// Attached to the network namespace.
#[sk_lookup]
pub(crate) fn sluice_lookup(ctx: SkLookupContext) -> u32 {
    let to = destination(ctx.lookup);
    if is_reserved(&to) {
        count(Verdict::Reserved);
        return SK_PASS;
    }
    let Some(bind) = bind_of(to.key) else {
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

/// The address and port that a connection is made to.
struct Destination {
    key: SteerKey,
    /// The address of the key as words of four bytes in network byte order.
    words: [u32; 4],
}

/// True if the port is one that is left to the host. Asked before the map of binds, so that nothing in
/// there can take it.
#[inline(always)]
fn is_reserved(to: &Destination) -> bool {
    let port = to.key.port as usize & 0xffff;
    // Volatile: the compiler must not take the object's zeros for what the program will read.
    // SAFETY: an element of a static array, aligned, of which there is one for every port.
    let word = unsafe { addr_of!(GUARD.reserved[port / 64]).read_volatile() };
    word >> (port % 64) & 1 == 1 && !is_of_pool(&to.words)
}

/// True if an address is one of the pool's, which are not the node's own.
#[inline(always)]
fn is_of_pool(words: &[u32; 4]) -> bool {
    // SAFETY: a field of a static, aligned.
    let networks = unsafe { addr_of!(GUARD.networks).read_volatile() };
    for index in 0..MAX_POOL {
        if index >= networks as usize {
            break;
        }
        let network = addr_of!(GUARD.pool[index]);
        let mut differs = 0;
        for word in 0..4 {
            // SAFETY: elements of a static, aligned; both indices are within their arrays.
            let (address, mask) = unsafe {
                (
                    addr_of!((*network).address_be[word]).read_volatile(),
                    addr_of!((*network).mask_be[word]).read_volatile(),
                )
            };
            differs |= words[word] & mask ^ address;
        }
        if differs == 0 {
            return true;
        }
    }
    false
}

/// The bind that this connection is for: its very address first, then every address.
#[inline(always)]
fn bind_of(mut key: SteerKey) -> Option<SteerValue> {
    // SAFETY: entries are only ever written whole by the user side; four bytes are read, once.
    let exact = unsafe { BINDS.get(&key) };
    if let Some(value) = exact {
        return Some(*value);
    }
    key.addr_be = [0; 16];
    // SAFETY: as above.
    unsafe { BINDS.get(&key) }.copied()
}

/// Reads the destination. Addresses are in network byte order in the context, the local port in
/// host byte order.
#[inline(always)]
fn destination(lookup: *const bpf_sk_lookup) -> Destination {
    // Each field is read once, by a load of 32 bits at a constant offset from the context: the verifier
    // refuses any other (bpf_sk_lookup in linux/bpf.h), and volatile keeps the compiler from making
    // another out of it.
    // SAFETY: the kernel passes a valid context for the run of the program; the address fields exist for both
    // families and read as zero for the other one.
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
    Destination { key, words }
}

/// Hands the connection to the first worker socket there is, or else to the stand-by. All of them are one `SO_REUSEPORT`
/// group, so which one does not matter: `sk_reuseport` chooses within the group.
#[inline(always)]
fn assign(ctx: &SkLookupContext) -> Verdict {
    let Some(slots) = Slots::get() else { return Verdict::Broken };
    for slot in 0..MAX_SLOTS {
        if !slots.has(slot) {
            break;
        }
        if let Some(verdict) = redirect(ctx, slot, Verdict::Steered) {
            return verdict;
        }
    }
    redirect(ctx, STAND_BY, Verdict::Held).unwrap_or(Verdict::NoWorker)
}

/// Hands the connection to one entry's socket, which is `done`; nothing if it has none.
#[inline(always)]
fn redirect(ctx: &SkLookupContext, index: u32, done: Verdict) -> Option<Verdict> {
    match SOCKETS.redirect_sk_lookup(ctx, index, 0) {
        Ok(()) => Some(done),
        Err(EMPTY) => None,
        Err(TAKEN) => Some(Verdict::Taken),
        Err(_) => Some(Verdict::Broken),
    }
}
