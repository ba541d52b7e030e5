//! `sk_reuseport`: which worker gets the connection?
//!
//! The power of two choices: of two workers taken at random, the one with less to do. It runs for each new
//! connection, and with the section `sk_reuseport/migrate` also for each connection that was not accepted
//! when its socket closed.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::sk_action::{SK_DROP, SK_PASS};
use aya_ebpf::helpers::bpf_get_prandom_u32;
use aya_ebpf::helpers::generated::bpf_sk_select_reuseport;
use aya_ebpf::macros::sk_reuseport;
use aya_ebpf::programs::SkReuseportContext;
use gateway_common::{MAX_SLOTS, STAND_BY, SlotLoad, Verdict};

use crate::maps::{LOADS, SOCKETS, Slots, count};

/// Attached to the group of worker sockets. The group is dual stack, so the address family plays no part (on
/// migration there is no packet to read it from: `eth_protocol` is 0).
#[sk_reuseport(migrate)]
pub(crate) fn sluice_reuse(ctx: SkReuseportContext) -> u32 {
    let migrating = ctx.migrating_sk().is_some();
    let verdict = match (choose(&ctx), migrating) {
        (Some(Verdict::StoodBy), _) => Verdict::StoodBy,
        (Some(verdict), false) => verdict,
        (Some(_), true) => Verdict::Migrated,
        (None, false) => Verdict::Hashed,
        (None, true) => Verdict::MigrateFailed,
    };
    count(verdict);
    match verdict {
        // Without a selection there is nowhere to migrate to; the kernel resets the connection.
        Verdict::MigrateFailed => SK_DROP,
        // Without a selection the kernel falls back to its own hash over the group's sockets.
        _ => SK_PASS,
    }
}

/// Selects a socket: the less loaded of two at random, else the first of the other slots that has one, else the stand-by.
#[inline(always)]
fn choose(ctx: &SkReuseportContext) -> Option<Verdict> {
    let slots = Slots::get()?;
    let count = slots.count();
    if count == 0 {
        return None;
    }
    let (first, second) = two_of(count);
    let slot = if load(second) < load(first) { second } else { first };
    if pick(ctx, slot) {
        return Some(Verdict::Picked);
    }
    // The slot emptied between its worker's last store and now. Any live worker beats a refused connection.
    for other in 0..MAX_SLOTS {
        if !slots.has(other) {
            break;
        }
        if pick(ctx, other) {
            return Some(Verdict::PickedOther);
        }
    }
    select(ctx, STAND_BY).then_some(Verdict::StoodBy)
}

/// Two different slots at random, or the same one twice when there is only one.
#[inline(always)]
fn two_of(slots: u32) -> (u32, u32) {
    // SAFETY: takes no argument, cannot fail.
    let random = unsafe { bpf_get_prandom_u32() };
    let first = (random & 0xffff) % slots;
    if slots < 2 {
        return (first, first);
    }
    let step = 1 + (random >> 16) % (slots - 1);
    (first, (first + step) % slots)
}

/// The slot's load: open connections and those given to it since the worker last said how many it has.
#[inline(always)]
fn load(slot: u32) -> u64 {
    match LOADS.get_ptr(slot) {
        // SAFETY: map memory, aligned, valid while the program runs; workers and other CPUs write it
        // meanwhile, hence volatile reads of whole words.
        Some(load) => unsafe {
            addr_of!((*load).connections).read_volatile() + addr_of!((*load).picked).read_volatile()
        },
        None => SlotLoad::OFFLINE,
    }
}

/// Selects a worker's socket, which counts as load of it; false when it has none.
#[inline(always)]
fn pick(ctx: &SkReuseportContext, slot: u32) -> bool {
    if !select(ctx, slot) {
        return false;
    }
    if let Some(load) = LOADS.get_ptr_mut(slot) {
        // SAFETY: as in `load`; one XADD instruction, since other CPUs pick at the same time.
        unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(addr_of_mut!((*load).picked), 1);
        }
    }
    true
}

/// Selects an entry's socket; false when it has none.
#[inline(always)]
fn select(ctx: &SkReuseportContext, index: u32) -> bool {
    let mut key = index;
    // SAFETY: the context is the kernel's own, `SockMap` is a transparent map definition, and the key
    // is on the stack. aya-ebpf wraps this helper for REUSEPORT_SOCKARRAY only; the kernel takes a
    // SOCKMAP as well (5.8).
    let refused = unsafe {
        bpf_sk_select_reuseport(
            ctx.as_ptr().cast(),
            addr_of!(SOCKETS).cast_mut().cast(),
            addr_of_mut!(key).cast(),
            0,
        )
    };
    refused == 0
}
